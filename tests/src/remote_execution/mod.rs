//! Real engines of Remote Execution, in containers of the images that `cargo xtask images remote-execution` makes.

/// Storage, the server on one node, and the worker.
pub const BUILDBOX: &str = "wheelfarm/buildbox:latest";
/// The scheduler.
pub const BUILDGRID: &str = "wheelfarm/buildgrid:latest";
/// The scheduler's database.
pub const POSTGRES: &str = "wheelfarm/postgres:15";
