//! The OCI runtime of the distribution.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::{Deserialize, Serialize};
use tokio::process::Command;

/// In the order in which they are tried: the first starts faster.
const PROGRAMS: [(&str, Kind); 2] = [("crun", Kind::Crun), ("runc", Kind::Runc)];

/// A program that runs OCI bundles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// The program.
    pub program: PathBuf,
    /// What it says of itself: `crun version 1.8.1`.
    pub version: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Crun,
    Runc,
}

impl Runtime {
    /// Those of this machine, the best first.
    pub(crate) async fn find() -> Vec<Self> {
        let mut found = Vec::new();
        for (name, kind) in PROGRAMS {
            // Root's programs are not on every user's search path.
            let program = tool(name).unwrap_or_else(|| name.into());
            let mut command = Command::new(&program);
            command.arg("--version").stdin(Stdio::null());
            let Ok(output) = command.output().await else {
                continue;
            };
            let text = String::from_utf8_lossy(&output.stdout);
            if let (true, Some(line)) = (output.status.success(), text.lines().next()) {
                found.push(Self {
                    program,
                    version: line.trim().to_owned(),
                    kind,
                });
            }
        }
        found
    }

    /// Whether it gives up where both versions of control groups are mounted, although it is told to leave them alone.
    ///
    /// The other one wants to see them, and does not mind that it may not change them.
    pub(crate) fn stumbles_over_control_groups(&self) -> bool {
        self.kind == Kind::Crun
    }

    /// Whether it runs containers in which root does not exist.
    pub(crate) fn knows_other_than_root(&self) -> bool {
        self.kind == Kind::Crun
    }

    /// The arguments that run the bundle `bundle` to its end; the runtime keeps its own files in `state`.
    pub(crate) fn arguments(
        &self,
        state: &Path,
        log: &Path,
        bundle: &Path,
        name: &str,
    ) -> Vec<String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut arguments = vec![
            "--root".to_owned(),
            text(state),
            "--log".to_owned(),
            text(log),
            "--log-format".to_owned(),
            "json".to_owned(),
        ];
        if self.kind == Kind::Crun {
            // The groups are ours.
            arguments.push("--cgroup-manager=disabled".to_owned());
        }
        arguments.extend(["run".to_owned(), "--bundle".to_owned(), text(bundle)]);
        arguments.push(name.to_owned());
        arguments
    }
}

/// The path of a program that not everybody's search path leads to.
pub(super) fn tool(name: &str) -> Option<PathBuf> {
    [
        "/usr/local/bin",
        "/usr/bin",
        "/bin",
        "/usr/local/sbin",
        "/usr/sbin",
        "/sbin",
    ]
    .into_iter()
    .map(|folder| Path::new(folder).join(name))
    .find(|path| path.is_file())
}

/// What the runtime says went wrong, from its log; None if it says nothing of the kind.
pub(crate) fn complaint(log: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Line {
        level: String,
        msg: String,
    }
    let mut errors = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Line>(line).ok())
        .filter(|line| matches!(line.level.as_str(), "error" | "fatal"));
    errors.next().map(|line| line.msg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_are_complaints() {
        let log = r#"{"level":"warning","msg":"old","time":""}
not json
{"msg":"executable file `x` not found","level":"error","time":""}"#;
        assert_eq!(
            complaint(log).as_deref(),
            Some("executable file `x` not found")
        );
        assert_eq!(complaint(r#"{"level":"warning","msg":"old"}"#), None);
        assert_eq!(complaint(""), None);
    }
}
