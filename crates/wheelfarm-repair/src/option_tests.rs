//! What callers can ask for beyond the usual: stripped objects, libraries that code loads by itself, levels.

use std::collections::BTreeSet;
use std::sync::Mutex;

use wheelfarm_audit::{AuditOptions, LibraryRoot, Objects, audit};
use wheelfarm_elf::{Elf, strip};
use wheelfarm_types::Digest;
use wheelfarm_wheel::{Deflated, Level, Wheel};

use crate::testing::{Lab, wheel};
use crate::{
    GraftCache, Make, NoCache, RepairError, RepairOptions, RepairPlan, apply, plan, verify,
};

const MODULE: &str = "demo/_demo.cpython-311-x86_64-linux-gnu.so";
const HELPER: &str = "demo/data/helper.so";
const ONE: &str = "root/opt/lib/libone.so.1";

fn planned(wheel: &Wheel, lab: &Lab, options: &RepairOptions) -> Result<RepairPlan, RepairError> {
    let root = LibraryRoot::open(&lab.root()).unwrap();
    let report = audit(wheel, &root, &options.audit).unwrap();
    plan(wheel, &report, &root, options)
}

/// The repaired wheel, which has been verified.
fn repaired(source: &Wheel, lab: &Lab, options: &RepairOptions) -> Wheel {
    let root = LibraryRoot::open(&lab.root()).unwrap();
    let plan = planned(source, lab, options).unwrap();
    let objects = Objects::read_hashed(source).unwrap();
    let mut bytes = Vec::new();
    let changed = apply(&plan, source, &objects, &root, &NoCache, &mut bytes).unwrap();
    let wheel = Wheel::from_bytes(bytes, plan.filename.clone()).unwrap();
    verify(&plan, &wheel, &objects, &changed, None).unwrap();
    wheel
}

fn including(names: &[&str]) -> RepairOptions {
    RepairOptions {
        audit: AuditOptions {
            include: names.iter().map(|name| (*name).to_owned()).collect(),
            ..AuditOptions::default()
        },
        ..RepairOptions::default()
    }
}

fn stripping() -> RepairOptions {
    RepairOptions {
        strip: true,
        ..RepairOptions::default()
    }
}

/// Soname, needed names and RPATH of a member.
fn dynamic(wheel: &Wheel, member: &str) -> (String, Vec<String>, String) {
    let bytes = wheel.read(member).unwrap();
    let elf = Elf::parse(&bytes).unwrap();
    (
        elf.soname().unwrap_or_default().to_owned(),
        elf.needed().iter().map(|name| (*name).to_owned()).collect(),
        elf.rpath().unwrap_or_default().to_owned(),
    )
}

fn sbom(wheel: &Wheel) -> serde_json::Value {
    let text = wheel.read("demo-1.0.dist-info/sboms/wheelfarm.cdx.json");
    serde_json::from_slice(&text.unwrap()).unwrap()
}

fn grafts(wheel: &Wheel) -> Vec<&str> {
    let names = wheel.entries().iter().map(|entry| entry.name.as_str());
    names
        .filter(|name| name.starts_with("demo.libs/"))
        .collect()
}

#[test]
fn grafted_and_own_objects_are_stripped() {
    let lab = Lab::new();
    lab.chain();
    let module = lab.module(&[ONE, "-g"]);
    let helper = lab.module_of("void base(void); void help(void) { base(); }", &["-g"]);
    let members: [(&str, &[u8]); 2] = [(MODULE, &module), (HELPER, &helper)];
    let source = wheel("linux", &members);
    let plain = repaired(&source, &lab, &RepairOptions::default());
    let stripped = repaired(&source, &lab, &stripping());
    assert_eq!(plain.filename(), stripped.filename());
    let objects: Vec<_> = grafts(&plain).into_iter().chain([MODULE, HELPER]).collect();
    assert_eq!(objects.len(), 4);
    for member in objects {
        let (before, after) = (plain.read(member).unwrap(), stripped.read(member).unwrap());
        assert_ne!(strip(&before).unwrap(), before, "{member}");
        assert_eq!(strip(&after).unwrap(), after, "{member}");
        assert!(after.len() < before.len(), "{member}");
        assert_eq!(dynamic(&plain, member), dynamic(&stripped, member));
    }

    // Nothing is left to do.
    let plan = planned(&stripped, &lab, &stripping()).unwrap();
    assert_eq!((plan.grafts, plan.edits), (Vec::new(), Vec::new()));
    let plan = planned(&source, &lab, &stripping()).unwrap();
    assert!(plan.edits_elf());
    let only_helper = wheel("linux", &[(HELPER, &helper)]);
    let plan = planned(&only_helper, &lab, &stripping()).unwrap();
    assert_eq!(plan.edits.len(), 1);
    assert!(!plan.edits_elf(), "strip alone is no edit");
}

/// Remembers what it was asked for.
#[derive(Default)]
struct Keys(Mutex<BTreeSet<Digest>>);

impl GraftCache for Keys {
    fn get_or_make(&self, key: &Digest, make: Make<'_>) -> Result<Deflated, RepairError> {
        self.0.lock().unwrap().insert(*key);
        make()
    }
}

#[test]
fn a_level_is_for_everything_and_part_of_a_grafts_key() {
    let lab = Lab::new();
    lab.chain();
    let text = "all work and no play ".repeat(2000);
    let members: [(&str, &[u8]); 2] = [
        (MODULE, &lab.module(&[ONE])),
        ("demo/text.py", text.as_bytes()),
    ];
    let source = wheel("linux", &members);
    let root = LibraryRoot::open(&lab.root()).unwrap();
    let objects = Objects::read_hashed(&source).unwrap();
    let keys = Keys::default();
    let size = |level: Option<u8>| {
        let options = RepairOptions {
            level: level.and_then(Level::new),
            ..RepairOptions::default()
        };
        let plan = planned(&source, &lab, &options).unwrap();
        let mut bytes = Vec::new();
        let changed = apply(&plan, &source, &objects, &root, &keys, &mut bytes).unwrap();
        let wheel = Wheel::from_bytes(bytes.clone(), plan.filename.clone()).unwrap();
        verify(&plan, &wheel, &objects, &changed, None).unwrap();
        assert_eq!(wheel.read("demo/text.py").unwrap(), text.as_bytes());
        bytes.len()
    };
    let (none, fast, best) = (size(Some(0)), size(Some(1)), size(Some(9)));
    assert!(none > text.len() + fast, "{none} {fast}");
    assert!(fast > best, "{fast} {best}");
    assert_eq!(keys.0.lock().unwrap().len(), 3 * 2);
    // The default is a level too: its libraries are those of that level.
    size(None);
    size(Some(6));
    assert_eq!(keys.0.lock().unwrap().len(), 4 * 2);
}

#[test]
fn the_sbom_has_licences() {
    let lab = Lab::new();
    lab.chain();
    lab.write(
        "root/.wheelfarm/licenses.tsv",
        "libone1\tExpat\nlibone1\tsomething else\n",
    );
    let source = wheel("linux", &[(MODULE, &lab.module(&[ONE]))]);
    let result = repaired(&source, &lab, &RepairOptions::default());
    let bom = sbom(&result);
    assert_eq!(
        bom["components"][0]["licenses"],
        serde_json::json!([
            {"license": {"id": "MIT"}},
            {"license": {"name": "something else"}},
        ])
    );
    // Nobody knows where the other comes from.
    assert!(bom["components"][1].get("licenses").is_none());
}

#[test]
fn what_cannot_be_stripped_stays_as_it_is_and_is_named() {
    let lab = Lab::new();
    let mut helper = lab.module_of("void base(void); void help(void) { base(); }", &["-g"]);
    helper.extend(b"an archive that the program reads");
    let source = wheel("linux", &[(HELPER, &helper)]);
    let plan = planned(&source, &lab, &stripping()).unwrap();
    assert_eq!(plan.unstripped.keys().collect::<Vec<_>>(), [HELPER]);
    let result = repaired(&source, &lab, &stripping());
    assert_eq!(result.read(HELPER).unwrap(), helper);
}

#[test]
fn an_included_library_keeps_its_name_where_the_wheels_code_finds_it() {
    let lab = Lab::new();
    lab.chain();
    let source = wheel(
        "linux",
        &[(MODULE, &lab.module(&[])), (HELPER, &lab.module(&[]))],
    );
    assert!(grafts(&repaired(&source, &lab, &RepairOptions::default())).is_empty());

    let options = including(&["libone.so.1"]);
    let result = repaired(&source, &lab, &options);
    let members = grafts(&result);
    let [one, two] = members.as_slice() else {
        panic!("{members:?}");
    };
    assert_eq!(*one, "demo.libs/libone.so.1");
    let two = two.strip_prefix("demo.libs/").unwrap().to_owned();
    assert!(two.starts_with("libtwo-"), "its own needs are renamed");
    let libc = "libc.so.6".to_owned();
    assert_eq!(
        dynamic(&result, one),
        (
            "libone.so.1".into(),
            vec![libc.clone(), two],
            "$ORIGIN".into()
        )
    );
    for (member, path) in [
        (MODULE, "$ORIGIN/../demo.libs"),
        (HELPER, "$ORIGIN/../../demo.libs"),
    ] {
        let (_, needed, rpath) = dynamic(&result, member);
        assert_eq!((needed, rpath.as_str()), (vec![libc.clone()], path));
    }
    let plan = planned(&result, &lab, &options).unwrap();
    assert_eq!((plan.grafts, plan.edits), (Vec::new(), Vec::new()));
}

#[test]
fn an_included_library_that_is_also_linked_to_is_there_once() {
    let lab = Lab::new();
    lab.chain();
    let source = wheel("linux", &[(MODULE, &lab.module(&[ONE]))]);
    let result = repaired(&source, &lab, &including(&["libtwo.so.1"]));
    assert!(grafts(&result).contains(&"demo.libs/libtwo.so.1"));
    assert_eq!(grafts(&result).len(), 2);
    let one = grafts(&result)
        .into_iter()
        .find(|name| name.contains("one"));
    let (_, needed, rpath) = dynamic(&result, one.unwrap());
    assert_eq!(needed, ["libc.so.6", "libtwo.so.1"]);
    assert_eq!(rpath, "$ORIGIN");
    let needs = &sbom(&result)["dependencies"][1]["dependsOn"];
    assert_eq!(*needs, serde_json::json!(["libtwo.so.1"]));
}

#[test]
fn a_library_may_be_included_by_path_or_by_another_name() {
    let lab = Lab::new();
    lab.chain();
    let link = lab.path("root/opt/lib/libone.so");
    std::os::unix::fs::symlink("libone.so.1.0", link).unwrap();
    let source = wheel("linux", &[(MODULE, &lab.module(&[]))]);
    for (asked_for, name) in [
        ("/opt/lib/libone.so", "libone.so.1"),
        ("libone.so", "libone.so"),
    ] {
        let result = repaired(&source, &lab, &including(&[asked_for]));
        let member = format!("demo.libs/{name}");
        assert!(grafts(&result).contains(&member.as_str()), "{asked_for}");
        assert_eq!(dynamic(&result, &member).0, name);
    }
}

#[test]
fn musl_has_included_libraries_loaded_with_the_module() {
    let lab = Lab::new();
    let libc = "libc.musl-x86_64.so.1";
    let stub = format!("stub/{libc}");
    let soname = format!("-Wl,-soname,{libc}");
    lab.compile(&stub, "void base(void) {}", &["-shared", &soname]);
    lab.compile(
        "root/opt/lib/libone.so.1",
        "void base(void); void one(void) { base(); }",
        &["-shared", "-Wl,-soname,libone.so.1", &stub],
    );
    lab.write("root/etc/ld-musl-x86_64.path", "/opt/lib\n");
    let source = "void base(void); void *PyInit__demo(void) { base(); return 0; }";
    lab.compile("out.so", source, &["-shared", &stub]);
    let module = fs_err::read(lab.path("out.so")).unwrap();
    let source = wheel("linux", &[(MODULE, &module)]);
    let result = repaired(&source, &lab, &including(&["libone.so.1"]));
    let (_, needed, rpath) = dynamic(&result, MODULE);
    assert_eq!(needed, ["libone.so.1", libc]);
    assert_eq!(rpath, "$ORIGIN/../demo.libs");
    assert_eq!(grafts(&result), ["demo.libs/libone.so.1"]);
}

#[test]
fn what_cannot_be_included_is_an_error() {
    let lab = Lab::new();
    lab.chain();
    let module = lab.module(&[]);
    let source = wheel("linux", &[(MODULE, &module)]);
    let link = lab.path("root/opt/lib/libother.so");
    std::os::unix::fs::symlink("libone.so.1.0", link).unwrap();
    let excluded = RepairOptions {
        audit: AuditOptions {
            exclude: vec!["libone.*".into()],
            ..including(&["libone.so.1"]).audit
        },
        ..RepairOptions::default()
    };
    let taken = wheel(
        "linux",
        &[(MODULE, &module), ("demo.libs/libone.so.1", b"text")],
    );
    let scripts = wheel("linux", &[("demo-1.0.data/headers/x.so", &module)]);
    for (source, options, reason) in [
        (&source, including(&["libnone.so"]), "neither in the wheel"),
        (&source, excluded, "excluded"),
        (
            &source,
            including(&["libone.so.1", "libother.so"]),
            "another name",
        ),
        (&taken, including(&["libone.so.1"]), "another file"),
        (&scripts, including(&["libone.so.1"]), "no object"),
    ] {
        let error = planned(source, &lab, &options).unwrap_err();
        assert!(matches!(error, RepairError::Include { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}
