//! Immutable objects by digest, action records and environments over object_store
