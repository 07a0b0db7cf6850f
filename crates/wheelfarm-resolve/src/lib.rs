//! Requirements in, PEP 751 lock out; fetching with hash check
