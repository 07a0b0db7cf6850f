//! `wheelfarm export --check` says whether wheels run on an image, without running anything of it.

use serde_json::Value;
use wheelfarm_tests::docker::Engine;
use wheelfarm_tests::farm::{Farm, Run, uv_wheel};
use wheelfarm_tests::index::Index;
use wheelfarm_tests::sdist::{Sdist, pure_wheel};

use crate::support::{failed, farm_of, needs_docker};

/// An extension module that needs glibc 2.34, and a library that compilers bring and bare runtimes do not have.
const BACKEND: &str = r#"
SOURCE = """
const char *mpfr_get_version(void);
int pthread_create(void *, void *, void *, void *);
void *PyInit_needs(void) { mpfr_get_version(); return (void *)pthread_create; }
"""
def build_wheel(directory, config_settings=None, metadata_directory=None):
    with open("needs.c", "w") as file:
        file.write(SOURCE)
    subprocess.check_call(["gcc", "-shared", "-fPIC", "-o", "needs.so", "needs.c",
                           "/usr/lib/x86_64-linux-gnu/libmpfr.so.6"])
    with open("needs.so", "rb") as file:
        return write_wheel(directory, {"needs.cpython-311-x86_64-linux-gnu.so": file.read()}, "cp311-cp311-linux_x86_64")
"#;
const CONFIGURATION: &str = "[package.needs]\nexclude = [\"libmpfr.so.6\"]\n";
const BUILDER: &str = "wheelfarm/debian-12:x86_64";
const RUNTIME: &str = "wheelfarm/debian-12-runtime:x86_64";
const OLDER: &str = "wheelfarm/debian-11-runtime:x86_64";

/// A farm whose store has what these requirements name: a wheel that needs something of the system, and one that is
/// pure.
fn farm(all: &[&[&str]]) -> Farm {
    let plain = pure_wheel("plain", "1.0", "").unwrap();
    let index = Index::start()
        .unwrap()
        .with(&Sdist::with_backend("needs", "1.0", &[], BACKEND))
        .unwrap()
        .with_file("plain", "plain-1.0-py3-none-any.whl", plain);
    let farm = farm_of(&index).configure(CONFIGURATION).unwrap();
    for wanted in all {
        let arguments = [*wanted, &["--image", "debian-12", "--no-prove"]].concat();
        farm.build(arguments).unwrap().success().unwrap();
    }
    fs_err::remove_dir_all(farm.out()).unwrap();
    farm
}

fn export(farm: &Farm, more: &[&str]) -> Run {
    let uv = uv_wheel().unwrap().display().to_string();
    let base = [
        "export",
        "--no-prove",
        "--python",
        "3.11",
        "--target",
        "manylinux_2_36_x86_64",
        "--uv-wheel",
        &uv,
    ];
    farm.run([&base[..], more].concat()).unwrap()
}

/// What is said of the images.
fn checks(run: &Run) -> Vec<Value> {
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    report["checks"].as_array().unwrap().clone()
}

fn kinds(check: &Value) -> Vec<&str> {
    let findings = check["findings"].as_array().unwrap().iter();
    findings
        .map(|finding| finding["kind"].as_str().unwrap())
        .collect()
}

#[test]
fn wheels_run_where_all_that_they_need_is_there() {
    needs_docker!();
    let farm = farm(&[&["needs", "plain"], &["plain"]]);
    let run = export(&farm, &["needs", "plain", "--check", BUILDER]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let line =
        format!("{BUILDER}: 2 wheels run on it (glibc 2.36, Python 3.11 at /usr/bin/python3.11)\n");
    assert_eq!(run.stdout, line);
    assert!(!farm.out().exists(), "only a check was asked for");

    // A library that was left to the system, and that this one does not have.
    let arguments = ["needs", "plain", "--check", BUILDER, "--check", RUNTIME];
    let run = export(&farm, &[&arguments[..], &["--site", "app"]].concat());
    let said = [
        RUNTIME,
        "`libmpfr.so.6`",
        "needs.cpython-311-x86_64-linux-gnu.so",
    ];
    failed(&run, 1, &said, &["install `libmpfr6`"]);
    assert!(run.stdout.starts_with(BUILDER), "{}", run.stdout);
    assert!(!farm.work().join("app").exists(), "what does not run");
    let run = export(&farm, &[&arguments[..], &["--format", "json"]].concat());
    let seen = checks(&run);
    assert_eq!(kinds(&seen[0]), [""; 0]);
    assert_eq!(kinds(&seen[1]), ["library"]);
    assert_eq!(seen[1]["findings"][0]["library"], "libmpfr.so.6");
    assert_eq!(seen[1]["libc"], "glibc 2.36");
    assert_eq!(seen[1]["pythons"][0]["path"], "/usr/bin/python3.11");

    // The same without that wheel.
    let run = export(&farm, &["plain", "--check", RUNTIME, "--site", "app"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(farm.work().join("app/plain.py").exists());
    let engine = Engine::connect().unwrap();
    assert_eq!(engine.farm_containers(&farm.cache()).unwrap(), []);

    // An older system lacks the Python and the libc.
    let run = export(&farm, &["needs", "plain", "--check", OLDER]);
    let said = [
        "no Python 3.11",
        "3.9 at /usr/bin/python3.9",
        "glibc 2.31",
        "glibc 2.34",
    ];
    let hints = ["`--python 3.9`", "`--target manylinux_2_31_x86_64`"];
    failed(&run, 1, &said, &hints);
    let interpreter = ["--interpreter", "/usr/bin/perl"];
    let arguments = ["plain", "--check", RUNTIME, "--format", "json"];
    let run = export(&farm, &[&arguments[..], &interpreter].concat());
    failed(&run, 1, &["is no Python"], &["`--interpreter`"]);
    assert_eq!(kinds(&checks(&run)[0]), ["python"]);
}

#[test]
fn an_image_that_cannot_be_had_is_said_so() {
    needs_docker!();
    let farm = farm(&[&["plain"]]);
    let absent = "localhost:1/nothing:1";
    let run = export(&farm, &["plain", "--check", absent]);
    failed(&run, 4, &[absent], &["docker load"]);
    let farm = farm.with("DOCKER_HOST", "unix:///nowhere.sock");
    let run = export(&farm, &["plain", "--check", RUNTIME, "--out", "here"]);
    failed(&run, 4, &["unix:///nowhere.sock"], &["daemon"]);
    assert!(!farm.work().join("here").exists());
}

#[test]
fn an_image_that_lies_is_only_found_wanting() {
    needs_docker!();
    let farm = farm(&[&["needs"]]);
    let engine = Engine::connect().unwrap();
    let root = farm.work().join("root");
    let write = |path: &str, bytes: &[u8]| {
        let path = root.join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, bytes).unwrap();
    };
    let elf = fs_err::read(std::env::current_exe().unwrap()).unwrap();
    write("usr/bin/python3.11", b"#!/bin/sh\n");
    write("usr/bin/python3.12", &elf[..700]);
    write("lib/libc.so.6", &elf[..5000]);
    write("lib/ld-musl-x86_64.so.1", b"\x7fELF");
    write("usr/lib/libmpfr.so.6", b"INPUT(libmpfr.so.6)");
    write(
        "etc/ld.so.conf",
        b"include /etc/ld.so.conf\n/loop\n/usr/lib/../../../..\n",
    );
    write("etc/ld.so.cache", b"");
    for (target, link) in [
        ("loop", "loop"),
        ("/../../../etc/passwd", "usr/lib/libc.so.6"),
    ] {
        fs_err::os::unix::fs::symlink(target, root.join(link)).unwrap();
    }
    let tag = "wheelfarm-tests-check-hostile";
    let dockerfile = "FROM scratch\nCOPY root /\n";
    engine
        .build_image(dockerfile, &[("root", &root)], tag)
        .unwrap();
    let run = export(&farm, &["needs", "--check", tag, "--format", "json"]);
    engine.remove_image(tag).unwrap();
    failed(
        &run,
        1,
        &["no Python 3.11", "no C library"],
        &["take an image"],
    );
    assert_eq!(kinds(&checks(&run)[0]), ["python", "libc"]);
    assert_eq!(engine.farm_containers(&farm.cache()).unwrap(), []);
}
