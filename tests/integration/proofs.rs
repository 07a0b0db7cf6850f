//! What is installed and run when wheels are proved.

use wheelfarm_tests::index::Index;
use wheelfarm_tests::sdist::Sdist;

use crate::support::{failed, farm_of, needs_docker};

/// A wheel with a module that is only for whom has imported another, and with a script.
const BACKEND: &str = r##"
import os, zipfile

def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = "wfpart-1.0-py3-none-any.whl"
    info = "wfpart-1.0.dist-info/"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as archive:
        archive.writestr("wfpart.py", "import sys\nif 'wfwhole' not in sys.modules: raise ImportError('import wfwhole first')\n")
        archive.writestr("wfpart-1.0.data/scripts/wfpart", "#!python\nimport sys\nsys.modules['wfwhole'] = sys\nimport wfpart\nprint(sys.prefix)\n")
        archive.writestr(info + "METADATA", "Metadata-Version: 2.2\nName: wfpart\nVersion: 1.0\n")
        archive.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(info + "RECORD", "")
    return name
"##;

#[test]
fn a_test_stands_for_modules_that_are_not_imported_alone() {
    needs_docker!();
    let index = Index::start()
        .unwrap()
        .with(&Sdist::with_backend("wfpart", "1.0", &[], BACKEND))
        .unwrap();
    let arguments = ["wfpart", "--image", "debian-12"];

    // Nothing of it could be imported, and nothing else says that it works.
    let farm = farm_of(&index);
    let run = farm.build(arguments).unwrap();
    let failures = failed(&run, 1, &["import wfwhole first"], &[]);
    assert_eq!(failures.len(), 1, "{failures:?}");

    // The script is on the path, and its first line names the environment's Python.
    let farm = farm
        .configure("[package.wfpart]\ntest = \"wfpart\"\n")
        .unwrap();
    let report = farm.build(arguments).unwrap().success().unwrap();
    let wheel = report.wheels.first().unwrap();
    let proof = wheel.proof.as_ref().unwrap();
    assert!(proof.failed.is_empty(), "{proof:?}");
    assert!(proof.noted.contains_key("wfpart"), "{proof:?}");

    // A program that is not there is a failed test, not a broken proof.
    let farm = farm
        .configure("[package.wfpart]\ntest = \"wfnowhere\"\n")
        .unwrap();
    failed(&farm.build(arguments).unwrap(), 1, &["wfnowhere"], &[]);
}
