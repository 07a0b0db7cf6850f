use super::*;
use crate::testing::Lab;
use crate::{AuditOptions, LibraryRoot, audit};
use wheelfarm_types::Arch;
use wheelfarm_wheel::{Wheel, WheelWriter};

const INIT: &str = "void *PyInit__demo(void)";

/// A wheel `demo-1.0-<tags>-linux_<arch>` of one object.
fn wheel(tags: &str, path: &str, object: &[u8]) -> Wheel {
    let name = format!("demo-1.0-{tags}-linux_{}.whl", Arch::host().unwrap());
    let mut writer = WheelWriter::new(name.parse().unwrap());
    writer.insert(path, object.to_vec(), false).unwrap();
    writer.finish_wheel().unwrap()
}

/// A module that uses these functions.
fn using(lab: &Lab, functions: &[&str]) -> Vec<u8> {
    let declared: Vec<String> = functions
        .iter()
        .map(|name| format!("void {name}(void);"))
        .collect();
    let called: Vec<String> = functions.iter().map(|name| format!("{name}();")).collect();
    let (declared, called) = (declared.concat(), called.concat());
    lab.module_of(
        &format!("void base(void); {declared} {INIT} {{ base(); {called} return 0; }}"),
        &[],
    )
}

/// What is said of it that concerns Python.
fn findings(wheel: &Wheel) -> Vec<Finding> {
    let report = audit(wheel, &LibraryRoot::empty(), &AuditOptions::default()).unwrap();
    let mut findings = report.findings;
    findings.retain(|finding| {
        matches!(
            finding,
            Finding::BeyondStableAbi { .. }
                | Finding::LaterStableAbi { .. }
                | Finding::NamedForOthers { .. }
                | Finding::OtherThreading { .. }
                | Finding::OtherCharacters { .. }
        )
    });
    findings
}

#[test]
fn the_stable_abi_is_what_the_tag_claims() {
    let lab = Lab::new();
    let path = "demo/_demo.abi3.so".to_owned();
    // In the ABI since 3.2, 3.10, and not at all.
    let module = using(
        &lab,
        &["PyList_New", "PyModule_AddObjectRef", "PyUnicode_New"],
    );
    let beyond = Finding::BeyondStableAbi {
        path: path.clone(),
        symbols: vec!["PyUnicode_New".into()],
    };
    let release = |minor| Release { major: 3, minor };
    let later = |claimed| Finding::LaterStableAbi {
        path: path.clone(),
        claimed: release(claimed),
        needed: release(10),
        symbols: BTreeMap::from([("PyModule_AddObjectRef".into(), release(10))]),
    };
    for (tags, expected) in [
        ("cp38-abi3", vec![beyond.clone(), later(8)]),
        ("cp310-abi3", vec![beyond.clone()]),
        // Installed on 3.9, too.
        ("cp310.cp39-abi3", vec![beyond.clone(), later(9)]),
        // The file's name claims the stable ABI where the wheel does not.
        ("cp39-cp39", vec![beyond.clone(), later(9)]),
    ] {
        assert_eq!(findings(&wheel(tags, &path, &module)), expected, "{tags}");
    }
    // A module for one version may use all of it.
    let versioned = wheel(
        "cp39-cp39",
        "demo/_demo.cpython-39-x86_64-linux-gnu.so",
        &module,
    );
    assert_eq!(findings(&versioned), []);
}

#[test]
fn names_of_the_wheels_own_objects_are_not_pythons() {
    let lab = Lab::new();
    let helper = lab.module_of("void PyDemo_Helper(void) {}", &[]);
    let module = using(&lab, &["PyDemo_Helper", "PyList_New"]);
    let name = format!("demo-1.0-cp38-abi3-linux_{}.whl", Arch::host().unwrap());
    let mut writer = WheelWriter::new(name.parse().unwrap());
    writer
        .insert("demo/_demo.abi3.so", module.clone(), false)
        .unwrap();
    writer.insert("demo/libhelper.so", helper, false).unwrap();
    assert_eq!(findings(&writer.finish_wheel().unwrap()), []);
    let alone = wheel("cp38-abi3", "demo/_demo.abi3.so", &module);
    assert_eq!(findings(&alone).len(), 1);
}

#[test]
fn modules_are_named_for_the_interpreters_of_the_tags() {
    let lab = Lab::new();
    let module = using(&lab, &["PyList_New"]);
    for (tags, infix, loads) in [
        ("cp313-cp313t", ".cpython-313t-x86_64-linux-gnu", true),
        ("cp313-cp313t", ".cpython-313-x86_64-linux-gnu", false),
        // Free-threaded interpreters do not take it.
        ("cp313-cp313t", ".abi3", false),
        ("cp313-cp313t", "", true),
        ("cp313-cp313", ".abi3", true),
        ("cp313-cp313", ".cpython-312-x86_64-linux-gnu", false),
        ("cp38-abi3", ".cpython-38-x86_64-linux-gnu", false),
        ("cp36-cp36m", ".cpython-36m-x86_64-linux-gnu", true),
        ("pp310-pypy310_pp73", ".pypy310-pp73-x86_64-linux-gnu", true),
        (
            "pp311-pypy311_pp73",
            ".pypy310-pp73-x86_64-linux-gnu",
            false,
        ),
        // Chosen at run time.
        ("py3-none", ".cpython-312-x86_64-linux-gnu", true),
        ("cp315-abi3.abi3t", ".abi3t", true),
    ] {
        let path = format!("demo/_demo{infix}.so");
        let found = findings(&wheel(tags, &path, &module));
        let named = found
            .iter()
            .any(|finding| matches!(finding, Finding::NamedForOthers { .. }));
        assert_eq!(named, !loads, "{tags} {infix}: {found:?}");
    }
}

#[test]
fn a_module_with_the_lock_is_not_free_threaded() {
    let lab = Lab::new();
    let path = "demo/_demo.so";
    let locked = using(&lab, &["_Py_Dealloc"]);
    let free = using(&lab, &["_Py_DecRefShared", "_Py_MergeZeroLocalRefcount"]);
    let other = |free_threaded| {
        vec![Finding::OtherThreading {
            path: path.to_owned(),
            free_threaded,
        }]
    };
    for (tags, object, expected) in [
        ("cp314-cp314t", &locked, other(false)),
        ("cp314-cp314t", &free, Vec::new()),
        ("cp314-cp314", &free, other(true)),
        ("cp314-cp314", &locked, Vec::new()),
        ("py3-none", &free, Vec::new()),
    ] {
        assert_eq!(findings(&wheel(tags, path, object)), expected, "{tags}");
    }
}

#[test]
fn python_2_has_characters_of_two_widths() {
    let lab = Lab::new();
    let path = "demo/_demo.so";
    let source = |width: u8| {
        let name = format!("PyUnicodeUCS{width}_Decode");
        lab.module_of(
            &format!("void {name}(void); void init_demo(void) {{ {name}(); }}"),
            &[],
        )
    };
    let (narrow, wide) = (source(2), source(4));
    for (tags, object, bytes) in [
        ("cp27-cp27m", &narrow, None),
        ("cp27-cp27mu", &narrow, Some(2)),
        ("cp27-cp27m", &wide, Some(4)),
        ("cp27-cp27mu", &wide, None),
    ] {
        let expected = bytes.map(|bytes| Finding::OtherCharacters {
            path: path.to_owned(),
            bytes,
        });
        let found = findings(&wheel(tags, path, object));
        assert_eq!(found, Vec::from_iter(expected), "{tags}");
    }
}
