//! The engine, asked through its own API: what is there, what has happened, and a command in a container.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::environment::variable;
use crate::http::{encode, exchange};

const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";
/// The lock file of the run that owns a container or volume.
const LABEL_LOCK: &str = "wheelfarm.lock";
const LABEL_ACTION: &str = "wheelfarm.action";
const LABEL_TOOL: &str = "wheelfarm.tool";
const LABEL_TOOL_VOLUME: &str = "wheelfarm.tool-volume";

/// The engine that `DOCKER_HOST` names.
#[derive(Debug, Clone)]
pub struct Engine {
    host: String,
}

/// A point in time, as questions for events take it. The engine is taken to have this machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct Moment(Duration);

impl Moment {
    /// Now.
    #[expect(clippy::disallowed_methods, reason = "the engine files events by time")]
    pub fn now() -> Result<Self> {
        let now = std::time::SystemTime::now();
        Ok(Self(now.duration_since(std::time::UNIX_EPOCH)?))
    }
}

impl Moment {
    /// What has passed of its second: differs from run to run.
    pub fn nanoseconds(&self) -> u64 {
        u64::from(self.0.subsec_nanos())
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:09}", self.0.as_secs(), self.0.subsec_nanos())
    }
}

/// A container that a farm made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FarmContainer {
    /// Its id.
    pub id: String,
    /// What it does: `build psycopg2 2.9.13 cp311-manylinux_2_36_x86_64`.
    pub action: String,
    /// `created`, `running`, `exited`.
    pub state: String,
}

/// A command to run in a fresh container.
#[derive(Debug, Clone)]
pub struct ContainerRun<'a> {
    /// The image.
    pub image: &'a str,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// Whether it shares the host's network; else it has none.
    pub host_network: bool,
    /// Files by absolute path.
    pub files: Vec<(String, Vec<u8>)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
    state: String,
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volume {
    name: String,
    labels: Option<BTreeMap<String, String>>,
}

impl Engine {
    /// Finds the engine; an error if it does not answer.
    pub fn connect() -> Result<Self> {
        let host = variable("DOCKER_HOST").unwrap_or_else(|| DEFAULT_HOST.to_owned());
        let engine = Self { host };
        engine.ping()?;
        Ok(engine)
    }

    /// The engine at `host`, whether it answers or not.
    pub fn at(host: &str) -> Self {
        Self {
            host: host.to_owned(),
        }
    }

    /// What `DOCKER_HOST` has to be.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// An error if it does not answer.
    pub fn ping(&self) -> Result<()> {
        let ping = self.get("/_ping");
        ping.with_context(|| format!("the Docker engine at {} does not answer", self.host))?;
        Ok(())
    }

    /// How it stores images.
    pub fn storage_driver(&self) -> Result<String> {
        let info: Value = serde_json::from_slice(&self.get("/info")?)?;
        let driver = info.get("Driver").and_then(Value::as_str);
        Ok(driver
            .context("the engine has no storage driver")?
            .to_owned())
    }

    /// Gives `other` this engine's image `name`.
    pub fn copy_image(&self, name: &str, other: &Self) -> Result<()> {
        let archive = self.get(&format!("/images/{name}/get"))?;
        let path = "/images/load?quiet=1";
        let (status, body) = other.request("POST", path, "application/x-tar", &archive)?;
        check(status, path, &body)
    }

    /// Every container and every volume that it has, by name or id.
    pub fn everything(&self) -> Result<Vec<String>> {
        let listed: Vec<Listed> = serde_json::from_slice(&self.get("/containers/json?all=1")?)?;
        let mut names: Vec<_> = listed.into_iter().map(|container| container.id).collect();
        let mut answer: Value = serde_json::from_slice(&self.get("/volumes")?)?;
        let volumes = answer.get_mut("Volumes").map(Value::take);
        let volumes: Option<Vec<Volume>> = serde_json::from_value(volumes.unwrap_or_default())?;
        names.extend(
            volumes
                .unwrap_or_default()
                .into_iter()
                .map(|volume| volume.name),
        );
        Ok(names)
    }

    /// Whether the engine has an image of this name.
    pub fn has_image(&self, name: &str) -> Result<bool> {
        let (status, body) =
            self.request("GET", &format!("/images/{name}/json"), "text/plain", &[])?;
        match status {
            200 => Ok(true),
            404 => Ok(false),
            _ => bail!(
                "the engine answers {status}: {}",
                String::from_utf8_lossy(&body)
            ),
        }
    }

    /// Containers, running or not, of the farm whose cache directory is `cache`.
    pub fn farm_containers(&self, cache: &Path) -> Result<Vec<FarmContainer>> {
        let filters = encode(&json!({ "label": [LABEL_LOCK] }).to_string());
        let listed: Vec<Listed> = serde_json::from_slice(
            &self.get(&format!("/containers/json?all=1&filters={filters}"))?,
        )?;
        let ours = listed
            .into_iter()
            .filter(|container| is_of(&container.labels, cache));
        let container = |mut listed: Listed| FarmContainer {
            action: listed.labels.remove(LABEL_ACTION).unwrap_or_default(),
            id: listed.id,
            state: listed.state,
        };
        Ok(ours.map(container).collect())
    }

    /// Volumes of the farm whose cache directory is `cache`, without those that hold a whole tool: they are kept
    /// for all farms.
    pub fn farm_volumes(&self, cache: &Path) -> Result<Vec<String>> {
        let mut answer: Value = serde_json::from_slice(&self.get("/volumes")?)?;
        let volumes = answer
            .get_mut("Volumes")
            .map(Value::take)
            .unwrap_or_default();
        let volumes: Option<Vec<Volume>> = serde_json::from_value(volumes)?;
        let volumes = volumes.unwrap_or_default();
        let label = |volume: &Volume, name: &str| volume.labels.as_ref()?.get(name).cloned();
        let full: Vec<_> = volumes
            .iter()
            .filter_map(|volume| label(volume, LABEL_TOOL_VOLUME))
            .collect();
        let left = volumes.iter().filter(|volume| {
            let kept = label(volume, LABEL_TOOL).is_some()
                && (label(volume, LABEL_TOOL_VOLUME).is_some() || full.contains(&volume.name));
            !kept
                && volume
                    .labels
                    .as_ref()
                    .is_some_and(|labels| is_of(labels, cache))
        });
        Ok(left.map(|volume| volume.name.clone()).collect())
    }

    /// What the containers made since `since` by the farm whose cache directory is `cache` were for.
    pub fn farm_containers_made_since(&self, since: Moment, cache: &Path) -> Result<Vec<String>> {
        let filters = encode(
            &json!({ "type": ["container"], "event": ["create"], "label": [LABEL_LOCK] })
                .to_string(),
        );
        let until = Moment::now()?;
        let events = self.get(&format!(
            "/events?since={since}&until={until}&filters={filters}"
        ))?;
        let mut made = Vec::new();
        for event in serde_json::Deserializer::from_slice(&events).into_iter::<Value>() {
            let event = event?;
            let attributes = event
                .pointer("/Actor/Attributes")
                .cloned()
                .unwrap_or_default();
            let attributes: BTreeMap<String, String> = serde_json::from_value(attributes)?;
            if is_of(&attributes, cache) {
                made.push(attributes.get(LABEL_ACTION).cloned().unwrap_or_default());
            }
        }
        Ok(made)
    }

    /// Runs a command in a fresh container, which is removed afterwards: exit code, and what it printed.
    pub fn run(&self, run: &ContainerRun<'_>) -> Result<(i64, String)> {
        let environment: Vec<_> = run
            .environment
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let body = json!({
            "Image": run.image,
            "Cmd": run.command,
            "Env": environment,
            "Labels": { "wheelfarm.tests": "1" },
            "HostConfig": { "NetworkMode": if run.host_network { "host" } else { "none" } },
        });
        let made = self.post("/containers/create", &body)?;
        let id = made
            .get("Id")
            .and_then(Value::as_str)
            .context("the engine made a container without an id")?;
        let result = self.run_in(id, run);
        self.request(
            "DELETE",
            &format!("/containers/{id}?force=1&v=1"),
            "text/plain",
            &[],
        )?;
        result
    }

    /// Builds an image from a Dockerfile, with the classic builder and no cache, and calls it `tag`; what the build printed.
    /// `directories` are what it may copy, by their names there. An error if it fails.
    pub fn build_image(
        &self,
        dockerfile: &str,
        directories: &[(&str, &Path)],
        tag: &str,
    ) -> Result<String> {
        let mut context = tar::Builder::new(Vec::new());
        context.follow_symlinks(false);
        for (name, directory) in directories {
            context.append_dir_all(name, directory)?;
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(dockerfile.len() as u64);
        header.set_mode(0o644);
        context.append_data(&mut header, "Dockerfile", dockerfile.as_bytes())?;
        let context = context.into_inner()?;
        let path = format!(
            "/build?t={}&nocache=1&rm=1&forcerm=1&networkmode=none",
            encode(tag)
        );
        let (status, body) = self.request("POST", &path, "application/x-tar", &context)?;
        check(status, &path, &body)?;
        let mut printed = String::new();
        for line in String::from_utf8_lossy(&body).lines() {
            let line: Value = serde_json::from_str(line)?;
            if let Some(error) = line.get("error").and_then(Value::as_str) {
                bail!("{printed}\n{error}");
            }
            printed.push_str(
                line.get("stream")
                    .and_then(Value::as_str)
                    .unwrap_or_default(),
            );
        }
        Ok(printed)
    }

    /// Loads a tar file of an image, as `docker load` does.
    pub fn load_image(&self, archive: &[u8]) -> Result<()> {
        let path = "/images/load?quiet=1";
        let (status, body) = self.request("POST", path, "application/x-tar", archive)?;
        check(status, path, &body)
    }

    /// The digests of an image's layers, unpacked.
    pub fn image_layers(&self, name: &str) -> Result<Vec<String>> {
        let image: Value = serde_json::from_slice(&self.get(&format!("/images/{name}/json"))?)?;
        let layers = image.pointer("/RootFS/Layers").and_then(Value::as_array);
        let layers = layers.context("an image without layers")?.iter();
        Ok(layers
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect())
    }

    /// Takes an image's name away, and the image if it has no other.
    pub fn remove_image(&self, name: &str) -> Result<()> {
        let path = format!("/images/{name}?force=1");
        let (status, body) = self.request("DELETE", &path, "text/plain", &[])?;
        check(status, &path, &body)
    }

    /// Runs a command in a container that runs: exit code, and what it printed.
    pub fn exec(&self, container: &str, command: &[&str]) -> Result<(i64, String)> {
        let body = json!({ "AttachStdout": true, "AttachStderr": true, "Cmd": command });
        let made = self.post(&format!("/containers/{container}/exec"), &body)?;
        let id = made.get("Id").and_then(Value::as_str);
        let id = id.context("the engine made a command without an id")?;
        let body = serde_json::to_vec(&json!({ "Detach": false, "Tty": false }))?;
        let path = format!("/exec/{id}/start");
        let (status, output) = self.request("POST", &path, "application/json", &body)?;
        check(status, &path, &output)?;
        let ended: Value = serde_json::from_slice(&self.get(&format!("/exec/{id}/json"))?)?;
        let code = ended.get("ExitCode").and_then(Value::as_i64);
        Ok((
            code.context("the command has no exit code")?,
            demultiplex(&output),
        ))
    }

    /// Removes a container, whether it runs or not.
    pub fn remove(&self, container: &str) -> Result<()> {
        let path = format!("/containers/{container}?force=1");
        let (status, body) = self.request("DELETE", &path, "text/plain", &[])?;
        check(status, &path, &body)
    }

    fn run_in(&self, id: &str, run: &ContainerRun<'_>) -> Result<(i64, String)> {
        let archive = archive(&run.files)?;
        let path = format!("/containers/{id}/archive?path=/");
        let (status, body) = self.request("PUT", &path, "application/x-tar", &archive)?;
        check(status, &path, &body)?;
        self.post(&format!("/containers/{id}/start"), &Value::Null)?;
        let ended = self.post(&format!("/containers/{id}/wait"), &Value::Null)?;
        let code = ended
            .get("StatusCode")
            .and_then(Value::as_i64)
            .context("the container has no exit code")?;
        let log = self.get(&format!("/containers/{id}/logs?stdout=1&stderr=1"))?;
        Ok((code, demultiplex(&log)))
    }

    fn get(&self, path: &str) -> Result<Vec<u8>> {
        let (status, body) = self.request("GET", path, "text/plain", &[])?;
        check(status, path, &body)?;
        Ok(body)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let sent = if body.is_null() {
            Vec::new()
        } else {
            serde_json::to_vec(body)?
        };
        let (status, body) = self.request("POST", path, "application/json", &sent)?;
        check(status, path, &body)?;
        Ok(if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&body)?
        })
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<(u16, Vec<u8>)> {
        if let Some(socket) = self.host.strip_prefix("unix://") {
            let stream = UnixStream::connect(socket)
                .with_context(|| format!("no connection to {socket}"))?;
            return exchange(stream, method, path, content_type, body);
        }
        let address = self
            .host
            .trim_start_matches("tcp://")
            .trim_start_matches("http://");
        let stream =
            TcpStream::connect(address).with_context(|| format!("no connection to {address}"))?;
        exchange(stream, method, path, content_type, body)
    }
}

fn is_of(labels: &BTreeMap<String, String>, cache: &Path) -> bool {
    labels
        .get(LABEL_LOCK)
        .is_some_and(|lock| Path::new(lock).starts_with(cache))
}

fn check(status: u16, path: &str, body: &[u8]) -> Result<()> {
    // 304: it was started already.
    if (200..300).contains(&status) || status == 304 {
        return Ok(());
    }
    bail!(
        "the engine answers {status} to {path}: {}",
        String::from_utf8_lossy(body)
    )
}

fn archive(files: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path.trim_start_matches('/'), bytes.as_slice())?;
    }
    Ok(builder.into_inner()?)
}

/// The text of a log of both streams: frames of one byte for the stream, three of nothing, four of length.
fn demultiplex(mut log: &[u8]) -> String {
    let mut text = Vec::new();
    while let Some((header, rest)) = log.split_first_chunk::<8>() {
        let [.., a, b, c, d] = *header;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(rest.len());
        let (frame, rest) = rest.split_at(length.min(rest.len()));
        text.extend_from_slice(frame);
        log = rest;
    }
    String::from_utf8_lossy(&text).into_owned()
}
