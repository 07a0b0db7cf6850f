//! Source distributions that do not say what they require without running their code.

use wheelfarm_tests::environment::scratch_directory;
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::index::Index;
use wheelfarm_tests::sdist::{Sdist, pure_wheel};

use crate::support::{failed, farm_of, needs_docker, only, wheels};

#[test]
fn the_wheel_is_asked_and_no_code_runs_outside_a_container() {
    needs_docker!();
    let marker = scratch_directory().unwrap().join("ran-on-the-host");
    // The marker's directory is not there in a container: writing it fails there, and on the host it would not.
    let backend = format!(
        r#"
import os, zipfile

try:
    open({marker:?}, "w").close()
except OSError:
    pass

def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = "unstated-1.0-py3-none-any.whl"
    info = "unstated-1.0.dist-info/"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as archive:
        archive.writestr("unstated.py", "import needed")
        archive.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: unstated\nVersion: 1.0\nRequires-Dist: needed\n")
        archive.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(info + "RECORD", "unstated.py,,\n")
    return name
"#
    );
    let sdist = Sdist::new("unstated", "1.0")
        .without("PKG-INFO")
        .file(
            "PKG-INFO",
            "Metadata-Version: 2.1\nName: unstated\nVersion: 1.0\n",
        )
        .file("pyproject.toml", PYPROJECT)
        .file("backend.py", &backend);
    let needed = pure_wheel("needed", "1.0", "").unwrap();
    let index = Index::start().unwrap().with(&sdist).unwrap().with_file(
        "needed",
        "needed-1.0-py3-none-any.whl",
        needed,
    );
    let farm = farm_of(&index);
    let arguments = ["unstated", "--image", "debian-12"];

    let report = farm.build(arguments).unwrap().success().unwrap();
    let projects: Vec<_> = report
        .wheels
        .iter()
        .map(|wheel| wheel.project.as_str())
        .collect();
    assert_eq!(projects, ["needed", "unstated"]);
    assert_eq!(wheels(&farm.out()).len(), 2);
    assert!(!marker.exists(), "a build back end ran on this machine");

    // What was built to be asked is what is handed out, and the second run knows the answer.
    let report = farm.build(arguments).unwrap().success().unwrap();
    assert_eq!((report.containers, report.downloaded), (0, 0));
    assert_eq!(report.wheels.len(), 2);
}

const PYPROJECT: &str =
    "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n";

/// One whose back end, which has to be run to know, says what it requires; or fails.
fn unstated(name: &str, version: &str, requires: &str) -> Sdist {
    let backend = format!(
        r#"
import os, zipfile

def build_wheel(directory, config_settings=None, metadata_directory=None):
    if {requires:?} == "to fail":
        raise SystemExit("this one is broken")
    name = "{name}-{version}-py3-none-any.whl"
    info = "{name}-{version}.dist-info/"
    metadata = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    if {requires:?}:
        metadata += "Requires-Dist: " + {requires:?} + "\n"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as archive:
        archive.writestr("{name}.py", "")
        archive.writestr(info + "METADATA", metadata)
        archive.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(info + "RECORD", "{name}.py,,\n")
    return name
"#
    );
    let information = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
    Sdist::new(name, version)
        .without("PKG-INFO")
        .file("PKG-INFO", &information)
        .file("pyproject.toml", PYPROJECT)
        .file("backend.py", &backend)
}

#[test]
fn one_that_cannot_be_built_does_not_keep_the_others_back() {
    needs_docker!();
    let mut index = Index::start().unwrap();
    for (name, requires) in [
        ("wfbroken", "to fail"),
        ("wfsound", ""),
        ("wfuser", "wfbroken"),
    ] {
        index = index.with(&unstated(name, "1.0", requires)).unwrap();
    }
    let farm = only(Farm::sharing().unwrap(), &index);
    let run = farm
        .build(["wfsound", "wfuser", "--image", "debian-12", "--no-prove"])
        .unwrap();
    let failures = failed(&run, 3, &["wfbroken 1.0", "its build ended"], &[]);
    assert_eq!(failures.len(), 1, "{failures:?}");
    let report = run.report().unwrap();
    let built = report.wheels.iter();
    let built: Vec<_> = built.map(|wheel| wheel.project.as_str()).collect();
    assert_eq!(built, ["wfsound", "wfuser"]);
    // What was taken for granted is not kept: with a sound version, it is known what that requires.
    let index = index
        .with(&unstated("wfbroken", "1.1", "wfmore"))
        .unwrap()
        .with_file(
            "wfmore",
            "wfmore-1.0-py3-none-any.whl",
            pure_wheel("wfmore", "1.0", "").unwrap(),
        );
    let farm = only(farm, &index);
    let run = farm.build(["wfsound", "wfuser", "--image", "debian-12", "--no-prove"]);
    let report = run.unwrap().success().unwrap();
    assert_eq!(report.wheels.len(), 4, "{:?}", report.wheels);
}

#[test]
fn those_that_will_be_asked_for_are_built_together() {
    needs_docker!();
    let mut index = Index::start().unwrap();
    for (name, version, requires) in [
        // Nobody wants the new version of the second once the first is known; nor does it work.
        ("wffirst", "1.0", "wfsecond<2"),
        ("wfsecond", "1.0", ""),
        ("wfsecond", "2.0", "to fail"),
        ("wfthird", "1.0", ""),
    ] {
        let sdist = unstated(name, version, requires);
        index = index.with(&sdist).unwrap();
    }
    let farm = farm_of(&index);
    let run = farm.build(["wffirst", "wfsecond", "wfthird", "--image", "debian-12"]);
    let report = run.unwrap().success().unwrap();
    let versions: Vec<_> = report
        .wheels
        .iter()
        .map(|wheel| format!("{} {}", wheel.project, wheel.version))
        .collect();
    assert_eq!(versions, ["wffirst 1.0", "wfsecond 1.0", "wfthird 1.0"]);
    // Asked at first, with three of the four known, and with all that is wanted: one by one it would be four times.
    let resolved = report.steps.iter().filter(|step| step.stage == "resolve");
    assert_eq!(resolved.count(), 3, "{:?}", report.steps);
    let third = report
        .steps
        .iter()
        .position(|step| step.job.starts_with("wfthird") && step.stage == "build");
    let second = report
        .steps
        .iter()
        .position(|step| step.job.starts_with("wfsecond 1.0") && step.stage == "build");
    assert!(third.unwrap() < second.unwrap(), "{:?}", report.steps);
}
