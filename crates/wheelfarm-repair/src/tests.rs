//! Repairs of wheels that the C compiler made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use wheelfarm_audit::{AuditOptions, Finding, LibraryRoot, Objects, Obstacle, SeenObjects, audit};
use wheelfarm_elf::Elf;
use wheelfarm_types::{Digest, WheelFilename};
use wheelfarm_wheel::{Deflated, Wheel};

use crate::testing::{Lab, arch, wheel};
use crate::{GraftCache, Make, NoCache, RepairError, RepairOptions, RepairPlan, apply, plan};

const MODULE: &str = "demo/_demo.cpython-311-x86_64-linux-gnu.so";
const ONE: &str = "root/opt/lib/libone.so.1";

fn planned(wheel: &Wheel, lab: &Lab, options: &RepairOptions) -> Result<RepairPlan, RepairError> {
    let root = LibraryRoot::open(&lab.root()).unwrap();
    let report = audit(wheel, &root, &options.audit).unwrap();
    plan(wheel, &report, &root, options)
}

/// A repaired wheel, with what [`crate::verify`] wants to know.
struct Repaired {
    filename: WheelFilename,
    bytes: Vec<u8>,
    plan: RepairPlan,
    source: Objects,
    changed: BTreeSet<String>,
}

fn repaired(wheel: &Wheel, lab: &Lab, options: &RepairOptions) -> Repaired {
    let root = LibraryRoot::open(&lab.root()).unwrap();
    let plan = planned(wheel, lab, options).unwrap();
    applied(plan, wheel, &root, &NoCache).unwrap()
}

fn applied(
    plan: RepairPlan,
    wheel: &Wheel,
    root: &LibraryRoot,
    cache: &dyn GraftCache,
) -> Result<Repaired, RepairError> {
    let source = Objects::read_hashed(wheel).unwrap();
    let mut bytes = Vec::new();
    let changed = apply(&plan, wheel, &source, root, cache, &mut bytes)?;
    Ok(Repaired {
        filename: plan.filename.clone(),
        bytes,
        plan,
        source,
        changed,
    })
}

fn opened(repaired: &Repaired) -> Wheel {
    Wheel::from_bytes(repaired.bytes.clone(), repaired.filename.clone()).unwrap()
}

fn verify(repaired: &Repaired) -> Result<(), RepairError> {
    crate::verify(
        &repaired.plan,
        &opened(repaired),
        &repaired.source,
        &repaired.changed,
        None,
    )
}

fn names(wheel: &Wheel) -> Vec<&str> {
    wheel
        .entries()
        .iter()
        .map(|entry| entry.name.as_str())
        .collect()
}

/// Soname, needed names and RPATH of a member.
fn dynamic(wheel: &Wheel, member: &str) -> (Option<String>, Vec<String>, Option<String>) {
    let bytes = wheel.read(member).unwrap();
    let elf = Elf::parse(&bytes).unwrap();
    (
        elf.soname().map(str::to_owned),
        elf.needed().iter().map(|name| (*name).to_owned()).collect(),
        elf.rpath().map(str::to_owned),
    )
}

fn name_of(lab: &Lab, library: &str) -> String {
    let bytes = fs_err::read(lab.path(&format!("root/opt/lib/lib{library}.so.1.0"))).unwrap();
    format!("lib{library}-{}.so.1.0", Digest::of(bytes).short())
}

#[test]
fn libraries_are_grafted_and_wired() {
    let lab = Lab::new();
    lab.chain();
    let module = lab.module(&[ONE, "-Wl,-rpath,/build/lib:$ORIGIN/own"]);
    let source = wheel("linux", &[(MODULE, &module), ("demo/__init__.py", b"")]);
    let repaired = repaired(&source, &lab, &RepairOptions::default());
    let tags = format!("manylinux2014_{0}.manylinux_2_17_{0}", arch());
    assert_eq!(
        repaired.filename.to_string(),
        format!("demo-1.0-cp311-cp311-{tags}.whl")
    );
    verify(&repaired).unwrap();

    let wheel = opened(&repaired);
    let (one, two) = (name_of(&lab, "one"), name_of(&lab, "two"));
    let (one_path, two_path) = (format!("demo.libs/{one}"), format!("demo.libs/{two}"));
    assert_eq!(
        names(&wheel),
        [
            &one_path,
            &two_path,
            "demo/__init__.py",
            MODULE,
            "demo-1.0.dist-info/WHEEL",
            "demo-1.0.dist-info/sboms/wheelfarm.cdx.json",
            "demo-1.0.dist-info/RECORD",
        ]
    );
    let libc = "libc.so.6".to_owned();
    let (_, needed, rpath) = dynamic(&wheel, MODULE);
    assert_eq!(needed, [libc.clone(), one.clone()]);
    assert_eq!(rpath.as_deref(), Some("$ORIGIN/own:$ORIGIN/../demo.libs"));
    let origin = Some("$ORIGIN".to_owned());
    assert_eq!(
        dynamic(&wheel, &one_path),
        (Some(one), vec![libc.clone(), two.clone()], origin)
    );
    assert_eq!(dynamic(&wheel, &two_path), (Some(two), vec![libc], None));
    let info = wheel.wheel_info().unwrap();
    let written: Vec<_> = info.tags().into_iter().map(|tag| tag.platform).collect();
    assert_eq!(written, repaired.filename.platforms);
}

#[test]
fn the_bytes_are_reproducible_and_the_plan_is_data() {
    let lab = Lab::new();
    lab.chain();
    let source = wheel("linux", &[(MODULE, &lab.module(&[ONE]))]);
    let options = RepairOptions::default();
    let first = repaired(&source, &lab, &options);
    assert_eq!(first.bytes, repaired(&source, &lab, &options).bytes);

    let plan = planned(&source, &lab, &options).unwrap();
    let text = serde_json::to_string(&plan).unwrap();
    let read: RepairPlan = serde_json::from_str(&text).unwrap();
    assert_eq!(read, plan);
    let root = LibraryRoot::open(&lab.root()).unwrap();
    let again = applied(read, &source, &root, &NoCache).unwrap();
    assert_eq!(again.bytes, first.bytes);
    // Repairing what is repaired changes nothing.
    let twice = repaired(&opened(&first), &lab, &options);
    assert_eq!((twice.filename, twice.bytes), (first.filename, first.bytes));
}

#[test]
fn the_sbom_names_every_library() {
    let lab = Lab::new();
    lab.chain();
    let source = wheel("linux", &[(MODULE, &lab.module(&[ONE]))]);
    let wheel = opened(&repaired(&source, &lab, &RepairOptions::default()));
    let text = wheel
        .read("demo-1.0.dist-info/sboms/wheelfarm.cdx.json")
        .unwrap();
    let bom: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(bom["bomFormat"], "CycloneDX");
    let components = bom["components"].as_array().unwrap();
    assert_eq!(components.len(), 2);
    assert_eq!(
        components[0]["purl"],
        "pkg:deb/debian/libone1@1.0-1?arch=amd64&distro=debian-12"
    );
    // Unowned libraries are listed too.
    assert_eq!(components[1]["name"], "libtwo.so.1.0");
    let member = wheel
        .read(&format!("demo.libs/{}", name_of(&lab, "one")))
        .unwrap();
    assert_eq!(
        components[0]["hashes"][0]["content"],
        Digest::of(member).to_string()
    );
    assert_eq!(bom["dependencies"][1]["dependsOn"][0], name_of(&lab, "two"));
}

#[test]
fn a_missing_library_is_named_with_its_user() {
    let lab = Lab::new();
    lab.chain();
    let source = wheel("linux", &[(MODULE, &lab.module(&[ONE]))]);
    fs_err::remove_file(lab.path("root/opt/lib/libtwo.so.1")).unwrap();
    let error = planned(&source, &lab, &RepairOptions::default()).unwrap_err();
    assert!(
        matches!(&error, RepairError::MissingLibrary { file, soname } if file == MODULE && soname == "libtwo.so.1"),
        "{error}"
    );
    let options = RepairOptions {
        audit: AuditOptions {
            exclude: vec!["libtwo.so.*".into()],
            ..AuditOptions::default()
        },
        ..RepairOptions::default()
    };
    let repaired = repaired(&source, &lab, &options);
    verify(&repaired).unwrap();
    let (_, needed, _) = dynamic(
        &opened(&repaired),
        &format!("demo.libs/{}", name_of(&lab, "one")),
    );
    assert!(needed.contains(&"libtwo.so.1".to_owned()), "{needed:?}");
}

#[test]
fn tags_follow_the_request_and_are_never_better_than_earned() {
    let lab = Lab::new();
    lab.chain();
    let source = wheel("linux", &[(MODULE, &lab.module(&[ONE]))]);
    let with = |target: &str, only_plat| RepairOptions {
        target: Some(format!("{target}_{}", arch()).parse().unwrap()),
        only_plat,
        ..RepairOptions::default()
    };
    let platforms = |options: &RepairOptions| {
        let wheel = repaired(&source, &lab, options);
        verify(&wheel).unwrap();
        let suffix = format!("_{}", arch());
        let tags: Vec<_> = wheel
            .filename
            .platforms
            .iter()
            .map(|tag| tag.replace(&suffix, ""))
            .collect();
        tags.join(" ")
    };
    assert_eq!(
        platforms(&with("manylinux_2_28", false)),
        "manylinux2014 manylinux_2_17 manylinux_2_28"
    );
    assert_eq!(platforms(&with("manylinux_2_28", true)), "manylinux_2_28");
    // No policy of its own, but what runs on 2.28 runs on 2.30.
    assert_eq!(platforms(&with("manylinux_2_30", true)), "manylinux_2_30");

    let late = lab.module_of(
        "void newest(void); void *PyInit__demo(void) { newest(); return 0; }",
        &[],
    );
    let late = wheel("linux", &[(MODULE, &late)]);
    let error = planned(&late, &lab, &with("manylinux_2_28", false)).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(MODULE) && text.contains("GLIBC_2.36 (newest)"),
        "{text}"
    );
    assert!(matches!(
        error,
        RepairError::NotEarned { obstacles, .. } if matches!(obstacles[..], [Obstacle::TooRecent { .. }])
    ));
    let error = planned(&late, &lab, &with("musllinux_1_2", false)).unwrap_err();
    assert!(
        matches!(error, RepairError::OtherPlatform { .. }),
        "{error}"
    );
    let pure = wheel("any", &[("demo.py", b"")]);
    let error = planned(&pure, &lab, &RepairOptions::default()).unwrap_err();
    assert!(matches!(error, RepairError::NoElf(_)), "{error}");
}

#[test]
fn build_tags_and_kept_tags() {
    let lab = Lab::new();
    let source = wheel("linux", &[(MODULE, &lab.module(&[]))]);
    let options = RepairOptions {
        build_tag: Some("3wf01234567".parse().unwrap()),
        ..RepairOptions::default()
    };
    let wheel = repaired(&source, &lab, &options);
    assert!(
        wheel
            .filename
            .to_string()
            .starts_with("demo-1.0-3wf01234567-cp311-")
    );
    assert_eq!(
        opened(&wheel).wheel_info().unwrap().build(),
        Some("3wf01234567")
    );
    // The next repair keeps it.
    let again = repaired(&opened(&wheel), &lab, &RepairOptions::default());
    assert_eq!(again.filename, wheel.filename);

    let options = RepairOptions {
        update_tags: false,
        ..RepairOptions::default()
    };
    let untagged = repaired(&source, &lab, &options);
    assert_eq!(&untagged.filename, source.filename());
    verify(&untagged).unwrap();
    for bad in ["", "../x", "a/b"] {
        let options = RepairOptions {
            lib_sdir: bad.into(),
            ..RepairOptions::default()
        };
        assert!(
            matches!(
                planned(&source, &lab, &options),
                Err(RepairError::LibSdir(_))
            ),
            "{bad}"
        );
    }
}

#[test]
fn objects_outside_site_packages() {
    let lab = Lab::new();
    lab.chain();
    let module = lab.module(&[ONE]);
    let program = lab.program(&[ONE]);
    let [platlib, script, data] = [
        "demo-1.0.data/platlib/demo/_demo.so",
        "demo-1.0.data/scripts/tool",
        "demo-1.0.data/data/bin/tool",
    ];
    let source = wheel(
        "linux",
        &[(platlib, &module), (script, &program), (data, &program)],
    );
    let repaired = repaired(&source, &lab, &RepairOptions::default());
    verify(&repaired).unwrap();
    let wheel = opened(&repaired);
    let rpath = |member: &str| dynamic(&wheel, member).2.unwrap();
    assert_eq!(rpath(platlib), "$ORIGIN/../demo.libs");
    assert_eq!(rpath("demo.scripts/tool"), "$ORIGIN/../demo.libs");
    assert_eq!(rpath(data), "$ORIGIN/../lib/demo.libs");
    let starter = wheel.read(script).unwrap();
    assert!(starter.starts_with(b"#!python\n"));
    for member in [script, "demo.scripts/tool"] {
        assert!(wheel.entry(member).unwrap().executable, "{member}");
    }
    let one = name_of(&lab, "one");
    for directory in ["demo.libs", "demo-1.0.data/data/lib/demo.libs"] {
        assert!(
            wheel.entry(&format!("{directory}/{one}")).is_some(),
            "{directory}"
        );
    }
    let header = self::wheel("linux", &[("demo-1.0.data/headers/x.so", &module)]);
    let error = planned(&header, &lab, &RepairOptions::default()).unwrap_err();
    assert!(matches!(error, RepairError::Place { .. }), "{error}");
    let pure = self::wheel("linux", &[("demo-1.0.data/purelib/x.so", &module)]);
    let error = planned(&pure, &lab, &RepairOptions::default()).unwrap_err();
    assert!(matches!(error, RepairError::Purelib { .. }), "{error}");
}

#[test]
fn libpython_is_dropped_from_modules_only() {
    let lab = Lab::new();
    let soname = "-Wl,-soname,libpython3.11.so.1.0";
    lab.compile("libpython.so", "void py(void) {}", &["-shared", soname]);
    let source = wheel("linux", &[(MODULE, &lab.module(&["libpython.so"]))]);
    let repaired = repaired(&source, &lab, &RepairOptions::default());
    verify(&repaired).unwrap();
    let (_, needed, rpath) = dynamic(&opened(&repaired), MODULE);
    assert_eq!((needed, rpath), (vec!["libc.so.6".to_owned()], None));

    let source = wheel("linux", &[("demo/tool", &lab.program(&["libpython.so"]))]);
    let error = planned(&source, &lab, &RepairOptions::default()).unwrap_err();
    assert!(
        matches!(error, RepairError::LinksLibpython { .. }),
        "{error}"
    );
}

#[test]
fn a_changed_library_is_refused() {
    let lab = Lab::new();
    lab.chain();
    let source = wheel("linux", &[(MODULE, &lab.module(&[ONE]))]);
    let plan = planned(&source, &lab, &RepairOptions::default()).unwrap();
    lab.write("root/opt/lib/libtwo.so.1.0", "other");
    let root = LibraryRoot::open(&lab.root()).unwrap();
    let error = applied(plan, &source, &root, &NoCache).err().unwrap();
    assert!(
        matches!(&error, RepairError::Changed(path) if path == "/opt/lib/libtwo.so.1.0"),
        "{error}"
    );
}

/// Libraries, and how often one was taken.
#[derive(Default)]
struct Memory(Mutex<(BTreeMap<Digest, Deflated>, usize)>);

impl Memory {
    /// How many there are, and how often one was taken.
    fn counts(&self) -> (usize, usize) {
        let known = self.0.lock().unwrap();
        (known.0.len(), known.1)
    }
}

impl GraftCache for Memory {
    fn get_or_make(&self, key: &Digest, make: Make<'_>) -> Result<Deflated, RepairError> {
        let mut known = self.0.lock().unwrap();
        if let Some(library) = known.0.get(key).cloned() {
            known.1 += 1;
            return Ok(library);
        }
        let library = make()?;
        known.0.insert(*key, library.clone());
        Ok(library)
    }
}

#[test]
fn grafts_are_kept_for_the_next_wheel() {
    let lab = Lab::new();
    lab.chain();
    let source = wheel("linux", &[(MODULE, &lab.module(&[ONE]))]);
    let plan = planned(&source, &lab, &RepairOptions::default()).unwrap();
    let root = LibraryRoot::open(&lab.root()).unwrap();
    let cache = Memory::default();
    let first = applied(plan.clone(), &source, &root, &cache).unwrap();
    assert_eq!(cache.counts(), (2, 0));
    let second = applied(plan, &source, &root, &cache).unwrap();
    assert_eq!((second.bytes, cache.counts()), (first.bytes, (2, 2)));
}

#[test]
fn two_libraries_of_one_name_stay_apart() {
    let lab = Lab::new();
    lab.chain();
    lab.compile(
        "root/alt/libone.so.1",
        "void base(void); void one(void) { base(); } void other(void) {}",
        &["-shared", "-Wl,-soname,libone.so.1", "stub/libc.so.6"],
    );
    let alt = lab.module(&["root/alt/libone.so.1", "-Wl,-rpath,/alt"]);
    let usual = lab.module(&[ONE]);
    let source = wheel(
        "linux",
        &[("demo/a/_demo.so", &alt), ("demo/b/_demo.so", &usual)],
    );
    let repaired = repaired(&source, &lab, &RepairOptions::default());
    verify(&repaired).unwrap();
    let wheel = opened(&repaired);
    let needed = |member| dynamic(&wheel, member).1;
    assert!(needed("demo/b/_demo.so").contains(&name_of(&lab, "one")));
    assert!(!needed("demo/a/_demo.so").contains(&name_of(&lab, "one")));
    assert_eq!(
        names(&wheel)
            .iter()
            .filter(|name| name.starts_with("demo.libs/libone-"))
            .count(),
        2
    );
}

#[test]
fn verification_finds_a_broken_promise() {
    let lab = Lab::new();
    lab.chain();
    let source = wheel("manylinux_2_17", &[(MODULE, &lab.module(&[ONE]))]);
    let mut claimed = repaired(&source, &lab, &RepairOptions::default());
    claimed.bytes.clear();
    source.copy_to(&mut claimed.bytes).unwrap();
    claimed.filename = source.filename().clone();
    claimed.changed.clear();
    let error = verify(&claimed).unwrap_err();
    let RepairError::Unverified { findings, .. } = &error else {
        panic!("{error}");
    };
    assert!(
        findings
            .iter()
            .any(|finding| matches!(finding, Finding::MissingLibrary { .. }))
    );
    assert!(error.to_string().contains("libone.so.1"), "{error}");
}

#[test]
fn verification_reads_what_was_changed() {
    let lab = Lab::new();
    lab.chain();
    let source = wheel(
        "linux",
        &[(MODULE, &lab.module(&[ONE])), ("demo/a.py", b"a")],
    );
    let mut repaired = repaired(&source, &lab, &RepairOptions::default());
    verify(&repaired).unwrap();
    // Another module under the row of the right one.
    let wheel = opened(&repaired);
    let module = lab.module(&[]);
    repaired.bytes = with_member(&wheel, MODULE, &module);
    let error = verify(&repaired).unwrap_err();
    assert!(matches!(error, RepairError::Record { .. }), "{error}");
}

/// The wheel's archive with another content of a member, RECORD as it is.
fn with_member(wheel: &Wheel, member: &str, content: &[u8]) -> Vec<u8> {
    let mut out = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for entry in wheel.entries() {
        let options = zip::write::SimpleFileOptions::default();
        out.start_file(&entry.name, options).unwrap();
        let own = wheel.read(&entry.name).unwrap();
        let content = if entry.name == member { content } else { &own };
        std::io::Write::write_all(&mut out, content).unwrap();
    }
    out.finish().unwrap().into_inner()
}

#[test]
fn what_other_wheels_had_too_is_still_judged() {
    let lab = Lab::new();
    lab.chain();
    let source = wheel("linux", &[(MODULE, &lab.module(&[ONE]))]);
    let good = repaired(&source, &lab, &RepairOptions::default());
    let seen = SeenObjects::default();
    let verify = |repaired: &Repaired, wheel: &Wheel| {
        let (plan, changed) = (&repaired.plan, &repaired.changed);
        crate::verify(plan, wheel, &repaired.source, changed, Some(&seen))
    };
    verify(&good, &opened(&good)).unwrap();
    verify(&good, &opened(&good)).unwrap();
    // Another module, that was not seen.
    let bytes = with_member(&opened(&good), MODULE, &lab.module(&[ONE]));
    let bad = Wheel::from_bytes(bytes, good.filename.clone()).unwrap();
    let error = verify(&good, &bad).unwrap_err();
    assert!(matches!(error, RepairError::Record { .. }), "{error}");
}
