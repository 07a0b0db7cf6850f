use std::collections::BTreeMap;

use serde_json::{Value, json};
use wheelfarm_audit::{AuditReport, ElfObject, ExternalLibrary, LibraryTree, Obstacle, Verdict};

use super::*;

const WHEEL: &str = "x-1-cp311-cp311-linux_x86_64.whl";

fn needs(library: &str, version: &str) -> BTreeMap<String, Vec<String>> {
    BTreeMap::from([(library.to_owned(), vec![version.to_owned()])])
}

fn verdict(tag: &str, obstacles: Vec<Obstacle>, grafts: &[&str]) -> Verdict {
    Verdict {
        target: tag.parse().unwrap(),
        aliases: Vec::new(),
        obstacles,
        grafts: grafts.iter().map(|name| (*name).to_owned()).collect(),
        fewest_grafts: true,
    }
}

fn too_recent() -> Obstacle {
    Obstacle::TooRecent {
        file: "x.so".into(),
        library: "libc.so.6".into(),
        version: "GLIBC_2.28".into(),
        symbols: Vec::new(),
    }
}

/// An object that needs `libold.so.1`, which only the newest policy has, and a libc of the middle one.
fn report() -> AuditReport {
    let path = "x.so".to_owned();
    let mut version_needs = needs("libc.so.6", "GLIBC_2.28");
    version_needs.extend(needs("ld-linux-x86-64.so.2", "GLIBC_2.3"));
    AuditReport {
        wheel: WHEEL.parse().unwrap(),
        arch: Some(wheelfarm_types::Arch::X86_64),
        libc: None,
        narrow_unicode: false,
        earned: Some("manylinux_2_28_x86_64".parse().unwrap()),
        earned_without_grafting: Some("manylinux_2_36_x86_64".parse().unwrap()),
        verdicts: vec![
            verdict(
                "manylinux_2_17_x86_64",
                vec![too_recent()],
                &["libold.so.1"],
            ),
            verdict("manylinux_2_28_x86_64", Vec::new(), &["libold.so.1"]),
            verdict("manylinux_2_36_x86_64", Vec::new(), &[]),
        ],
        external: vec![ExternalLibrary {
            soname: "libold.so.1".into(),
            path: Some("/usr/lib/libold.so.1.0".into()),
            owner: None,
            needed_by: vec![path.clone()],
            version_needs: needs("libm.so.6", "GLIBC_2.17"),
            libpython: false,
        }],
        objects: vec![ElfObject {
            included: Vec::new(),
            path,
            arch: Some(wheelfarm_types::Arch::X86_64),
            considered: true,
            executable: false,
            soname: None,
            needed: Vec::new(),
            rpath: None,
            runpath: None,
            interpreter: None,
            version_needs,
            isa_level: 1,
            extension: None,
            libraries: LibraryTree::new(),
        }],
        extensions: Vec::new(),
        findings: Vec::new(),
    }
}

fn shown(report: &AuditReport) -> Value {
    let mut shown = serde_json::to_value(Shown::platform(WHEEL, report, None)).unwrap();
    let ours = shown.as_object_mut().unwrap().remove("wheelfarm").unwrap();
    assert_eq!(ours.get("earned").unwrap(), "manylinux_2_28_x86_64");
    shown
}

#[test]
fn auditwheels_fields_keep_their_meaning() {
    let expected = json!({
        "version": 1,
        "wheel": WHEEL,
        "pure": false,
        // Without grafting.
        "overall_tag": "manylinux_2_36_x86_64",
        // By versions alone: of the wheel, and of what this tag would have grafted.
        "sym_tag": "manylinux_2_28_x86_64",
        "pyfpe": false,
        "ucs2": false,
        "unsupported_isa": false,
        "versioned_symbols": { "libc.so.6": ["GLIBC_2.28"], "libm.so.6": ["GLIBC_2.17"] },
        "external_libs": { "libold.so.1": "/usr/lib/libold.so.1.0" },
        "policy_upgrades": {
            "manylinux_2_17_x86_64": { "libs_to_eliminate": ["libold.so.1"] },
            "manylinux_2_28_x86_64": { "libs_to_eliminate": ["libold.so.1"] },
        },
    });
    assert_eq!(shown(&report()), expected);
}

#[test]
fn what_no_policy_allows_is_flagged() {
    let mut report = report();
    let isa = Obstacle::Isa {
        file: "x.so".into(),
        level: 3,
    };
    let blacklisted = Obstacle::Blacklisted {
        file: "x.so".into(),
        library: "libz.so.1".into(),
        symbols: vec!["inflate_table".into()],
    };
    for verdict in &mut report.verdicts {
        verdict.obstacles.extend([isa.clone(), blacklisted.clone()]);
    }
    report.earned_without_grafting = None;
    let shown = shown(&report);
    assert_eq!(shown.get("unsupported_isa").unwrap(), true);
    assert_eq!(shown.get("pyfpe").unwrap(), false);
    assert_eq!(shown.get("overall_tag").unwrap(), "linux_x86_64");
    let upgrade = shown.pointer("/policy_upgrades/manylinux_2_36_x86_64");
    let expected = json!({ "blacklisted_symbols": { "libz.so.1": ["inflate_table"] } });
    assert_eq!(upgrade, Some(&expected));
}

#[test]
fn the_other_shapes() {
    assert_eq!(
        serde_json::to_value(Shown::pure("x")).unwrap(),
        json!({ "version": 1, "wheel": "x", "pure": true })
    );
    assert_eq!(
        serde_json::to_value(Shown::error("x", "no".to_owned())).unwrap(),
        json!({ "version": 1, "wheel": "x", "error": "no" })
    );
}
