//! The wheel archive: zip, RECORD, WHEEL, METADATA, and a deterministic writer
