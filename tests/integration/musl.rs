//! Wheels for musl: built, made complete and imported where there is no glibc. The libraries and the Python for it take
//! many minutes to compile, so this is for who asks: `WHEELFARM_TEST_MUSL=1`, as `cargo xtask test --full` does.

use std::process::Command;

use wheelfarm_tests::environment::{architecture, variable};
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::index::Index;
use wheelfarm_tests::process;
use wheelfarm_tests::sdist::{Sdist, pure_wheel};

use crate::pythons::store_with_python;
use crate::support::needs_docker;

/// An extension module that needs a shared library.
const CALL: &str = r#"
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <ffi.h>
#ifdef __GLIBC__
#error "compiled for glibc"
#endif
static int five(void) { return 5; }
static PyObject *call(PyObject *self, PyObject *none) {
    ffi_cif cif;
    ffi_arg result = 0;
    if (ffi_prep_cif(&cif, FFI_DEFAULT_ABI, 0, &ffi_type_sint, NULL) != FFI_OK) return NULL;
    ffi_call(&cif, FFI_FN(five), &result, NULL);
    return PyLong_FromLong((long)result);
}
static PyMethodDef methods[] = {{"call", call, METH_NOARGS, ""}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "wfcall", "", -1, methods};
PyMODINIT_FUNC PyInit_wfcall(void) { return PyModule_Create(&module); }
"#;
const SETUP: &str = r#"
from setuptools import Extension, setup
setup(ext_modules=[Extension("wfcall", ["src/wfcall.c"], libraries=["ffi"])])
"#;
/// Only the library that came with the wheel is there, and nothing that glibc would need.
const TEST: &str = r#"
[package.wfcall]
test = """python -c 'import glob, wfcall
assert wfcall.call() == 5
maps = open("/proc/self/maps").read()
assert "/wfcall.libs/libffi-" in maps and "ld-musl" in maps, maps
assert not glob.glob("/lib*/ld-linux*") and not glob.glob("/lib/*/libc.so.6")'"""
"#;

#[test]
fn a_wheel_with_a_library_is_built_and_runs_where_there_is_no_glibc() {
    needs_docker!();
    if variable("WHEELFARM_TEST_MUSL").is_none() {
        return;
    }
    let store = store_with_python("debian-12-musl", "3.11");
    let sdist = Sdist::with_extension("wfcall", "1.0", CALL)
        .without("setup.py")
        .file("setup.py", SETUP);
    let glibc = format!(
        "wfcall-1.0-cp311-cp311-manylinux_2_17_{}.whl",
        architecture()
    );
    let wrong = pure_wheel("wfcall", "1.0", "raise ImportError").unwrap();
    let index = Index::start()
        .unwrap()
        .with(&sdist)
        .unwrap()
        .with_file("wfcall", &glibc, wrong);
    let farm = Farm::with_store(&store)
        .unwrap()
        .with("UV_INDEX", &index.url())
        .configure(TEST)
        .unwrap();
    let target = format!("musllinux_1_2_{}", architecture());
    let arguments = ["wfcall", "--python", "3.11", "--target", &target];
    let report = farm.build(arguments).unwrap().success().unwrap();
    let wheel = report.wheel("wfcall", "3.11").unwrap();
    // The index's wheel for glibc is none for musl.
    assert_eq!(
        (wheel.origin.as_str(), wheel.image.as_str()),
        ("built", "debian-12-musl")
    );
    assert!(
        wheel
            .filename
            .ends_with(&format!("-cp311-cp311-{target}.whl")),
        "{}",
        wheel.filename
    );
    let [library] = &wheel.vendored[..] else {
        panic!("{:?}", wheel.vendored)
    };
    assert_eq!(library.soname, "libffi.so.8");
    let package = library.package.as_deref().unwrap_or_default();
    assert!(package.starts_with("libffi-musl"), "{package}");
    assert_eq!(wheel.proof.as_ref().unwrap().imported, ["wfcall"]);

    // A second time nothing is left to do.
    let again = farm.build(arguments).unwrap().success().unwrap();
    assert_eq!((again.containers, again.downloaded), (0, 0));
}

#[test]
fn the_base_for_final_stages_has_a_python_for_musl_with_pip_and_venv() {
    needs_docker!();
    if variable("WHEELFARM_TEST_MUSL").is_none() {
        return;
    }
    // Made by `cargo xtask images`.
    let script = "set -e; python -m venv --without-pip /opt/venv; \
        python3 -m pip --python /opt/venv/bin/python --version; \
        /opt/venv/bin/python -c 'import ctypes, hashlib, lzma, ssl, sysconfig, zlib; print(sysconfig.get_config_var(\"EXT_SUFFIX\"))'; \
        find /lib* /usr -name 'libc.so*' -o -name 'ld-linux*'";
    let mut docker = Command::new("docker");
    docker.args([
        "run",
        "--rm",
        "--network",
        "none",
        "wheelfarm/python-musl:3.11",
        "sh",
        "-c",
        script,
    ]);
    let output = process::run(&mut docker).unwrap();
    let lines: Vec<_> = output.lines().collect();
    let [pip, suffix] = lines[..] else {
        panic!("{output}")
    };
    assert!(
        pip.starts_with("pip ") && pip.contains("python 3.11"),
        "{pip}"
    );
    assert_eq!(
        suffix,
        format!(".cpython-311-{}-linux-musl.so", architecture())
    );
}
