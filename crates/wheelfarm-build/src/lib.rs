//! The matrix, the job keys, the Executor trait and the per-job pipeline
