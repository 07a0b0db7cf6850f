//! Platform policies, the shared-library graph under a root directory, and the audit report.
//!
//! [`audit`] answers which platform tag a wheel earns, and why not a better one. It looks at the wheel and at a
//! [`LibraryRoot`], the directory that stands for `/` of the environment the wheel was built in; never at the
//! machine it runs on. What it finds are values in the [`AuditReport`]; an [`AuditError`] means that it could
//! not look.
//!
//! The rules are those of [PEP 600](https://peps.python.org/pep-0600/) (manylinux) and
//! [PEP 656](https://peps.python.org/pep-0656/) (musllinux), as auditwheel interprets them.

mod budget;
mod collect;
mod error;
mod facts;
mod graph;
mod musl;
mod options;
mod policy;
mod pool;
mod report;
mod root;
mod sentences;
mod stable_abi;
mod system;
#[cfg(test)]
mod testing;
mod verdict;

pub use collect::{Objects, SeenObjects, audit, audit_objects};
pub use error::AuditError;
pub use facts::ElfFacts;
pub use graph::{Found, LibraryNode, LibraryTree, library_tree, stays_in_wheel};
pub use options::AuditOptions;
pub use policy::{LibcFamily, Policies, Policy};
pub use report::{
    AuditReport, ElfObject, ExtensionModule, ExternalLibrary, Finding, Obstacle, Verdict,
};
pub use root::{Distro, LibraryRoot, Manager, Package};
pub use sentences::SYMBOLS;
pub use stable_abi::Release;
pub use system::{FoundPython, Needed, Problem, System, problems};
