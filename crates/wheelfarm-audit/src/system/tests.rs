use std::os::unix::fs::symlink;

use wheelfarm_types::Libc;

use super::*;
use crate::Objects;
use crate::testing::{Lab, arch, wheel};

const LOADER: &str = "-Wl,--dynamic-linker=/lib64/ld-linux-x86-64.so.2";
const PLAIN: &str = "void base(void); void PyNumber_Add(void) {} void _start(void) { base(); }";
const FREE_THREADED: &str =
    "void base(void); void _Py_DecRefShared(void) {} void _start(void) { base(); }";

/// A system with a libc whose newest version is 2.36, and `python` at this path.
fn lab(path: &str, source: &str) -> Lab {
    let lab = Lab::new();
    lab.write("root/lib/nothing", "");
    fs_err::copy(lab.path("stub/libc.so.6"), lab.path("root/lib/libc.so.6")).unwrap();
    lab.write(&format!("root{path}"), "");
    let flags = ["-pie", "stub/libc.so.6", LOADER, "-Wl,--export-dynamic"];
    lab.compile(&format!("root{path}"), source, &flags);
    lab
}

fn open(lab: &Lab) -> LibraryRoot {
    LibraryRoot::open(&lab.root()).unwrap().as_installed()
}

fn look(lab: &Lab, candidates: &[&str]) -> System {
    let candidates: Vec<_> = candidates.iter().map(|&path| path.to_owned()).collect();
    System::look(&open(lab), &candidates, Some(arch())).unwrap()
}

fn version(text: &str) -> PythonVersion {
    text.parse().unwrap()
}

#[test]
fn a_python_is_told_by_its_file() {
    let lab = lab("/usr/bin/python3.11", PLAIN);
    symlink("python3.11", lab.path("root/usr/bin/python3")).unwrap();
    lab.write("root/usr/bin/python3.9", "#!/bin/sh\n");
    let paths = [
        "/usr/bin/python3",
        "/usr/bin/python3.11",
        "/usr/bin/python3.9",
        "/usr/bin/python3.8",
    ];
    let system = look(&lab, &paths);
    let glibc = Some(Libc::Glibc {
        major: 2,
        minor: 36,
    });
    let python = FoundPython {
        path: "/usr/bin/python3.11".to_owned(),
        version: version("3.11"),
        arch: Some(arch()),
        libc: glibc,
    };
    assert_eq!(system.pythons, std::slice::from_ref(&python));
    assert_eq!(system.libc, glibc);
    let found = system.python(version("3.11"), LibcFamily::Glibc);
    assert_eq!(found, Some(&python));
    assert_eq!(system.python(version("3.11t"), LibcFamily::Glibc), None);
}

#[test]
fn what_a_program_exports_says_more_than_its_name() {
    let lab = lab("/opt/python/bin/python3.13", FREE_THREADED);
    let system = look(&lab, &["/opt/python/bin/python3.13"]);
    assert_eq!(system.pythons[0].version, version("3.13t"));
}

#[test]
fn a_program_without_a_number_is_told_by_its_library() {
    let one = lab("/app/bin/python", PLAIN);
    assert_eq!(look(&one, &["/app/bin/python"]).pythons, []);
    one.write("root/app/lib/python3.12/os.py", "");
    let version_of = |lab: &Lab| look(lab, &["/app/bin/python"]).pythons[0].version;
    assert_eq!(version_of(&one), version("3.12"));

    let other = lab("/app/bin/python", PLAIN);
    let soname = "-Wl,-soname,libpython3.13t.so.1.0";
    other.compile(
        "libpython.so",
        "void Py_Main(void) {}",
        &["-shared", soname],
    );
    let flags = ["-pie", "libpython.so", LOADER];
    other.compile("root/app/bin/python", "void _start(void) {}", &flags);
    assert_eq!(version_of(&other), version("3.13t"));
}

#[test]
fn a_system_without_python_has_a_libc() {
    let lab = lab("/bin/true", PLAIN);
    let system = look(&lab, &[]);
    assert_eq!(system.pythons, []);
    assert!(matches!(system.libc, Some(Libc::Glibc { minor: 36, .. })));
    fs_err::write(lab.path("root/lib/libc.so.6"), "INPUT(x)").unwrap();
    assert_eq!(look(&lab, &[]).libc, None);
    let loader = lab.path("root/lib/ld-musl-x86_64.so.1");
    lab.compile(
        "musl.so",
        "const char release[] = \"\\0001.2.3\";",
        &["-shared"],
    );
    fs_err::rename(lab.path("musl.so"), loader).unwrap();
    let musl = Libc::Musl { major: 1, minor: 2 };
    assert_eq!(look(&lab, &[]).libc, Some(musl));
}

/// What is wrong with a wheel of one module that is linked to `flags`.
fn wrong(lab: &Lab, platform: &str, libc: impl Into<Option<Libc>>, module: &[u8]) -> Vec<Problem> {
    let wheel = wheel(platform, &[("_demo.so", module)]);
    let objects = Objects::read(&wheel).unwrap();
    let found = problems(&wheel, &objects, &open(lab), libc.into()).unwrap();
    found.into_iter().map(|needed| needed.problem).collect()
}

fn glibc(minor: u16) -> Libc {
    Libc::Glibc { major: 2, minor }
}

#[test]
fn libraries_have_to_be_there() {
    let lab = lab("/usr/bin/python3.11", PLAIN);
    lab.chain();
    lab.write("root/etc/ld.so.cache", "");
    let module = lab.module(&["root/opt/lib/libone.so.1"]);
    let wrong = || wrong(&lab, "manylinux_2_28", glibc(36), &module);
    assert_eq!(wrong(), []);
    // What that library needs itself is missed as well.
    fs_err::remove_file(lab.path("root/opt/lib/libtwo.so.1")).unwrap();
    let missing = |library: &str, by: Option<&str>| Problem::Library {
        library: library.to_owned(),
        by: by.map(str::to_owned),
    };
    let by = Some("/opt/lib/libone.so.1.0");
    assert_eq!(wrong(), [missing("libtwo.so.1", by)]);
    fs_err::remove_file(lab.path("root/opt/lib/libone.so.1")).unwrap();
    assert_eq!(wrong(), [missing("libone.so.1", None)]);
}

#[test]
fn configured_directories_count_once_ldconfig_has_run() {
    let lab = lab("/usr/bin/python3.11", PLAIN);
    lab.chain();
    let module = lab.module(&["root/opt/lib/libone.so.1"]);
    let count = || wrong(&lab, "manylinux_2_28", glibc(36), &module).len();
    assert_eq!(count(), 1);
    lab.write("root/etc/ld.so.cache", "");
    assert_eq!(count(), 0);
}

#[test]
fn versions_have_to_be_defined_by_what_is_there() {
    let lab = lab("/usr/bin/python3.11", PLAIN);
    let source = "void newest(void); void *PyInit__demo(void) { newest(); return 0; }";
    let module = lab.module_of(source, &[]);
    assert_eq!(wrong(&lab, "linux", glibc(36), &module), []);
    lab.write("versions", "GLIBC_2.17 { global: base; };");
    let flags = [
        "-shared",
        "-Wl,-soname,libc.so.6",
        "-Wl,--version-script,versions",
    ];
    lab.compile("root/lib/libc.so.6", "void base(void) {}", &flags);
    let lacking = Problem::Version {
        library: "libc.so.6".to_owned(),
        path: "/lib/libc.so.6".to_owned(),
        versions: vec!["GLIBC_2.36".to_owned()],
    };
    assert_eq!(wrong(&lab, "linux", glibc(17), &module), [lacking]);
    // Where the tag says so too, once is enough.
    let libc = Problem::Libc {
        needed: "glibc 2.36".to_owned(),
    };
    let both = wrong(&lab, "manylinux_2_36", glibc(17), &module);
    assert_eq!(both, [libc]);
}

#[test]
fn another_c_library_is_all_that_is_said() {
    let lab = lab("/usr/bin/python3.11", PLAIN);
    let module = lab.module(&[]);
    let musl = Some(Libc::Musl { major: 1, minor: 2 });
    for (platform, libc) in [
        ("manylinux_2_28", musl),
        ("manylinux_2_28", None),
        ("musllinux_1_2", Some(glibc(36))),
    ] {
        let wrong = wrong(&lab, platform, libc, &module);
        assert!(
            matches!(&wrong[..], [Problem::Libc { .. }]),
            "{platform}: {wrong:?}"
        );
    }
}
