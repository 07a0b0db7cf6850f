//! Uploads to the server as a process: as real clients send them, and bad ones.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use wheelfarm_tests::clients::{Client, Home, finish};
use wheelfarm_tests::compiled::fresh_wheel;
use wheelfarm_tests::environment::architecture;
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::process::wait_for;
use wheelfarm_tests::server::Server;
use wheelfarm_tests::shelf::{SmallWheel, archive, wheel_file};
use wheelfarm_tests::uploaders::{Upload, listed, whole};
use zip::CompressionMethod;

use crate::transport::make_signed_certificate;

/// A new token of the farm.
pub(crate) fn token(farm: &Farm, arguments: &[&str]) -> String {
    let create = ["token", "create"].iter().chain(arguments);
    let run = farm.run(create).unwrap();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    run.stdout.lines().last().unwrap().to_owned()
}

/// A new token that allows uploads.
pub(crate) fn writing(farm: &Farm) -> String {
    token(farm, &["--scope", "write"])
}

/// What uploads the file `dist/<filename>` of a home.
fn publish(home: &Home, client: Client, server: &Server, token: &str, filename: &str) -> Command {
    publish_to(home, client, &server.url("/legacy/"), token, filename)
}

/// The same, to this address.
fn publish_to(home: &Home, client: Client, address: &str, token: &str, filename: &str) -> Command {
    let file = format!("dist/{filename}");
    let account = ["--username", "__token__", "--password", token];
    let mut arguments = match client {
        Client::Twine => vec!["upload", "--non-interactive", "--repository-url", address],
        Client::Uv => vec![
            "publish",
            "--trusted-publishing",
            "never",
            "--publish-url",
            address,
        ],
        Client::Poetry => vec!["publish", "--repository", "farm"],
        _ => vec!["publish", "--no-build", "--repository", address],
    };
    arguments.extend(account);
    if matches!(client, Client::Twine | Client::Uv) {
        arguments.push(&file);
    }
    let mut command = home.command(client, &arguments).unwrap();
    // Wide enough that no sentence is broken.
    command
        .env("COLUMNS", "1000")
        .env("POETRY_REPOSITORIES_FARM_URL", address);
    command
}

/// Runs a client: whether it succeeded, and what its user saw.
fn said(mut command: Command) -> (bool, String) {
    let output = finish(&mut command).unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &output.stderr;
    let words: Vec<_> = text.split_whitespace().collect();
    (output.status.success(), words.join(" "))
}

/// A home with a wheel in `dist`.
fn home_with(wheel: &SmallWheel, bytes: &[u8]) -> Home {
    let home = Home::new().unwrap();
    let directory = home.path().join("dist");
    fs_err::create_dir_all(&directory).unwrap();
    fs_err::write(directory.join(wheel.filename()), bytes).unwrap();
    home.file(
        "pyproject.toml",
        &format!(
            "[project]\nname = \"{}\"\nversion = \"{}\"\nrequires-python = \">=3.9\"\n",
            wheel.name(),
            wheel.version()
        ),
    )
    .unwrap();
    home
}

/// Uploads with a client: once, again, and other bytes under the same name.
fn published_once(client: Client) {
    let farm = Farm::new().unwrap();
    let token = writing(&farm);
    let server = Server::start(&farm, &[]).unwrap();
    let wheel = SmallWheel::new("wfup", "1.0");
    let name = wheel.filename();
    let home = home_with(&wheel, &wheel.bytes().unwrap());
    for _ in 0..2 {
        let (succeeded, text) = said(publish(&home, client, &server, &token, &name));
        assert!(succeeded, "{client:?}: {text}");
        assert_eq!(whole(server.address(), "wfup").unwrap(), [&*name]);
    }
    let files = listed(server.address(), "wfup").unwrap();
    assert!(files[&name].contains(&wheel.sha256().unwrap()), "{files:?}");
    let other = home_with(&wheel, &wheel.clone().weighing(1).bytes().unwrap());
    let (succeeded, text) = said(publish(&other, client, &server, &token, &name));
    assert!(!succeeded, "{client:?}: {text}");
    // pdm shows the status and keeps the reason to itself.
    let reason = match client {
        Client::Pdm => "409 Conflict",
        _ => "File already exists",
    };
    assert!(text.contains(reason), "{client:?}: {text}");
    assert_eq!(listed(server.address(), "wfup").unwrap(), files);
}

#[test]
fn twine_publishes_a_name_once() {
    published_once(Client::Twine);
}

#[test]
fn uv_publishes_a_name_once() {
    published_once(Client::Uv);
}

#[test]
fn poetry_publishes_a_name_once() {
    published_once(Client::Poetry);
}

#[test]
fn pdm_publishes_a_name_once() {
    published_once(Client::Pdm);
}

#[test]
fn users_see_what_is_wrong_with_their_token() {
    let farm = Farm::new().unwrap();
    let expired = token(
        &farm,
        &["--scope", "write", "--name", "old", "--expires", "1s"],
    );
    let read = token(&farm, &["--scope", "read", "--name", "reader"]);
    let staging = [
        "--scope",
        "write",
        "--channel",
        "staging",
        "--name",
        "other",
    ];
    let elsewhere = token(&farm, &staging);
    let server = Server::start(&farm, &[]).unwrap();
    let wheel = SmallWheel::new("wfup", "1.0");
    let home = home_with(&wheel, &wheel.bytes().unwrap());
    wait_for("the end of a token", Duration::from_secs(10), || {
        let (status, _) = server.ask("POST", "/legacy/", &expired, "")?;
        Ok((status == 401).then_some(()))
    })
    .unwrap();
    for (token, reason) in [
        ("wfarm_guessed", "the token is not known"),
        (&*expired, "the token `old` has expired"),
        (
            &read,
            "the token `reader` does not allow to write in `main`",
        ),
        (
            &elsewhere,
            "the token `other` does not allow to write in `main`",
        ),
    ] {
        for client in [Client::Twine, Client::Uv] {
            let command = publish(&home, client, &server, token, &wheel.filename());
            let (succeeded, text) = said(command);
            assert!(!succeeded, "{client:?}: {text}");
            assert!(text.contains(reason), "{client:?}: `{reason}`: {text}");
        }
    }
    assert!(listed(server.address(), "wfup").unwrap().is_empty());
}

#[test]
fn users_see_that_a_file_is_too_large() {
    let farm = Farm::new().unwrap();
    let token = writing(&farm);
    let server = Server::start(&farm, &["--set", "index.max-file=\"1MiB\""]).unwrap();
    // The second one is known to be too large before it is read.
    for weight in [2 << 20, 20 << 20] {
        let wheel = SmallWheel::new("wfup", "1.0").weighing(weight);
        let home = home_with(&wheel, &wheel.bytes().unwrap());
        for client in [Client::Twine, Client::Uv] {
            let command = publish(&home, client, &server, &token, &wheel.filename());
            let (succeeded, text) = said(command);
            assert!(!succeeded, "{client:?}: {text}");
            let reason = "1048576 bytes";
            assert!(text.contains(reason), "{client:?}, {weight}: {text}");
            assert!(text.contains("taken here"), "{client:?}, {weight}: {text}");
        }
    }
    assert!(listed(server.address(), "wfup").unwrap().is_empty());
}

#[test]
fn uploads_go_over_tls_with_a_private_authority() {
    let farm = Farm::new().unwrap();
    let token = writing(&farm);
    let (certificate, key, authority) = make_signed_certificate(&farm.work()).unwrap();
    let [certificate, key, authority] =
        [certificate, key, authority].map(|path| path.display().to_string());
    let arguments = ["--tls-cert", &certificate, "--tls-key", &key];
    let server = Server::start(&farm, &arguments).unwrap();
    // The certificate is for a name.
    let port = server.address().rsplit(':').next().unwrap();
    let address = format!("https://localhost:{port}/legacy/");
    for client in [Client::Twine, Client::Uv] {
        let wheel = SmallWheel::new("wftls", "1.0").weighing(3_000_000);
        let home = home_with(&wheel, &wheel.bytes().unwrap());
        let mut command = publish_to(&home, client, &address, &token, &wheel.filename());
        command.env("UV_HTTP_RETRIES", "0");
        let (succeeded, text) = said(command);
        assert!(!succeeded, "{client:?} trusts anybody: {text}");
        command = publish_to(&home, client, &address, &token, &wheel.filename());
        command
            .env("SSL_CERT_FILE", &authority)
            .env("TWINE_CERT", &authority);
        let (succeeded, text) = said(command);
        assert!(succeeded, "{client:?}: {text}");
    }
    // And this program, as the third.
    let wheel = SmallWheel::new("wftls", "2.0");
    let name = wheel.filename();
    let other = Farm::new().unwrap();
    fs_err::write(other.work().join(&name), wheel.bytes().unwrap()).unwrap();
    let words = ["publish", "--index", &address, "--token", &token, &name];
    let run = other.run(words).unwrap();
    assert_eq!(run.code, Some(4), "{}", run.stderr);
    assert!(run.stderr.contains("certificate"), "{}", run.stderr);
    let other = other.with("SSL_CERT_FILE", &authority);
    let run = other.run(words).unwrap();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let log = farm.run(["index", "log", "wftls"]).unwrap().stdout;
    assert_eq!(log.lines().count(), 2, "{log}");
}

/// METADATA of another project than that of the file's name.
const OTHER: &[u8] = b"Metadata-Version: 2.1\nName: wfother\nVersion: 1.0\n";

/// A wheel named `filename` of `wfbad` 1.0 with one more member and this METADATA.
fn bad_wheel(filename: &str, member: (&str, Vec<u8>), metadata: Vec<u8>) -> Upload {
    let info = "wfbad-1.0.dist-info";
    let stem = filename.strip_suffix(".whl").unwrap();
    let tag = stem.strip_prefix("wfbad-1.0-").unwrap();
    let members = [
        (member.0.to_owned(), member.1),
        (format!("{info}/METADATA"), metadata),
        (format!("{info}/WHEEL"), wheel_file(tag)),
    ];
    let bytes = archive(info, &members, CompressionMethod::Deflated).unwrap();
    Upload::new("wfbad", "1.0", filename, bytes)
}

/// The object of a module that needs a library which no system has.
fn object() -> Vec<u8> {
    let directory = TempDir::new().unwrap();
    let libraries = TempDir::new().unwrap();
    fresh_wheel(directory.path(), libraries.path(), "wfbad").unwrap();
    fs_err::read(directory.path().join("_demo.so")).unwrap()
}

#[test]
fn bad_uploads_are_refused_with_a_reason() {
    let farm = Farm::new().unwrap();
    let token = writing(&farm);
    let server = Server::start(&farm, &[]).unwrap();
    let wheel = SmallWheel::new("wfbad", "1.0");
    let name = wheel.filename();
    let good = Upload::of(&wheel).unwrap();
    let of = |name: &str, bytes| Upload::new("wfbad", "1.0", name, bytes);
    let mut bytes = wheel.bytes().unwrap();
    let outside = of("../../wfbad-1.0-py3-none-any.whl", bytes.clone());
    let other = of("wfbad-2.0-py3-none-any.whl", bytes.clone());
    bytes.truncate(bytes.len() / 2);
    let truncated = of(&name, bytes);
    let metadata = wheel.metadata().into_bytes();
    let huge = || vec![b' '; 100 << 20];
    let module = ("wfbad.py", Vec::new());
    let linux = format!("wfbad-1.0-cp311-cp311-linux_{}.whl", architecture());
    let glibc = if architecture() == "aarch64" { 17 } else { 5 };
    let old = format!(
        "wfbad-1.0-cp311-cp311-manylinux_2_{glibc}_{}.whl",
        architecture()
    );
    let object = ("_demo.so", object());
    let started = server.memory().unwrap();
    for (upload, status, reason) in [
        (
            good.clone().with("sha256_digest", &"0".repeat(64)),
            400,
            "sha256_digest",
        ),
        (truncated, 400, "zip"),
        (good.clone().with("name", "other"), 400, "`other`"),
        (other, 400, "2.0"),
        (outside, 400, "not a wheel file name"),
        (
            bad_wheel(&name, ("../../evil.py", Vec::new()), metadata.clone()),
            400,
            "evil.py",
        ),
        (
            bad_wheel(&name, ("zeros", huge()), metadata.clone()),
            400,
            "zip bomb",
        ),
        (bad_wheel(&name, module.clone(), huge()), 400, "METADATA"),
        (bad_wheel(&name, module, OTHER.to_vec()), 400, "wfother"),
        (good.clone().without("name"), 400, "no field `name`"),
        (good.clone().without(":action"), 400, "no field `:action`"),
        (
            bad_wheel(&linux, object.clone(), metadata.clone()),
            400,
            "libnear.so.1",
        ),
        (bad_wheel(&old, object, metadata), 400, "libnear.so.1"),
    ] {
        let answer = upload.send(server.address(), "/legacy/", &token).unwrap();
        let text = String::from_utf8(answer.body.clone()).unwrap();
        assert_eq!(answer.status, status, "{reason}: {text}");
        let kind = answer.header("content-type").unwrap();
        assert_eq!(kind, "application/problem+json", "{text}");
        let problem: Value = serde_json::from_slice(&answer.body).unwrap();
        let title = problem["title"].as_str().unwrap();
        assert!(title.contains(reason), "{reason}: {text}");
        assert!(title.contains(upload.filename()), "{reason}: {text}");
    }
    let untyped = good.clone().as_type("application/octet-stream");
    let answer = untyped.send(server.address(), "/legacy/", &token).unwrap();
    assert_eq!(answer.status, 415);
    // What was sent to fill its memory did not.
    let grown = server.memory().unwrap().saturating_sub(started);
    assert!(grown < 100 << 20, "{grown} bytes more");
    assert!(listed(server.address(), "wfbad").unwrap().is_empty());
    let answer = good.send(server.address(), "/legacy/", &token).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(whole(server.address(), "wfbad").unwrap(), [name]);
}
