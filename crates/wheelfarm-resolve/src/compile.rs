//! Resolving: `uv pip compile` to a PEP 751 lock, kept in the store.

use std::path::PathBuf;
use std::process::Stdio;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use wheelfarm_store::Store;
use wheelfarm_types::{Digest, Libc, ProjectName, PythonVersion, Requirement, Target, Version};

use crate::fetch::SOURCE_LIMIT;
use crate::interpreter::{REFUSAL, stand_in};
use crate::raw_lock::file_url;
use crate::sources::Source;
use crate::watch;
use crate::{IndexSettings, Lock, ResolveError, ResolveErrorKind, Uv};

/// What is asked of the resolver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CompileRequest {
    /// What is wanted.
    pub requirements: Vec<Requirement>,
    /// What else must hold of versions that are chosen.
    pub constraints: Vec<Requirement>,
    /// For which Python.
    pub python: PythonVersion,
    /// For which platform.
    pub target: Target,
    /// Take wheels only, as for build requirements.
    pub only_wheels: bool,
    /// Leave out what the requirements themselves require.
    pub no_dependencies: bool,
    /// What is seldom asked.
    #[serde(flatten)]
    pub options: CompileOptions,
}

/// What is seldom asked of the resolver. What is not asked does not stand in the key of a lock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CompileOptions {
    /// Names of which only versions with wheels are taken, or `:all:`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only_binary: Vec<String>,
    /// Names that `:all:` does not mean.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_only_binary: Vec<String>,
    /// Take versions that are not final.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub prereleases: bool,
    /// Sources that are on no index, which are wanted too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
}

/// What a package requires, for packages that do not say so without running their code. In the form of uv's
/// `dependency-metadata` setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StaticMetadata {
    /// Project.
    pub name: ProjectName,
    /// Version.
    pub version: Version,
    /// `Requires-Dist` of its metadata.
    pub requires_dist: Vec<String>,
    /// `Requires-Python` of its metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requires_python: Option<String>,
}

/// Resolves with one uv, one set of settings and one store.
#[derive(Debug, Clone)]
pub struct Resolver {
    /// Where locks are kept.
    pub store: Store,
    /// The pinned resolver.
    pub uv: Uv,
    /// Where uv keeps its cache, and the stand-in interpreters lie.
    pub cache: PathBuf,
    /// The user's index settings.
    pub settings: IndexSettings,
}

/// A resolution in the store; the series' number is the time it was made, in seconds since 1970.
#[derive(Serialize, Deserialize)]
struct LockRecord {
    /// The blob with the `pylock.toml`.
    lock: Digest,
}

/// What identifies a resolution: the same request to another index is another one.
#[derive(Serialize)]
struct LockKey<'a> {
    schema: u32,
    request: &'a CompileRequest,
    uv: &'a str,
    indexes: &'a [String],
}

impl Resolver {
    /// The lock for `request`: from the store if one was made at or after `not_before` (seconds since 1970),
    /// else resolved now. `now` is the time a new one is filed under.
    ///
    /// No code of any package runs: a package whose dependencies can only be had by running its build back end
    /// is an error of kind [`ResolveErrorKind::NeedsBuild`], unless `known` has them. What is known does not
    /// identify the lock: it is what the package itself would say.
    pub async fn compile(
        &self,
        request: &CompileRequest,
        known: &[StaticMetadata],
        not_before: u64,
        now: u64,
    ) -> Result<Lock, ResolveError> {
        if let Some((_, lock)) = self.stored(request, not_before).await? {
            return Ok(lock);
        }
        let text = self.run_uv(request, known).await?;
        self.keep(request, text, now).await
    }

    /// Keeps `text`, a `pylock.toml`, as the lock for `request` that was made at `now`.
    pub async fn keep(
        &self,
        request: &CompileRequest,
        text: String,
        now: u64,
    ) -> Result<Lock, ResolveError> {
        let lock = Lock::parse(&text, &request.options.sources)?;
        let record = LockRecord {
            lock: self.store.put(text.into()).await?,
        };
        self.store
            .append("lock", &self.key(request), now, &record)
            .await?;
        Ok(lock)
    }

    /// The lock that `request` would have if `assumed` held. Nothing is kept of it: an assumption may be wrong.
    pub async fn foresee(
        &self,
        request: &CompileRequest,
        assumed: &[StaticMetadata],
    ) -> Result<Lock, ResolveError> {
        let text = self.run_uv(request, assumed).await?;
        Lock::parse(&text, &request.options.sources)
    }

    /// The newest lock for `request` that was made at or after `not_before`, with the time it was made; both in
    /// seconds since 1970. Resolves nothing.
    pub async fn stored(
        &self,
        request: &CompileRequest,
        not_before: u64,
    ) -> Result<Option<(u64, Lock)>, ResolveError> {
        let key = self.key(request);
        let Some((made, LockRecord { lock })) =
            self.store.latest::<LockRecord>("lock", &key).await?
        else {
            return Ok(None);
        };
        if made < not_before {
            return Ok(None);
        }
        // One whose text was lost is made again.
        let Ok(text) = self.store.get(&lock).await else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&text);
        let lock = Lock::parse(&text, &request.options.sources)?;
        Ok(Some((made, lock)))
    }

    /// Under which key locks for `request` are filed.
    fn key(&self, request: &CompileRequest) -> Digest {
        let key = LockKey {
            schema: 1,
            request,
            uv: &self.uv.version,
            indexes: &self.settings.index_identity,
        };
        Digest::of(serde_json::to_vec(&key).unwrap_or_default())
    }

    async fn run_uv(
        &self,
        request: &CompileRequest,
        known: &[StaticMetadata],
    ) -> Result<String, ResolveError> {
        let error = |message: String| ResolveError::new(ResolveErrorKind::Uv, message);
        let interpreter = stand_in(
            &self.cache.join("interpreters"),
            request.python,
            request.target,
        )?;
        let mut requirements = lines(&request.requirements);
        for source in &request.options.sources {
            requirements.push('\n');
            requirements.push_str(&self.source_line(source).await?);
        }
        let constraints = tempfile::NamedTempFile::new()?;
        fs_err::write(constraints.path(), lines(&request.constraints))?;

        let mut command = Command::new(&self.uv.path);
        command
            .args([
                "pip",
                "compile",
                "--format",
                "pylock.toml",
                "--quiet",
                "--color",
                "never",
                "--no-header",
            ])
            .args(["--no-python-downloads", "--no-build-isolation"])
            .args(["--python-version", &request.python.release()])
            .arg("--python")
            .arg(interpreter)
            .arg("--cache-dir")
            .arg(self.cache.join("uv"))
            .arg("--constraints")
            .arg(constraints.path())
            .envs(&self.settings.uv_environment);
        // In a directory of its own: its settings, the project's and what is known, join the user's.
        let directory = tempfile::tempdir()?;
        let settings = directory.path().join("uv.toml");
        fs_err::write(&settings, self.uv_toml(known)?)?;
        command
            .current_dir(directory.path())
            .env_remove("UV_NO_CONFIG")
            .env_remove("UV_CONFIG_FILE");
        if self.settings.uv_settings_alone {
            command.arg("--config-file").arg(&settings);
        }
        if let Some(platform) = uv_platform(request.target) {
            command.args(["--python-platform", &platform]);
        }
        if request.only_wheels {
            command.args(["--only-binary", ":all:"]);
        }
        if request.no_dependencies {
            command.arg("--no-deps");
        }
        for name in &request.options.only_binary {
            command.args(["--only-binary", name]);
        }
        for name in &request.options.not_only_binary {
            command.args(["--no-binary", name]);
        }
        if request.options.prereleases {
            command.args(["--prerelease", "allow"]);
        }
        let mut child = command
            .arg("-")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| {
                error(format!(
                    "`{}` could not be started: {e}",
                    self.uv.path.display()
                ))
            })?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(requirements.as_bytes()).await?;
        }
        let pid = child.id();
        let cache = self.cache.join("uv");
        let output = tokio::select! {
            output = child.wait_with_output() => output?,
            excess = watch::excess(pid, &cache, watch::BOUNDS) => return Err(excess.conclude().await.within(&subject(request))),
        };
        if output.status.success() {
            let text = String::from_utf8(output.stdout)
                .map_err(|_| error("uv printed a lock that is not UTF-8".to_owned()))?;
            return Ok(self.without_places(text, &request.options.sources));
        }
        Err(explain(request, &String::from_utf8_lossy(&output.stderr)))
    }
}

impl Resolver {
    /// The project's settings for uv, with the metadata that is `known`.
    fn uv_toml(&self, known: &[StaticMetadata]) -> Result<String, ResolveError> {
        let error = |e: &dyn std::fmt::Display| {
            let message = format!("the settings for uv could not be written: {e}");
            ResolveError::new(ResolveErrorKind::Uv, message)
        };
        let mut settings = self.settings.uv_settings.clone();
        if !known.is_empty() {
            let stated = settings
                .entry("dependency-metadata")
                .or_insert_with(|| toml::Value::Array(Vec::new()));
            if let Some(stated) = stated.as_array_mut() {
                for known in known {
                    stated.push(toml::Value::try_from(known).map_err(|e| error(&e))?);
                }
            }
        }
        toml::to_string(&settings).map_err(|e| error(&e))
    }

    /// The requirement by which uv gets `source`: a file of the cache, whose path has its digest.
    async fn source_line(&self, source: &Source) -> Result<String, ResolveError> {
        let directory = self.place_of(source);
        let mut name = source.filename();
        if source.subdirectory.is_some() {
            name = name.replace(".zip", ".tar.gz");
        }
        let path = directory.join(name);
        if !path.exists() {
            fs_err::create_dir_all(&directory)?;
            let sha256 = source.sha256();
            let bytes = self.store.get_up_to(&sha256, SOURCE_LIMIT).await?;
            let bytes = source.for_resolver(bytes)?;
            let temporary = tempfile::NamedTempFile::new_in(&directory)?;
            fs_err::write(temporary.path(), bytes)?;
            temporary.persist(&path).map_err(|error| error.error)?;
        }
        let extras = match source.extras.as_slice() {
            [] => String::new(),
            extras => format!("[{}]", extras.join(",")),
        };
        let marker = source.marker.as_ref();
        Ok(format!(
            "{}{extras} @ {}{}",
            source.name,
            file_url(&path)?,
            marker
                .map(|marker| format!(" ; {marker}"))
                .unwrap_or_default(),
        ))
    }

    fn place_of(&self, source: &Source) -> PathBuf {
        let mut name = source.sha256().to_string();
        if let Some(subdirectory) = &source.subdirectory {
            name = Digest::of(format!("{name} {subdirectory}")).to_string();
        }
        self.cache.join("sources").join(name)
    }

    /// `text` without the paths of this machine: what is kept of `sources` is their names and digests.
    fn without_places(&self, mut text: String, sources: &[Source]) -> String {
        for source in sources {
            let place = format!("{}/", self.place_of(source).display());
            text = text.replace(&place, "");
        }
        text
    }
}

/// A requirements file, one a line.
fn lines(requirements: &[Requirement]) -> String {
    let lines: Vec<_> = requirements.iter().map(Requirement::as_str).collect();
    lines.join("\n")
}

/// The name uv has for `target`, or for the newest platform below it that uv has a name for.
fn uv_platform(target: Target) -> Option<String> {
    let arch = target.arch.as_str();
    // The architectures with `<arch>-manylinux_2_NN` in uv's list; for others the stand-in interpreter says it.
    if !matches!(arch, "x86_64" | "aarch64") {
        return None;
    }
    match target.libc {
        Libc::Musl { .. } => Some(format!("{arch}-unknown-linux-musl")),
        Libc::Glibc { minor, .. } => {
            let known = match minor {
                40.. => 40,
                31.. => minor,
                28.. => 28,
                _ => 17,
            };
            Some(format!("{arch}-manylinux_2_{known}"))
        }
    }
}

/// What is asked for, as errors name it.
fn subject(request: &CompileRequest) -> String {
    let sources = request
        .options
        .sources
        .iter()
        .map(|source| source.name.as_str());
    let wanted = request
        .requirements
        .iter()
        .map(Requirement::as_str)
        .chain(sources)
        .collect::<Vec<_>>()
        .join(", ");
    format!(
        "`{wanted}` for Python {} on {}",
        request.python, request.target
    )
}

/// Turns what uv says into one of our errors.
fn explain(request: &CompileRequest, stderr: &str) -> ResolveError {
    let message: Vec<_> = stderr
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("hint:"))
        .map(|line| {
            line.trim_start_matches("error: ")
                .trim_start_matches("cause: ")
        })
        .collect();
    let message = message.join(": ");
    let subject = subject(request);
    if stderr.contains(REFUSAL) {
        let package = needs_build(&message);
        let named =
            package
                .as_ref()
                .map_or("a package".to_owned(), |(name, version)| match version {
                    Some(version) => format!("`{name}=={version}`"),
                    None => format!("`{name}`"),
                });
        return ResolveError::new(
            ResolveErrorKind::NeedsBuild,
            format!(
                "{subject}: the dependencies of {named} are known only by running its code, which is never done outside a builder"
            ),
        )
        .needing(package);
    }
    if stderr.contains("No solution found") {
        let hint = if stderr.contains("was not found in the package registry") {
            "look at the spelling, and at the index: UV_DEFAULT_INDEX, PIP_INDEX_URL or pip.conf say which is asked"
        } else {
            "look at the versions the index has for this Python, and at the constraints"
        };
        return ResolveError::new(
            ResolveErrorKind::Unsatisfiable,
            format!("{subject}: {message}"),
        )
        .hint(hint);
    }
    if stderr.contains("Hash mismatch for") {
        return ResolveError::new(
            ResolveErrorKind::HashMismatch,
            format!("{subject}: {message}"),
        )
        .hint("the file was changed after it was published, or on its way here; nothing of it was kept");
    }
    // uv opens archives when their metadata is not served beside them.
    let broken = [
        "Failed to extract archive",
        "does not appear to be a Python project",
        "Invalid tar file",
        "Failed to parse metadata",
    ];
    if broken.iter().any(|sign| stderr.contains(sign)) {
        return ResolveError::new(ResolveErrorKind::Source, format!("{subject}: {message}"));
    }
    let network = [
        "error sending request",
        "Failed to fetch",
        "Could not connect",
        "dns error",
        "status code",
        "client error",
    ];
    if network.iter().any(|sign| stderr.contains(sign)) {
        return ResolveError::new(ResolveErrorKind::Network, format!("{subject}: {message}"))
            .hint("is the index reachable from here? Proxy (HTTPS_PROXY), authority (SSL_CERT_FILE) and index settings are taken from the environment and pip.conf");
    }
    ResolveError::new(ResolveErrorKind::Uv, format!("{subject}: {message}"))
}

/// The package that uv could not build metadata of: "Failed to build `uwsgi==2.0.31`", or "`x @ file:...`".
fn needs_build(message: &str) -> Option<(ProjectName, Option<Version>)> {
    let (_, rest) = message.split_once("Failed to build `")?;
    let (package, _) = rest.split_once('`')?;
    if let Some((name, _)) = package.split_once(" @ ") {
        return Some((name.parse().ok()?, None));
    }
    let (name, version) = package.split_once("==")?;
    Some((name.parse().ok()?, Some(version.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_without_metadata_is_named() {
        let stderr =
            format!("error: Failed to build `uwsgi==2.0.31`\n  cause: [stderr]\n  {REFUSAL}\n");
        let request = CompileRequest {
            requirements: vec!["uwsgi".parse().unwrap()],
            constraints: Vec::new(),
            python: "3.11".parse().unwrap(),
            target: "manylinux_2_36_x86_64".parse().unwrap(),
            only_wheels: false,
            no_dependencies: false,
            options: CompileOptions::default(),
        };
        let error = explain(&request, &stderr);
        assert_eq!(error.kind(), ResolveErrorKind::NeedsBuild);
        let (name, version) = error.needs_build().unwrap();
        assert_eq!(
            (
                name.as_str(),
                version.as_ref().unwrap().to_string().as_str()
            ),
            ("uwsgi", "2.0.31")
        );
        let stderr = format!("error: Failed to build `x @ file:///x.tar.gz`\n {REFUSAL}");
        let error = explain(&request, &stderr);
        assert_eq!(error.needs_build().unwrap(), &("x".parse().unwrap(), None));
    }

    #[test]
    fn platforms_are_the_newest_uv_knows() {
        for (target, platform) in [
            ("manylinux_2_41_x86_64", Some("x86_64-manylinux_2_40")),
            ("manylinux_2_36_x86_64", Some("x86_64-manylinux_2_36")),
            ("manylinux_2_30_aarch64", Some("aarch64-manylinux_2_28")),
            ("manylinux2014_x86_64", Some("x86_64-manylinux_2_17")),
            ("musllinux_1_2_x86_64", Some("x86_64-unknown-linux-musl")),
            ("manylinux_2_28_s390x", None),
        ] {
            assert_eq!(
                uv_platform(target.parse().unwrap()).as_deref(),
                platform,
                "{target}"
            );
        }
    }
}
