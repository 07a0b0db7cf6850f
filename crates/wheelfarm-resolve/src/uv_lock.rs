//! `uv.lock`: uv says what is in it, as a PEP 751 lock.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::inputs::Choice;
use crate::{ResolveError, ResolveErrorKind, Resolver};

impl Resolver {
    /// What the `uv.lock` at `path` locks for the project in the `pyproject.toml` beside it, as a `pylock.toml` whose
    /// paths are relative to them: dependencies, and what is chosen of extras and groups. The project itself is not
    /// part of it.
    ///
    /// uv sees a copy of the two files: it changes nothing, resolves nothing, and needs neither Python nor network.
    pub async fn export(&self, path: &Path, choice: &Choice) -> Result<String, ResolveError> {
        let copy = tempfile::tempdir()?;
        for name in ["uv.lock", "pyproject.toml"] {
            fs_err::copy(path.with_file_name(name), copy.path().join(name))?;
        }
        let mut command = Command::new(&self.uv.path);
        command
            .args(["export", "--frozen", "--offline", "--format", "pylock.toml"])
            // What is locked does not depend on how it would be locked now.
            .arg("--no-config")
            .env_remove("UV_CONFIG_FILE")
            .args(["--quiet", "--color", "never", "--no-header"])
            .args([
                "--no-emit-project",
                "--no-default-groups",
                "--no-python-downloads",
            ])
            .arg("--cache-dir")
            .arg(self.cache.join("uv"))
            .current_dir(copy.path());
        for extra in &choice.extras {
            command.args(["--extra", extra.as_str()]);
        }
        if choice.all_extras {
            command.arg("--all-extras");
        }
        for group in &choice.groups {
            command.args(["--group", group.as_str()]);
        }
        let output = command
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|e| {
                let message = format!("`{}` could not be started: {e}", self.uv.path.display());
                ResolveError::new(ResolveErrorKind::Uv, message)
            })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<_> = said
            .lines()
            .map(|line| {
                line.trim()
                    .trim_start_matches("error: ")
                    .trim_start_matches("cause: ")
            })
            .filter(|line| !line.is_empty())
            .collect();
        Err(ResolveError::new(
            ResolveErrorKind::Lock,
            format!("`{}` cannot be used: {}", path.display(), said.join(": ")),
        ))
    }
}
