//! Wheels for another architecture, built under emulation. It takes minutes and an image that takes longer still, so
//! it is for who asks: `WHEELFARM_TEST_EMULATED=1`, after `wheelfarm images build debian-12-arm64`.

use wheelfarm_tests::environment::variable;
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::index::Index;
use wheelfarm_tests::sdist::Sdist;

use crate::support::needs_docker;

const C: &str = r#"
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#ifndef __aarch64__
#error another architecture
#endif
static PyMethodDef methods[] = {{NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "wfarm64", "", -1, methods};
PyMODINIT_FUNC PyInit_wfarm64(void) { return PyModule_Create(&module); }
"#;

#[test]
fn a_wheel_for_arm64_is_built_and_proved_and_its_emulation_is_told() {
    needs_docker!();
    if variable("WHEELFARM_TEST_EMULATED").is_none() {
        return;
    }
    let index = Index::start()
        .unwrap()
        .with(&Sdist::with_extension("wfarm64", "1.0", C))
        .unwrap();
    // setuptools comes from the machine's own index.
    let farm = Farm::new().unwrap().with("UV_INDEX", &index.url());
    let run = farm
        .build(["wfarm64", "--target", "manylinux_2_36_aarch64"])
        .unwrap();
    let report = run.success().unwrap();
    let wheel = report.wheel("wfarm64", "3.11").unwrap();
    assert_eq!(wheel.image, "debian-12-arm64");
    // It needs less than the newest symbols of that release.
    assert!(wheel.filename.ends_with("_aarch64.whl"), "{wheel:?}");
    assert_eq!(wheel.proof.as_ref().unwrap().imported, ["wfarm64"]);
    assert!(
        run.stderr.contains("debian-12-arm64 is emulated"),
        "{}",
        run.stderr
    );
}
