//! Locks that users bring: pylock.toml and uv.lock.

use std::process::Command;

use wheelfarm_tests::farm::{Farm, Run};
use wheelfarm_tests::index::Index;
use wheelfarm_tests::sdist::{Sdist, pure_wheel};

use crate::support::{failed, needs_docker, only};

const BACKEND: &str = "def build_wheel(directory, config_settings=None, metadata_directory=None):\n    return write_wheel(directory, {NAME + \".py\": \"locked\"})\n";

fn build(farm: &Farm, arguments: &[&str]) -> Run {
    let mut all = arguments.to_vec();
    all.extend(["--image", "debian-12", "--no-prove"]);
    farm.build(all).unwrap()
}

fn projects(run: &Run) -> Vec<String> {
    let report = run.success().unwrap();
    let wheels = report.wheels.iter();
    wheels
        .map(|wheel| format!("{} {} {}", wheel.project, wheel.version, wheel.origin))
        .collect()
}

#[test]
fn a_lock_is_taken_as_it_is() {
    needs_docker!();
    // The index has a newer version, and one that a marker leaves out.
    let one = Sdist::with_backend("one", "1.0", &[], BACKEND);
    let two = pure_wheel("two", "1.0", "").unwrap();
    let index = Index::start()
        .unwrap()
        .with(&one)
        .unwrap()
        .with(&Sdist::with_backend("one", "2.0", &[], BACKEND))
        .unwrap()
        .with_file("two", "two-1.0-py3-none-any.whl", two.clone());
    let farm = only(Farm::sharing().unwrap(), &index);
    let files = index.url().replace("/simple/", "/files/");
    let hash = |bytes: &[u8]| wheelfarm_tests::sha256(bytes);
    let lock = |one_hash: &str| {
        format!(
            "lock-version = \"1.0\"\ncreated-by = \"test\"\nextras = [\"more\"]\n\
             [[packages]]\nname = \"one\"\nversion = \"1.0\"\nsdist = {{url = \"{files}one-1.0.tar.gz\", hashes = {{sha256 = \"{one_hash}\"}}}}\n\
             [[packages]]\nname = \"two\"\nversion = \"1.0\"\nmarker = \"'more' in extras\"\n\
             wheels = [{{path = \"kept/two-1.0-py3-none-any.whl\", hashes = {{sha256 = \"{}\"}}}}]\n\
             [[packages]]\nname = \"three\"\nversion = \"1.0\"\nmarker = \"sys_platform == 'win32'\"\n\
             wheels = [{{url = \"{files}three-1.0-py3-none-any.whl\", hashes = {{sha256 = \"{}\"}}}}]\n",
            hash(&two),
            hash(b"three"),
        )
    };
    let work = farm.work();
    fs_err::create_dir(work.join("kept")).unwrap();
    fs_err::write(work.join("kept/two-1.0-py3-none-any.whl"), &two).unwrap();
    let path = work.join("pylock.web.toml");
    fs_err::write(&path, lock(&hash(&one.bytes().unwrap()))).unwrap();
    assert_eq!(
        projects(&build(&farm, &["-r", "pylock.web.toml"])),
        ["one 1.0 built"]
    );
    assert_eq!(
        projects(&build(&farm, &["-r", "pylock.web.toml", "--extra", "more"])),
        ["one 1.0 cached", "two 1.0 index"]
    );
    // Beside a lock, requirements keep to it.
    assert_eq!(
        projects(&build(&farm, &["one", "two", "-r", "pylock.web.toml"])),
        ["one 1.0 cached", "two 1.0 index"]
    );
    failed(
        &build(&farm, &["-r", "pylock.web.toml", "--extra", "less"]),
        2,
        &["`less`"],
        &["`more`"],
    );
    fs_err::write(&path, lock(&hash(b"other"))).unwrap();
    failed(
        &build(&farm, &["-r", "pylock.web.toml"]),
        3,
        &["one-1.0.tar.gz"],
        &[],
    );
}

#[test]
fn the_lock_of_a_uv_project() {
    needs_docker!();
    let index = Index::start()
        .unwrap()
        .with(&Sdist::with_backend("single", "1.0", &[], BACKEND))
        .unwrap()
        .with_file(
            "two",
            "two-1.0-py3-none-any.whl",
            pure_wheel("two", "1.0", "").unwrap(),
        )
        .with_file(
            "tool",
            "tool-1.0-py3-none-any.whl",
            pure_wheel("tool", "1.0", "").unwrap(),
        );
    let farm = only(Farm::sharing().unwrap(), &index);
    let project = farm.work().join("project");
    let member = project.join("member");
    fs_err::create_dir_all(&member).unwrap();
    let write = |name: &str, text: &str| fs_err::write(project.join(name), text).unwrap();
    write(
        "pyproject.toml",
        "[project]\nname = \"top\"\nversion = \"1.0\"\nrequires-python = \">=3.9\"\ndependencies = [\"single\", \"member\", \"absent; sys_platform == 'win32'\"]\n\
         [project.optional-dependencies]\nmore = [\"two\"]\n[dependency-groups]\ndev = [\"tool\"]\n\
         [tool.uv.sources]\nmember = {path = \"member\"}\n",
    );
    write(
        "member/pyproject.toml",
        "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n[project]\nname = \"member\"\nversion = \"0.1\"\nrequires-python = \">=3.9\"\n",
    );
    let backend = Sdist::with_backend("member", "0.1", &[], BACKEND);
    write("member/backend.py", &backend.text("backend.py").unwrap());
    // Locked by the resolver itself, as a user would. What is not for Linux is in the lock all the same.
    let index = index.with_file(
        "absent",
        "absent-1.0-py3-none-any.whl",
        pure_wheel("absent", "1.0", "").unwrap(),
    );
    let warm = build(&farm, &["two"]);
    warm.success().unwrap();
    let uv = fs_err::read_dir(farm.cache().join("tools"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let locked = Command::new(uv)
        .args([
            "lock",
            "--quiet",
            "--no-python-downloads",
            "--default-index",
            &index.url(),
            "--cache-dir",
        ])
        .arg(farm.cache().join("uv"))
        .current_dir(&project)
        .output()
        .unwrap();
    assert!(
        locked.status.success(),
        "{}",
        String::from_utf8_lossy(&locked.stderr)
    );
    let before = fs_err::read(project.join("uv.lock")).unwrap();

    let run = build(&farm, &["-r", "project/uv.lock"]);
    assert_eq!(projects(&run), ["member 0.1 built", "single 1.0 built"]);
    let run = build(
        &farm,
        &["-r", "project/uv.lock", "--extra", "more", "--group", "dev"],
    );
    assert_eq!(
        projects(&run),
        [
            "member 0.1 cached",
            "single 1.0 cached",
            "tool 1.0 index",
            "two 1.0 index"
        ]
    );
    let run = build(&farm, &["-r", "project/uv.lock", "--group", "docs"]);
    failed(&run, 2, &["uv.lock", "docs"], &[]);
    assert_eq!(fs_err::read(project.join("uv.lock")).unwrap(), before);
    // Its own pyproject.toml alone does not say where `member` is.
    let run = build(&farm, &["-r", "project/pyproject.toml"]);
    failed(&run, 2, &["member", "tool.uv.sources"], &["uv.lock"]);
}

#[test]
fn a_pyproject() {
    needs_docker!();
    let wheel = |name: &str| pure_wheel(name, "1.0", "").unwrap();
    let index = Index::start()
        .unwrap()
        .with_file("one", "one-1.0-py3-none-any.whl", wheel("one"))
        .with_file("two", "two-1.0-py3-none-any.whl", wheel("two"))
        .with_file("tool", "tool-1.0-py3-none-any.whl", wheel("tool"));
    let farm = only(Farm::sharing().unwrap(), &index);
    fs_err::write(
        farm.work().join("pyproject.toml"),
        "[project]\nname = \"top\"\nversion = \"1.0\"\nrequires-python = \">=3.9\"\ndependencies = [\"one\"]\n\
         [project.optional-dependencies]\nmore = [\"two\"]\n[dependency-groups]\ndev = [\"tool\", {include-group = \"other\"}]\nother = []\n",
    )
    .unwrap();
    let with = |arguments: &[&str]| {
        let mut all = vec!["-r", "pyproject.toml"];
        all.extend(arguments);
        build(&farm, &all)
    };
    assert_eq!(projects(&with(&[])), ["one 1.0 index"]);
    assert_eq!(
        projects(&with(&["--all-extras", "--group", "dev"])),
        ["one 1.0 index", "tool 1.0 index", "two 1.0 index"]
    );
    failed(&with(&["--group", "docs"]), 2, &["`docs`"], &["`dev`"]);
    failed(
        &build(&farm, &["one", "--extra", "more"]),
        2,
        &["extras"],
        &["-r pyproject.toml"],
    );
}
