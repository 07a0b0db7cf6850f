//! Wheels whose libraries were updated since they were built.

use std::path::{Path, PathBuf};

use serde_json::Value;
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::index::Index;
use wheelfarm_tests::sdist::Sdist;

use crate::support::{files, needs_docker, store_is_whole};

const C: &str = r#"
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <yaml.h>
static PyObject *version(PyObject *self, PyObject *none) { return PyUnicode_FromString(yaml_get_version_string()); }
static PyMethodDef methods[] = {{"version", version, METH_NOARGS, ""}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "wfyaml", "", -1, methods};
PyMODINIT_FUNC PyInit_wfyaml(void) { return PyModule_Create(&module); }
"#;
const SETUP: &str = r#"
from setuptools import Extension, setup
setup(ext_modules=[Extension("wfyaml", ["src/wfyaml.c"], libraries=["yaml"])])
"#;
const CONFIG: &str = "[package.wfyaml]\nsystem.apt = [\"libyaml-dev\"]\n";
const OLDER: &str = "0.1.0-1";

#[test]
fn a_wheel_with_an_older_library_is_told_and_built_anew() {
    needs_docker!();
    let sdist = Sdist::with_extension("wfyaml", "1.0", C)
        .without("setup.py")
        .file("setup.py", SETUP);
    let index = Index::start().unwrap().with(&sdist).unwrap();
    // setuptools comes from the machine's own index.
    let farm = Farm::new()
        .unwrap()
        .with("UV_INDEX", &index.url())
        .configure(CONFIG)
        .unwrap();
    let arguments = ["wfyaml", "--image", "debian-12"];
    let first = farm.build(arguments).unwrap().success().unwrap();
    let first = first.wheel("wfyaml", "3.11").unwrap();
    assert!(first.filename.contains("-1wf"), "{}", first.filename);
    let package = first.vendored.first().unwrap().package.clone().unwrap();
    let newer = package.strip_prefix("libyaml-0-2 ").unwrap();

    // As if the distribution had updated the library since: what was filed says that an older one was there.
    age(&farm, newer);
    let (code, told) = refresh(&farm, &[]);
    assert_eq!(code, Some(1), "{told}");
    let change = serde_json::json!({ "package": "libyaml-0-2", "old": OLDER, "new": newer });
    assert_eq!(
        told["environments"][0]["changes"],
        serde_json::json!([change])
    );
    let stale = &told["stale"][0];
    assert_eq!(stale["filename"], first.filename.as_str());
    let library = &stale["libraries"][0];
    assert_eq!(library["package"], "libyaml-0-2");
    assert_eq!(
        (&library["old"], &library["new"]),
        (&change["old"], &change["new"])
    );

    let (code, told) = refresh(&farm, &["--rebuild"]);
    assert_eq!(code, Some(0), "{told}");
    let rebuilt = told["rebuilt"][0]["filename"].as_str().unwrap();
    assert!(rebuilt.contains("-2wf"), "{told}");

    let (code, told) = refresh(&farm, &["wfyaml"]);
    assert_eq!((code, &told["compared"]), (Some(0), &1.into()), "{told}");

    // What was built anew is what is delivered.
    let report = farm.build(arguments).unwrap().success().unwrap();
    let wheel = report.wheel("wfyaml", "3.11").unwrap();
    assert_eq!(
        (wheel.filename.as_str(), wheel.origin.as_str()),
        (rebuilt, "cached")
    );
    assert_eq!(report.containers, 0);
    store_is_whole(&farm);
}

fn refresh(farm: &Farm, more: &[&str]) -> (Option<i32>, Value) {
    let mut arguments = vec!["refresh", "--format", "json"];
    arguments.extend(more);
    let run = farm.run(arguments).unwrap();
    let told = serde_json::from_str(&run.stdout);
    (
        run.code,
        told.unwrap_or_else(|error| panic!("{error}: {}", run.stderr)),
    )
}

/// Writes an older version of the library into the records of the environment and of the wheel.
fn age(farm: &Farm, version: &str) {
    for kind in ["series/environment", "records/wheel"] {
        let mut aged = 0;
        for file in json_files(&farm.store().join(kind)) {
            let text = fs_err::read_to_string(&file).unwrap();
            let mut value: Value = serde_json::from_str(&text).unwrap();
            for package in value["manifest"].as_array_mut().into_iter().flatten() {
                if package["name"] == "libyaml-0-2" {
                    package["version"] = OLDER.into();
                    aged += 1;
                }
            }
            for library in value["vendored"].as_array_mut().into_iter().flatten() {
                assert_eq!(library["package"], format!("libyaml-0-2 {version}"));
                library["package"] = format!("libyaml-0-2 {OLDER}").into();
                aged += 1;
            }
            fs_err::write(&file, value.to_string()).unwrap();
        }
        assert_eq!(aged, 1, "{kind}");
    }
}

fn json_files(directory: &Path) -> Vec<PathBuf> {
    let inside = |directory: &Path| {
        files(directory)
            .into_iter()
            .map(|name| directory.join(name))
            .collect::<Vec<_>>()
    };
    inside(directory)
        .iter()
        .flat_map(|shard| inside(shard))
        .collect()
}
