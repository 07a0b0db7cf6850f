//! Sources that are on no index: archives, directories and repositories that the user names.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use wheelfarm_tests::farm::{Farm, Run};
use wheelfarm_tests::index::Index;
use wheelfarm_tests::report::Report;
use wheelfarm_tests::sdist::{Sdist, pure_wheel};

use crate::support::{failed, needs_docker, only};

/// A back end that needs nothing but Python; the version is what `version.txt` says.
const BACKEND: &str = r#"
import os, zipfile

def build_wheel(directory, config_settings=None, metadata_directory=None):
    with open("version.txt") as file:
        version = file.read().strip()
    runnable = os.access("tool.sh", os.X_OK)
    name = "given-%s-py3-none-any.whl" % version
    info = "given-%s.dist-info/" % version
    with zipfile.ZipFile(os.path.join(directory, name), "w") as archive:
        archive.writestr("given.py", "RUNNABLE = %r" % runnable)
        archive.writestr(info + "METADATA",
            "Metadata-Version: 2.1\nName: given\nVersion: %s\nRequires-Dist: needed\n"
            "Provides-Extra: more\nRequires-Dist: wanted; extra == 'more'\n" % version)
        archive.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(info + "RECORD", "given.py,,\n")
    return name
"#;

const PYPROJECT: &str = "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n\n[project]\nname = \"given\"\ndynamic = [\"version\", \"dependencies\", \"optional-dependencies\"]\n";

fn index() -> Index {
    let file = |index: Index, name: &str| {
        let wheel = pure_wheel(name, "1.0", "").unwrap();
        index.with_file(name, &format!("{name}-1.0-py3-none-any.whl"), wheel)
    };
    file(file(Index::start().unwrap(), "needed"), "wanted")
}

/// A project whose name alone stands in it.
fn write_project(directory: &Path, version: &str) {
    fs_err::create_dir_all(directory).unwrap();
    for (name, text) in [
        ("pyproject.toml", PYPROJECT),
        ("backend.py", BACKEND),
        ("version.txt", version),
        ("tool.sh", "#!/bin/sh\n"),
        (".gitignore", "*.log\n"),
    ] {
        fs_err::write(directory.join(name), text).unwrap();
    }
    let runnable = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(directory.join("tool.sh"), runnable).unwrap();
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@localhost",
            "-c",
            "protocol.file.allow=always",
        ])
        .args([
            "-c",
            "commit.gpgsign=false",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn build(farm: &Farm, arguments: &[&str]) -> Run {
    let mut all = arguments.to_vec();
    all.extend(["--image", "debian-12", "--no-prove"]);
    farm.build(all).unwrap()
}

fn wheels(report: &Report) -> Vec<(&str, &str, &str)> {
    let wheels = report.wheels.iter();
    wheels
        .map(|wheel| {
            (
                wheel.project.as_str(),
                wheel.version.as_str(),
                wheel.origin.as_str(),
            )
        })
        .collect()
}

#[test]
fn a_directory() {
    needs_docker!();
    let index = index();
    let farm = only(Farm::sharing().unwrap(), &index);
    let project = farm.work().join("project");
    write_project(&project, "1.5");
    let report = build(&farm, &["./project[more]"]).success().unwrap();
    assert_eq!(
        wheels(&report),
        [
            ("given", "1.5", "built"),
            ("needed", "1.0", "index"),
            ("wanted", "1.0", "index")
        ]
    );
    assert_eq!(report.sources.len(), 1);
    assert_eq!(report.sources[0].unclean, None);

    // The same files, at another time and place, and what is no part of a source: nothing is done again.
    let copy = farm.work().join("copy");
    write_project(&copy, "1.5");
    fs_err::write(copy.join("build.log"), "ignored").unwrap();
    let report = build(&farm, &["./copy[more]"]).success().unwrap();
    assert_eq!((report.containers, report.downloaded), (0, 0));
    assert_eq!(wheels(&report)[0], ("given", "1.5", "cached"));

    // A changed file is another source.
    fs_err::write(copy.join("version.txt"), "1.6").unwrap();
    let report = build(&farm, &["given @ ./copy"]).success().unwrap();
    assert_eq!(
        wheels(&report),
        [("given", "1.6", "built"), ("needed", "1.0", "index")]
    );
}

#[test]
fn a_repository() {
    needs_docker!();
    let index = index();
    let farm = only(Farm::sharing().unwrap(), &index);
    let work = farm.work();
    let (repository, part) = (work.join("repository"), work.join("part"));
    let marker = work.join("hook-ran");
    write_project(&repository.join("python"), "2.0");
    fs_err::create_dir(&part).unwrap();
    fs_err::write(part.join("version.txt"), "2.1").unwrap();
    for directory in [&part, &repository] {
        git(directory, &["init", "--quiet"]);
        git(directory, &["add", "--all"]);
        git(directory, &["commit", "--quiet", "-m", "one"]);
    }
    let first = git(&repository, &["rev-parse", "HEAD"]);
    git(&repository, &["tag", "v2.0"]);
    // In the second commit, the version is in a submodule.
    git(
        &repository,
        &[
            "submodule",
            "--quiet",
            "add",
            &part.display().to_string(),
            "python/part",
        ],
    );
    fs_err::remove_file(repository.join("python/version.txt")).unwrap();
    std::os::unix::fs::symlink("part/version.txt", repository.join("python/version.txt")).unwrap();
    git(&repository, &["add", "--all"]);
    git(&repository, &["commit", "--quiet", "-m", "two"]);
    let second = git(&repository, &["rev-parse", "HEAD"]);
    // Hooks of a repository do not run when it is read.
    let hook = repository.join(".git/hooks/post-checkout");
    fs_err::write(&hook, format!("#!/bin/sh\ntouch {}\n", marker.display())).unwrap();

    let address = |reference: &str| {
        format!(
            "given @ git+file://{}{reference}#subdirectory=python",
            repository.display()
        )
    };
    let report = build(&farm, &[&address(&format!("@{first}"))])
        .success()
        .unwrap();
    assert_eq!(wheels(&report)[0], ("given", "2.0", "built"));
    // A tag leads to its commit, and a commit is not fetched again.
    let report = build(&farm, &[&address("@v2.0")]).success().unwrap();
    assert_eq!(report.containers, 0);
    assert_eq!(report.sources[0].commit.as_deref(), Some(first.as_str()));
    assert_eq!(report.sources[0].reference.as_deref(), Some("v2.0"));
    let report = build(&farm, &[&address("@main")]).success().unwrap();
    assert_eq!(wheels(&report)[0], ("given", "2.1", "built"));
    assert_eq!(report.sources[0].commit.as_deref(), Some(second.as_str()));
    assert!(!marker.exists());
    failed(
        &build(&farm, &[&address("@no-such")]),
        2,
        &["no-such"],
        &["40 digits"],
    );

    // A working copy is told from what is committed; what is never part of a source makes no difference.
    fs_err::create_dir(repository.join("python/__pycache__")).unwrap();
    fs_err::write(repository.join("python/__pycache__/given.pyc"), "").unwrap();
    let report = build(&farm, &["./repository/python"]).success().unwrap();
    assert_eq!(report.sources[0].unclean, Some(false));
    fs_err::write(repository.join("python/new.py"), "").unwrap();
    let run = build(&farm, &["./repository/python"]);
    assert_eq!(run.success().unwrap().sources[0].unclean, Some(true));
}

#[test]
fn a_version_that_comes_from_tags() {
    needs_docker!();
    // The real setuptools-scm, of the index that this machine uses.
    let farm = Farm::sharing().unwrap();
    let repository = farm.work().join("tagged");
    fs_err::create_dir_all(repository.join("tagged")).unwrap();
    fs_err::write(
        repository.join("pyproject.toml"),
        "[build-system]\nrequires = [\"setuptools\", \"setuptools-scm\"]\nbuild-backend = \"setuptools.build_meta\"\n[project]\nname = \"tagged\"\ndynamic = [\"version\"]\n[tool.setuptools_scm]\n",
    )
    .unwrap();
    fs_err::write(repository.join("tagged/__init__.py"), "").unwrap();
    git(&repository, &["init", "--quiet"]);
    git(&repository, &["add", "--all"]);
    git(&repository, &["commit", "--quiet", "-m", "one"]);
    git(&repository, &["tag", "v1.2"]);
    let report = build(&farm, &["./tagged"]).success().unwrap();
    assert_eq!(wheels(&report), [("tagged", "1.2", "built")]);
    fs_err::write(repository.join("tagged/more.py"), "").unwrap();
    git(&repository, &["add", "--all"]);
    git(&repository, &["commit", "--quiet", "-m", "two"]);
    let commit = git(&repository, &["rev-parse", "HEAD"]);
    let address = format!("git+file://{}@{commit}", repository.display());
    let report = build(&farm, &[&address]).success().unwrap();
    let version = &report.wheels[0].version;
    assert!(version.starts_with("1.3.dev1+g"), "{version}");
    assert!(
        commit.starts_with(version.rsplit('g').next().unwrap()),
        "{version}"
    );
}

#[test]
fn archives_and_their_hashes() {
    needs_docker!();
    let backend = "def build_wheel(directory, config_settings=None, metadata_directory=None):\n    return write_wheel(directory, {NAME + \".py\": \"\"})\n";
    let sdist = Sdist::with_backend("filed", "1.0", &[], backend);
    let bytes = sdist.bytes().unwrap();
    let hash = wheelfarm_tests::sha256(&bytes);
    let index = Index::start().unwrap().with(&sdist).unwrap();
    let farm = only(Farm::sharing().unwrap(), &index);
    fs_err::write(farm.work().join("filed-1.0.tar.gz"), &bytes).unwrap();
    let report = build(&farm, &["./filed-1.0.tar.gz"]).success().unwrap();
    assert_eq!(wheels(&report), [("filed", "1.0", "built")]);
    // From the index or an address, it is the same source.
    let report = build(&farm, &["filed"]).success().unwrap();
    assert_eq!(wheels(&report), [("filed", "1.0", "cached")]);
    let url = index.url().replace("/simple/", "/files/filed-1.0.tar.gz");
    let report = build(&farm, &[&format!("filed @ {url}#sha256={hash}")])
        .success()
        .unwrap();
    assert_eq!((wheels(&report)[0].2, report.downloaded), ("cached", 0));
    let other = "0".repeat(64);
    failed(
        &build(&farm, &[&format!("filed @ {url}#sha256={other}")]),
        3,
        &[&hash],
        &["changed"],
    );
    failed(
        &build(&farm, &[&format!("other @ {url}")]),
        2,
        &["`filed`", "`other`"],
        &[],
    );
    failed(
        &build(&farm, &["./filed-2.0.tar.gz"]),
        2,
        &["filed-2.0.tar.gz"],
        &[],
    );
    // A wheel is handed on.
    fs_err::write(
        farm.work().join("pure-1.0-py3-none-any.whl"),
        pure_wheel("pure", "1.0", "").unwrap(),
    )
    .unwrap();
    let report = build(&farm, &["./pure-1.0-py3-none-any.whl"])
        .success()
        .unwrap();
    assert_eq!(wheels(&report), [("pure", "1.0", "index")]);
}
