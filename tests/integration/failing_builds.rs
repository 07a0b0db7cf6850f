//! Builds that fail, each for a reason that is said, and builds that need more than they say at first.

use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::index::Index;
use wheelfarm_tests::sdist::{Sdist, pure_wheel};

use crate::support::{failed, farm_of, main_job, needs_docker, store_is_whole, wheels};

const ADD: &str = r#"
#define PY_SSIZE_T_CLEAN
#include <Python.h>
static PyObject *answer(PyObject *self, PyObject *none) { return PyLong_FromLong(42); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, ""}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "wfgood", "", -1, methods};
PyMODINIT_FUNC PyInit_wfgood(void) { return PyModule_Create(&module); }
"#;

#[test]
fn an_error_in_the_c_code_stops_nothing_else() {
    needs_docker!();
    let index = Index::start()
        .unwrap()
        .with(&Sdist::with_extension("wfgood", "1.0", ADD))
        .unwrap()
        .with(&Sdist::with_extension(
            "wfbad",
            "1.0",
            "int answer(void) { return 42 }\n",
        ))
        .unwrap();
    // setuptools comes from the machine's own index.
    let farm = Farm::sharing().unwrap().with("UV_INDEX", &index.url());
    let run = farm
        .build(["wfgood", "wfbad", "--image", "debian-12"])
        .unwrap();
    let failures = failed(&run, 3, &["wfbad 1.0"], &[]);
    let [failure] = failures.as_slice() else {
        panic!("{failures:?}");
    };
    assert_eq!(failure.kind, "package");
    assert!(failure.job.starts_with("wfbad 1.0 cp311-"), "{failure:?}");
    assert!(failure.log.is_some(), "{failure:?}");
    let complaint = "expected ‘;’ before ‘}’ token";
    assert!(
        failure.tail.iter().any(|line| line.contains(complaint)),
        "{failure:?}"
    );
    assert!(
        run.stderr.contains(complaint),
        "the end of the log is not shown: {}",
        run.stderr
    );
    let wheels = wheels(&farm.out());
    assert_eq!(wheels.len(), 1, "{wheels:?}");
    assert!(
        wheels.first().unwrap().starts_with("wfgood-1.0-"),
        "{wheels:?}"
    );

    // The same would fail again: nothing is run, and all is said that was said before.
    let run = farm
        .build(["wfgood", "wfbad", "--image", "debian-12"])
        .unwrap();
    let said = ["wfbad 1.0", "failed before", "exit code"];
    let again = failed(&run, 3, &said, &["--retry-failed"]);
    let again = again.first().unwrap();
    assert_eq!((&again.log, &again.tail), (&failure.log, &failure.tail));
    let report = run.report().unwrap();
    assert_eq!(report.wheels.first().unwrap().origin, "cached");
    assert_eq!(report.containers, 0);

    // Unless that is asked for.
    let run = farm
        .build(["wfbad", "--image", "debian-12", "--retry-failed"])
        .unwrap();
    failed(&run, 3, &["wfbad 1.0"], &[]);
    assert!(!run.stderr.contains("failed before"), "{}", run.stderr);
    assert_eq!(run.report().unwrap().containers, 1);
}

#[test]
fn a_missing_system_package_is_named() {
    needs_docker!();
    main_job();
    let farm = Farm::sharing()
        .unwrap()
        .configure("[package.psycopg2]\nsystem.apt = []\n")
        .unwrap();
    let run = farm.build(["psycopg2", "--python", "3.11"]).unwrap();
    let failures = failed(
        &run,
        3,
        &["psycopg2", "pg_config"],
        &["libpq-dev", "system.apt = [\"libpq-dev\"]"],
    );
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(wheels(&farm.out()), [""; 0]);
    store_is_whole(&farm);
}

#[test]
fn build_requirements_that_only_the_back_end_knows() {
    needs_docker!();
    let backend = "def get_requires_for_build_wheel(config_settings=None):\n    return [\"wfhelper>=1\"]\n\ndef build_wheel(directory, config_settings=None, metadata_directory=None):\n    import wfhelper\n    return write_wheel(directory, {\"dynamic.py\": wfhelper.TEXT})\n";
    let helper = pure_wheel("wfhelper", "1.5", "TEXT = 'made = True'\n").unwrap();
    let index = Index::start()
        .unwrap()
        .with(&Sdist::with_backend("dynamic", "1.0", &[], backend))
        .unwrap()
        .with_file("wfhelper", "wfhelper-1.5-py3-none-any.whl", helper);
    let farm = farm_of(&index);
    let report = farm
        .build(["dynamic", "--image", "debian-12"])
        .unwrap()
        .success()
        .unwrap();
    let wheel = report.wheels.first().unwrap();
    let module = wheelfarm_tests::wheel::read(&wheel.path, "dynamic.py").unwrap();
    assert_eq!(module, b"made = True");
    let report = farm
        .build(["dynamic", "--image", "debian-12"])
        .unwrap()
        .success()
        .unwrap();
    assert_eq!((report.containers, report.downloaded), (0, 0));
}
