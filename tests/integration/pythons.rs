//! Pythons that are compiled for an image that does not have them.

use std::path::PathBuf;
use std::process::Command;

use wheelfarm_tests::environment::{kept_directory, scratch_directory};
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::index::Index;
use wheelfarm_tests::process;
use wheelfarm_tests::sdist::Sdist;

use crate::support::{failed, needs_docker};

/// An extension module that says which Python it was compiled for.
const WHICH: &str = r#"
#define PY_SSIZE_T_CLEAN
#include <Python.h>
static PyObject *which(PyObject *self, PyObject *none) { return PyUnicode_FromString(PY_VERSION); }
static PyMethodDef methods[] = {{"which", which, METH_NOARGS, ""}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "wfwhich", "", -1, methods};
PyMODINIT_FUNC PyInit_wfwhich(void) { return PyModule_Create(&module); }
"#;
const TEST: &str = r#"
[package.wfwhich]
test = "python -c 'import platform, wfwhich; assert wfwhich.which() == platform.python_version()'"
"#;

#[test]
fn one_old_image_builds_for_a_python_that_is_younger_than_it() {
    needs_docker!();
    let store = store_with_python("debian-11", "3.13");
    let farm = Farm::with_store(&store).unwrap();

    // What was compiled is there, and in no other store.
    let pythons = |farm: &Farm| {
        let run = farm.run(["images", "list", "--format", "json"]).unwrap();
        let list: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        let images = list["images"].as_array().unwrap();
        let image = images.iter().find(|image| image["name"] == "debian-11");
        image.unwrap()["pythons"].clone()
    };
    assert_eq!(pythons(&farm), serde_json::json!(["3.9", "3.13"]));
    assert_eq!(pythons(&Farm::new().unwrap()), serde_json::json!(["3.9"]));

    let index = Index::start()
        .unwrap()
        .with(&Sdist::with_extension("wfwhich", "1.0", WHICH))
        .unwrap();
    // setuptools comes from the machine's own index.
    let farm = farm.with("UV_INDEX", &index.url()).configure(TEST).unwrap();
    let arguments = ["wfwhich", "--target", "manylinux_2_31_x86_64"];
    let report = farm.build(arguments).unwrap().success().unwrap();
    for (python, tag) in [("3.9", "cp39-cp39"), ("3.13", "cp313-cp313")] {
        let wheel = report.wheel("wfwhich", python).unwrap();
        assert_eq!(wheel.image, "debian-11");
        assert!(wheel.filename.contains(tag), "{}", wheel.filename);
        // It was imported, and the test compared the versions, on the bare runtime of the same image.
        assert_eq!(wheel.proof.as_ref().unwrap().imported, ["wfwhich"]);
    }

    // The Python itself is handed out, for final stages that have none.
    let export = [
        "export",
        "wfwhich",
        "--python",
        "3.13",
        "--python-tree",
        "python",
    ];
    let target = ["--target", "manylinux_2_31_x86_64"];
    let run = farm.run([&export[..], &target].concat()).unwrap();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let program = farm.work().join("python/bin/python3.13");
    assert!(program.exists(), "{}", run.stdout);
}

#[test]
fn the_command_for_a_missing_python_is_named() {
    needs_docker!();
    let farm = Farm::new().unwrap();
    failed(
        &farm
            .build(["wfwhich", "--image", "debian-11", "--python", "3.13"])
            .unwrap(),
        2,
        &["3.13"],
        &["`wheelfarm images build debian-11 --python 3.13`"],
    );
    failed(
        &farm
            .run(["images", "build", "debian-11", "--python", "3.12"])
            .unwrap(),
        2,
        &["Debian has no source of Python 3.12"],
        &["3.13"],
    );
}

/// A store with `python` for `image`, and nothing but compiled Pythons. Compiling takes minutes, so what was compiled is
/// kept between runs of the tests; it is made anew when Debian's source, the image or the scripts have changed.
pub(crate) fn store_with_python(image: &str, python: &str) -> PathBuf {
    // One for each, so that none is copied while another is written.
    let kept = kept_directory()
        .unwrap()
        .join(format!("pythons-of-{image}-{python}"));
    let farm = Farm::with_store(&kept).unwrap();
    let arguments = ["images", "build", image, "--python", python];
    let run = farm.run(arguments).unwrap();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let made = format!("{image} {python}.");
    assert!(run.stdout.starts_with(&made), "{}", run.stdout);
    // Whoever compiled it, now it is known.
    let run = farm.run(arguments).unwrap();
    assert!(
        run.stdout.contains("taken from the store"),
        "{}",
        run.stdout
    );
    let copy = scratch_directory()
        .unwrap()
        .join(format!("store-with-python-{image}"));
    process::run(Command::new("cp").arg("-r").arg(&kept).arg(&copy)).unwrap();
    copy
}
