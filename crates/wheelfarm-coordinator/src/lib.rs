//! Runs the job graph: limits, cancellation, events
