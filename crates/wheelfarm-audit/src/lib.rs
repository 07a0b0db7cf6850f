//! Platform policies, the shared-library graph under a root directory, and the audit report
