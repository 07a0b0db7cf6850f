//! The machine's git, driven so that nothing of a repository runs: no hooks, no filters, no prompts, no protocols
//! but those that were asked for.

use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;

use crate::{ResolveError, ResolveErrorKind};

/// No call of git takes longer.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// Settings that keep a repository, and the user's own settings, from running anything or changing content.
const SETTINGS: [&str; 10] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.autocrlf=false",
    "core.symlinks=true",
    "advice.detachedHead=false",
    "gc.auto=0",
    "filter.lfs.smudge=",
    "filter.lfs.process=",
    "filter.lfs.required=false",
    "submodule.recurse=false",
];

/// Runs git with one set of protocols.
#[derive(Debug, Clone)]
pub(super) struct Git {
    protocols: String,
}

/// What a working copy is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) commit: String,
    pub(super) unclean: bool,
}

impl Git {
    /// For repositories at addresses with `scheme`, and submodules at `https:` and `ssh:`.
    pub(super) fn new(scheme: &str) -> Self {
        Self {
            protocols: format!("https:ssh:{scheme}"),
        }
    }

    async fn call(&self, directory: &Path, arguments: &[&str]) -> Result<Output, ResolveError> {
        let error = |message: String| ResolveError::new(ResolveErrorKind::Source, message);
        let mut command = Command::new("git");
        command.arg("-C").arg(directory);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command
            .args(arguments)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_LFS_SKIP_SMUDGE", "1")
            .env("GIT_ALLOW_PROTOCOL", &self.protocols)
            .env("LC_ALL", "C")
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .env_remove("GIT_INDEX_FILE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let running = tokio::time::timeout(LIMIT, command.output()).await;
        let output = running.map_err(|_| {
            error(format!(
                "git did not end within {} minutes",
                LIMIT.as_secs() / 60
            ))
        })?;
        output.map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                error("git is not on this machine, and a source comes from a repository".to_owned())
                    .hint("install it, or bring the source as an archive or directory")
            }
            _ => error(format!("git could not be started: {e}")),
        })
    }

    /// What git prints; `what` completes "could not be ..." for the error.
    async fn output(
        &self,
        directory: &Path,
        arguments: &[&str],
        what: &str,
    ) -> Result<String, ResolveError> {
        let output = self.call(directory, arguments).await?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let reason = said
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("fatal:") || line.starts_with("error:"))
            .map(without_credentials)
            .collect::<Vec<_>>()
            .join(" ");
        let network = [
            "Could not resolve",
            "unable to access",
            "Connection",
            "Could not read from remote",
        ];
        let kind = if network.iter().any(|sign| said.contains(sign)) {
            ResolveErrorKind::Network
        } else {
            ResolveErrorKind::Source
        };
        Err(ResolveError::new(
            kind,
            format!("{what}: git says: {reason}"),
        ))
    }

    /// The commit that `reference` of the repository is now; without one, its head.
    pub(super) async fn commit_of(
        &self,
        repository: &str,
        reference: Option<&str>,
    ) -> Result<String, ResolveError> {
        let shown = without_credentials(repository);
        let name = reference.unwrap_or("HEAD");
        let patterns = match reference {
            None => vec!["HEAD".to_owned()],
            Some(name) if name.starts_with("refs/") => {
                vec![name.to_owned(), format!("{name}^{{}}")]
            }
            Some(name) => vec![
                format!("refs/tags/{name}^{{}}"),
                format!("refs/tags/{name}"),
                format!("refs/heads/{name}"),
            ],
        };
        let mut arguments = vec!["ls-remote", "--quiet", "--", repository];
        arguments.extend(patterns.iter().map(String::as_str));
        let what = format!("`{name}` of `{shown}` could not be looked up");
        let listed = self.output(Path::new("/"), &arguments, &what).await?;
        let find = |wanted: &String| {
            listed.lines().find_map(|line| {
                let (commit, found) = line.split_once('\t')?;
                (found == wanted && is_commit(commit)).then(|| commit.to_owned())
            })
        };
        patterns.iter().find_map(find).ok_or_else(|| {
            ResolveError::new(
                ResolveErrorKind::Input,
                format!("`{shown}` has no tag or branch `{name}`"),
            )
            .hint("a commit is named by all of its 40 digits")
        })
    }

    /// Makes `directory` a working copy of `commit`, submodules included.
    pub(super) async fn check_out(
        &self,
        repository: &str,
        commit: &str,
        directory: &Path,
    ) -> Result<(), ResolveError> {
        let shown = without_credentials(repository);
        let what = format!("`{shown}` at {commit} could not be fetched");
        // Without a template there are no hooks.
        self.output(directory, &["init", "--quiet", "--template="], &what)
            .await?;
        self.output(
            directory,
            &["remote", "add", "origin", "--", repository],
            &what,
        )
        .await?;
        let one = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--depth=1",
            "origin",
            commit,
        ];
        // Some servers do not give a commit by its name.
        if !self.call(directory, &one).await?.status.success() {
            self.fetch_all(directory, &what).await?;
        }
        let check_out = ["checkout", "--quiet", "--force", "--detach", commit];
        self.output(directory, &check_out, &what).await?;
        if directory.join(".gitmodules").exists() {
            let shallow = [
                "submodule",
                "--quiet",
                "update",
                "--init",
                "--recursive",
                "--depth=1",
            ];
            if !self.call(directory, &shallow).await?.status.success() {
                let full = ["submodule", "--quiet", "update", "--init", "--recursive"];
                let what = format!("the submodules of `{shown}` at {commit} could not be fetched");
                self.output(directory, &full, &what).await?;
            }
        }
        Ok(())
    }

    async fn fetch_all(&self, directory: &Path, what: &str) -> Result<(), ResolveError> {
        let shallow = directory.join(".git/shallow").exists();
        let mut arguments = vec!["fetch", "--quiet", "--force", "--no-recurse-submodules"];
        arguments.extend(shallow.then_some("--unshallow"));
        arguments.extend([
            "origin",
            "+refs/heads/*:refs/remotes/origin/*",
            "+refs/tags/*:refs/tags/*",
        ]);
        self.output(directory, &arguments, what).await?;
        Ok(())
    }

    /// The text of a `.git_archival.txt` for the commit that is checked out, fetching tags for it: what tools that
    /// make a version of them read where there is no repository.
    pub(super) async fn archival(
        &self,
        directory: &Path,
        fetch: bool,
    ) -> Result<String, ResolveError> {
        let what = "the version could not be told from tags";
        if fetch {
            self.fetch_all(directory, what).await?;
        }
        let format = "--format=node: %H%nnode-date: %cI";
        let mut text = self.output(directory, &["log", "-1", format], what).await?;
        let describe = ["describe", "--tags", "--match", "*[0-9]*"];
        let described = self.call(directory, &describe).await?;
        if described.status.success() {
            text.push_str("\ndescribe-name: ");
            text.push_str(String::from_utf8_lossy(&described.stdout).trim());
        }
        text.push('\n');
        Ok(text)
    }

    /// The files that git tracks in `directory`, relative to it; none outside a repository, or without git.
    pub(super) async fn tracked(&self, directory: &Path) -> Vec<PathBuf> {
        let arguments = ["ls-files", "-z", "--cached", "--recurse-submodules"];
        let Ok(output) = self.call(directory, &arguments).await else {
            return Vec::new();
        };
        if !output.status.success() {
            return Vec::new();
        }
        let names = output.stdout.split(|byte| *byte == 0);
        names
            .filter(|name| !name.is_empty())
            .map(|name| PathBuf::from(std::ffi::OsString::from_vec(name.to_vec())))
            .collect()
    }

    /// What commit the working copy around `directory` is at, and whether the directory holds something else than that
    /// and what matches `left_out` (pathspecs); none outside a repository, without git, or where the repository
    /// ignores the directory: then it only lies there.
    pub(super) async fn state(&self, directory: &Path, left_out: &[String]) -> Option<State> {
        let ignored = self
            .call(directory, &["check-ignore", "--quiet", "."])
            .await;
        if ignored.is_ok_and(|output| output.status.success()) {
            return None;
        }
        let head = ["rev-parse", "--verify", "--quiet", "HEAD"];
        let commit = self.output(directory, &head, "").await.ok()?;
        let mut status = vec!["status", "--porcelain=v1", "--untracked-files=normal"];
        status.extend(["--", "."]);
        status.extend(left_out.iter().map(String::as_str));
        let status = self.output(directory, &status, "").await.ok()?;
        is_commit(&commit).then_some(State {
            commit,
            unclean: !status.is_empty(),
        })
    }
}

/// Whether `text` is all digits of a commit (SHA-1 or SHA-256).
pub(super) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// An address, or a text with one, without what stands before the `@` of its host.
pub(crate) fn without_credentials(text: &str) -> String {
    let Some((before, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let end = rest.find(['/', '?', '#', ' ', '\'']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    format!("{before}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_shown() {
        assert_eq!(
            without_credentials("fatal: unable to access 'https://u:p@h:1/r@x/'"),
            "fatal: unable to access 'https://h:1/r@x/'"
        );
        assert_eq!(without_credentials("file:///r"), "file:///r");
    }

    #[tokio::test]
    async fn what_a_repository_ignores_is_no_part_of_it() {
        let repository = tempfile::tempdir().unwrap();
        let git = Git::new("file");
        let make = |name: &str| {
            let directory = repository.path().join(name);
            fs_err::create_dir(&directory).unwrap();
            fs_err::write(directory.join("file"), "").unwrap();
            directory
        };
        let (part, ignored) = (make("part"), make("ignored"));
        fs_err::write(repository.path().join(".gitignore"), "/ignored\n").unwrap();
        for arguments in [
            &["init", "--quiet"][..],
            &["add", "--all"],
            &[
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@localhost",
                "-c",
                "commit.gpgsign=false",
                "commit",
                "--quiet",
                "--message=one",
            ],
        ] {
            let output = git.call(repository.path(), arguments).await.unwrap();
            assert!(output.status.success(), "{output:?}");
        }
        assert!(!git.state(&part, &[]).await.unwrap().unclean);
        assert_eq!(git.state(&ignored, &[]).await, None);
    }
}
