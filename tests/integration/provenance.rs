//! What is said of where a wheel comes from, and that it is found out when it is not so. OpenSSL makes the keys and
//! checks the signatures.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::index::Index;
use wheelfarm_tests::process;
use wheelfarm_tests::sdist::Sdist;

use crate::support::{failed, needs_docker, only, store_is_whole};

const BACKEND: &str = r#"
def build_wheel(directory, config_settings=None, metadata_directory=None):
    return write_wheel(directory, {"wfsigned.py": "answer = 42"})
"#;

fn openssl(directory: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("openssl");
    command.args(arguments).current_dir(directory);
    process::run(&mut command).map_err(|error| format!("{error:#}"))
}

fn key(directory: &Path, name: &str) {
    let (private, public) = (format!("{name}.pem"), format!("{name}.pub"));
    openssl(
        directory,
        &["genpkey", "-algorithm", "ed25519", "-out", &private],
    )
    .unwrap();
    openssl(
        directory,
        &["pkey", "-in", &private, "-pubout", "-out", &public],
    )
    .unwrap();
}

/// Python takes the envelope apart: what was signed and the signature go into files, the payload is printed.
const OPEN: &str = r#"
import base64, json, sys
envelope = json.load(open(sys.argv[1]))
payload = base64.b64decode(envelope["payload"])
kind = envelope["payloadType"].encode()
open("message", "wb").write(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
open("signature", "wb").write(base64.b64decode(envelope["signatures"][0]["sig"]))
print(payload.decode())
"#;

/// Python writes the wheel again with other content of its module.
const FORGE: &str = r#"
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    members = [(item, wheel.read(item)) for item in wheel.infolist()]
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    for item, content in members:
        wheel.writestr(item, content.replace(b"42", b"43"))
"#;

#[test]
fn wheels_are_verified_against_signed_provenance() {
    needs_docker!();
    let sdist = Sdist::with_backend("wfsigned", "1.0", &[], BACKEND);
    let index = Index::start().unwrap().with(&sdist).unwrap();
    let farm = only(Farm::sharing().unwrap(), &index);
    let work = farm.work();
    key(&work, "ours");
    key(&work, "theirs");
    let arguments = ["wfsigned", "--image", "debian-12", "--sign-key", "ours.pem"];
    let report = farm.build(arguments).unwrap().success().unwrap();
    let wheel = report.wheels.first().unwrap();
    let beside = format!("{}.provenance.json", wheel.path.display());

    let mut open = Command::new("python3");
    open.args(["-c", OPEN, &beside]).current_dir(&work);
    let payload = process::run(&mut open).unwrap();
    let check = [
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        "ours.pub",
        "-rawin",
        "-in",
        "message",
        "-sigfile",
        "signature",
    ];
    openssl(&work, &check).unwrap();
    let statement: Value = serde_json::from_str(&payload).unwrap();
    let sha256 = |resource: &str| {
        let resource = statement.pointer(resource).unwrap();
        resource
            .pointer("/digest/sha256")
            .and_then(Value::as_str)
            .unwrap()
            .to_owned()
    };
    assert_eq!(sha256("/subject/0"), wheel.sha256);
    let source = wheelfarm_tests::sha256(&sdist.bytes().unwrap());
    let dependencies = "/predicate/buildDefinition/resolvedDependencies";
    assert_eq!(sha256(&format!("{dependencies}/0")), source);

    let path = wheel.path.display().to_string();
    let verify = |key: &str| farm.run(["verify", &path, "--key", key]).unwrap();
    let run = verify("ours.pub");
    assert_eq!(run.code, Some(0), "{}", run.stdout);
    assert!(
        run.stdout.contains("built from wfsigned-1.0.tar.gz"),
        "{}",
        run.stdout
    );
    let run = verify("theirs.pub");
    assert_eq!(run.code, Some(1), "{}", run.stdout);
    assert!(
        run.stdout.contains("not signed with this key"),
        "{}",
        run.stdout
    );

    // Signing is not part of what is built: a second run writes the same bytes and builds nothing.
    let before = fs_err::read(&beside).unwrap();
    fs_err::remove_file(&beside).unwrap();
    let again = farm.build(arguments).unwrap().success().unwrap();
    assert_eq!(again.containers, 0);
    assert_eq!(fs_err::read(&beside).unwrap(), before);

    // A wheel with other content fits neither its RECORD nor its provenance.
    let mut forge = Command::new("python3");
    process::run(forge.args(["-c", FORGE, &path])).unwrap();
    let run = verify("ours.pub");
    assert_eq!(run.code, Some(1), "{}", run.stdout);
    for says in [
        "wfsigned.py has another hash than RECORD says",
        "other bytes of this name",
    ] {
        assert!(run.stdout.contains(says), "{}", run.stdout);
    }

    // Without a file beside it, the store says what it built; it says nothing of what it did not.
    fs_err::remove_file(&beside).unwrap();
    let run = farm.run(["verify", &path]).unwrap();
    assert_eq!(run.code, Some(1), "{}", run.stdout);
    fs_err::remove_file(&path).unwrap();
    farm.build(["wfsigned", "--image", "debian-12"])
        .unwrap()
        .success()
        .unwrap();
    assert!(
        !Path::new(&beside).exists(),
        "provenance is written when it is asked for"
    );
    let run = farm.run(["verify", &path]).unwrap();
    assert_eq!(run.code, Some(0), "{}", run.stdout);
    assert!(run.stdout.contains("as this store says"), "{}", run.stdout);
    let run = verify("ours.pub");
    assert_eq!(run.code, Some(1), "{}", run.stdout);
    assert!(
        run.stdout.contains("no signed provenance"),
        "{}",
        run.stdout
    );

    let run = farm.build(["wfsigned", "--sign-key", "ours.pub"]).unwrap();
    failed(&run, 2, &["ours.pub", "PRIVATE KEY"], &[]);
    store_is_whole(&farm);
}
