//! What to write where to use this index: with the address by which the page was asked for.

use wheelfarm_types::{Digest, WheelFilename};

use super::address::Address;
use crate::registry::Channel;

/// A text to copy.
#[derive(Debug)]
pub(super) struct Snippet {
    /// The tool or file it is for.
    pub(super) name: &'static str,
    pub(super) text: String,
}

fn snippet(name: &'static str, text: String) -> Snippet {
    Snippet { name, text }
}

/// The simple API of a channel.
pub(super) fn simple(address: &Address, channel: &Channel) -> String {
    format!("{}{}/simple/", address.as_str(), channel.prefix())
}

/// How to use a channel, with `project` as the example.
pub(super) fn of_channel(address: &Address, channel: &Channel, project: &str) -> Vec<Snippet> {
    let index = simple(address, channel);
    let upload = format!("{}{}/legacy/", address.as_str(), channel.prefix());
    let trusted = if address.is_trusted() {
        String::new()
    } else {
        format!(" --trusted-host {}", address.host())
    };
    vec![
        snippet(
            "pip",
            format!("pip install --index-url {index}{trusted} {project}"),
        ),
        snippet(
            "uv",
            format!("uv pip install --default-index {index} {project}"),
        ),
        snippet(
            "uv (pyproject.toml)",
            format!("[[tool.uv.index]]\nname = \"wheelfarm\"\nurl = \"{index}\"\ndefault = true"),
        ),
        snippet(
            "poetry",
            format!("poetry source add --priority=primary wheelfarm {index}\npoetry add {project}"),
        ),
        snippet("Dockerfile", dockerfile(&index, &trusted, project)),
        snippet(
            "twine",
            format!("twine upload --repository-url {upload} dist/*"),
        ),
        snippet(
            "uv publish",
            format!("uv publish --publish-url {upload} dist/*"),
        ),
    ]
}

/// How to install one project.
pub(super) fn of_project(address: &Address, channel: &Channel, project: &str) -> Vec<Snippet> {
    let mut snippets = of_channel(address, channel, project);
    snippets.retain(|snippet| matches!(snippet.name, "pip" | "uv" | "Dockerfile"));
    snippets
}

/// How to install this very file and no other.
pub(super) fn of_file(
    address: &Address,
    channel: &Channel,
    project: &str,
    version: &str,
    digest: &Digest,
    filename: Option<&WheelFilename>,
) -> Vec<Snippet> {
    let index = simple(address, channel);
    let trusted = if address.is_trusted() {
        String::new()
    } else {
        format!(" --trusted-host {}", address.host())
    };
    let line = format!("{project}=={version} --hash=sha256:{digest}");
    vec![
        snippet(
            "requirements.txt",
            format!("{project}=={version} \\\n    --hash=sha256:{digest}"),
        ),
        snippet(
            "pip",
            format!(
                "pip install --require-hashes --no-deps --index-url {index}{trusted} -r requirements.txt"
            ),
        ),
        snippet(
            "uv",
            format!(
                "uv pip install --require-hashes --no-deps --default-index {index} -r requirements.txt"
            ),
        ),
        snippet(
            "Dockerfile",
            format!(
                "FROM {}\nRUN echo \"{line}\" > /requirements.txt \\\n && pip install --no-cache-dir --require-hashes --no-deps \\\n      --index-url {index}{trusted} -r /requirements.txt",
                image(filename)
            ),
        ),
    ]
}

/// A public image in which a wheel can be installed.
fn image(filename: Option<&WheelFilename>) -> String {
    let release = filename.and_then(|filename| {
        let digits = filename.pythons.first()?.strip_prefix("cp")?;
        let (major, minor) = digits.split_at_checked(1)?;
        minor
            .parse::<u8>()
            .ok()
            .map(|minor| format!("{major}.{minor}"))
    });
    let musl = filename.is_some_and(|filename| {
        filename
            .platforms
            .iter()
            .all(|tag| tag.starts_with("musllinux"))
    });
    let system = if musl { "alpine" } else { "slim" };
    format!("python:{}-{system}", release.as_deref().unwrap_or("3"))
}

fn dockerfile(index: &str, trusted: &str, project: &str) -> String {
    format!(
        "FROM python:3-slim\nRUN pip install --no-cache-dir --only-binary=:all: \\\n      --index-url {index}{trusted} {project}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_fits_the_wheel() {
        let of = |name: &str| image(Some(&name.parse().unwrap()));
        assert_eq!(
            of("x-1-cp311-cp311-manylinux_2_28_x86_64.whl"),
            "python:3.11-slim"
        );
        assert_eq!(
            of("x-1-cp39-abi3-musllinux_1_2_x86_64.whl"),
            "python:3.9-alpine"
        );
        assert_eq!(of("x-1-py3-none-any.whl"), "python:3-slim");
    }
}
