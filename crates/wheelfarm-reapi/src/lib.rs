//! A client of the Remote Execution API (REAPI), version 2: content-addressable storage, action cache, execution.
//!
//! Knows nothing of wheels, images and Docker.
