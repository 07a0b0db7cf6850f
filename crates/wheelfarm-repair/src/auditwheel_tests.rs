//! What auditwheel 6.8.2 does wrong, done right. What is not here is in `tests.rs`: search paths in `.data`,
//! libpython of programs, two libraries of one name, reproducible bytes.

use std::io::{Cursor, Write};

use wheelfarm_audit::{LibraryRoot, Objects, Obstacle, audit};
use wheelfarm_elf::Elf;
use wheelfarm_elf::constants::EM_AARCH64;
use wheelfarm_wheel::Wheel;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::testing::{Lab, arch, wheel};
use crate::{NoCache, RepairError, RepairOptions, RepairPlan, apply, plan};

const MODULE: &str = "demo/_demo.cpython-311-x86_64-linux-gnu.so";
const ONE: &str = "root/opt/lib/libone.so.1";

fn planned(source: &Wheel, lab: &Lab, options: &RepairOptions) -> Result<RepairPlan, RepairError> {
    let root = LibraryRoot::open(&lab.root()).unwrap();
    let report = audit(source, &root, &options.audit).unwrap();
    plan(source, &report, &root, options)
}

fn repaired(source: &Wheel, lab: &Lab) -> Wheel {
    let root = LibraryRoot::open(&lab.root()).unwrap();
    let plan = planned(source, lab, &RepairOptions::default()).unwrap();
    let objects = Objects::read_hashed(source).unwrap();
    let mut bytes = Vec::new();
    let changed = apply(&plan, source, &objects, &root, &NoCache, &mut bytes).unwrap();
    let wheel = Wheel::from_bytes(bytes, plan.filename.clone()).unwrap();
    crate::verify(&plan, &wheel, &objects, &changed, None).unwrap();
    wheel
}

/// The grafted library that a member needs: the one whose name begins with `stem` and digits follow.
fn graft(wheel: &Wheel, member: &str, stem: &str) -> String {
    let bytes = wheel.read(member).unwrap();
    let elf = Elf::parse(&bytes).unwrap();
    let name = elf
        .needed()
        .iter()
        .find(|name| name.starts_with(&format!("{stem}-")));
    (*name.unwrap()).to_owned()
}

/// An archive whose RECORD lists nothing, with links.
fn archive(members: &[(&str, &[u8])], links: &[(&str, &str)]) -> Wheel {
    let name = format!("demo-1.0-cp311-cp311-linux_{}.whl", arch());
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    let info: [(&str, &[u8]); 2] = [
        (
            "demo-1.0.dist-info/WHEEL",
            b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\n",
        ),
        ("demo-1.0.dist-info/RECORD", b""),
    ];
    for (name, content) in members.iter().chain(&info) {
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    for (link, to) in links {
        writer.add_symlink(*link, *to, options).unwrap();
    }
    let bytes = writer.finish().unwrap().into_inner();
    Wheel::from_bytes(bytes, name.parse().unwrap()).unwrap()
}

#[test]
fn a_link_becomes_the_file_that_it_leads_to() {
    let lab = Lab::new();
    lab.chain();
    let own = lab.module(&[ONE]);
    let source = archive(
        &[("demo/libown.so.1", &own)],
        &[("demo/libown.so", "libown.so.1")],
    );
    let wheel = repaired(&source, &lab);
    // Installers would write the link's text; auditwheel does.
    let linked = wheel.read("demo/libown.so").unwrap();
    assert_eq!(linked, wheel.read("demo/libown.so.1").unwrap());
    graft(&wheel, "demo/libown.so", "libone");
}

#[test]
fn an_object_that_record_does_not_list_is_repaired_too() {
    let lab = Lab::new();
    lab.chain();
    let source = archive(&[(MODULE, &lab.module(&[ONE]))], &[]);
    let wheel = repaired(&source, &lab);
    graft(&wheel, MODULE, "libone");
    let rows = wheel.record().unwrap().rows;
    assert!(rows.iter().any(|row| row.path == MODULE));
}

#[test]
fn false_tags_go() {
    let lab = Lab::new();
    let late = "void newest(void); void *PyInit__demo(void) { newest(); return 0; }";
    let module = lab.module_of(late, &[]);
    // The versions of `Lab`'s libc: what needs 2.36 is no manylinux_2_17.
    let wheel = repaired(&wheel("manylinux_2_17", &[(MODULE, &module)]), &lab);
    let tag = format!("manylinux_2_36_{}", arch());
    assert_eq!(wheel.filename().platforms, [tag.as_str()]);
    let info = wheel.wheel_info().unwrap();
    let written: Vec<_> = info
        .tags()
        .into_iter()
        .map(|written| written.platform)
        .collect();
    assert_eq!(written, [tag]);
}

#[test]
fn pyfpe_keeps_a_wheel_from_every_tag() {
    let lab = Lab::new();
    let traps = "void base(void); extern int PyFPE_jbuf; void *PyInit__demo(void) { base(); return &PyFPE_jbuf; }";
    let module = lab.module_of(traps, &[]);
    let source = wheel("linux", &[(MODULE, &module)]);
    let error = planned(&source, &lab, &RepairOptions::default()).unwrap_err();
    assert!(
        matches!(&error, RepairError::NotEarned { obstacles, .. }
            if matches!(obstacles[..], [Obstacle::PyFpe { .. }])),
        "{error}"
    );
}

#[test]
fn a_wheel_for_another_architecture_gets_the_tag_asked_for() {
    let lab = Lab::new();
    let mut module = lab.module(&[]);
    // The same class and byte order; nothing of the code is looked at.
    module[18..20].copy_from_slice(&EM_AARCH64.to_le_bytes());
    let name = "demo-1.0-cp311-cp311-linux_aarch64.whl".parse().unwrap();
    let mut writer = wheelfarm_wheel::WheelWriter::new(name);
    writer.insert(MODULE, module, false).unwrap();
    let source = writer.finish_wheel().unwrap();
    let with = |target: &str| RepairOptions {
        target: Some(target.parse().unwrap()),
        only_plat: true,
        ..RepairOptions::default()
    };
    let plan = planned(&source, &lab, &with("manylinux_2_28_aarch64")).unwrap();
    assert_eq!(plan.platforms, ["manylinux_2_28_aarch64"]);
    let error = planned(&source, &lab, &with("manylinux_2_28_s390x")).unwrap_err();
    assert!(
        matches!(error, RepairError::OtherPlatform { .. }),
        "{error}"
    );
}

#[test]
fn a_library_without_a_dot_in_its_name() {
    let lab = Lab::new();
    lab.chain();
    lab.compile(
        "root/opt/lib/plain",
        "void plain(void) {}",
        &["-shared", "-Wl,-soname,plain"],
    );
    let source = wheel("linux", &[(MODULE, &lab.module(&["root/opt/lib/plain"]))]);
    let wheel = repaired(&source, &lab);
    let name = graft(&wheel, MODULE, "plain");
    assert!(wheel.entry(&format!("demo.libs/{name}")).is_some());
}

#[test]
fn a_wheel_for_armv6_is_not_retagged_for_armv7() {
    let lab = Lab::new();
    // Of an ARM object, no more than the header: 32 bits, EABI 5 with hard floats.
    let mut object = b"\x7fELF\x01\x01\x01".to_vec();
    object.resize(16, 0);
    for half in [3_u16, 40, 1, 0] {
        object.extend(half.to_le_bytes());
    }
    for word in [0_u32, 0, 0, 0x0500_0400] {
        object.extend(word.to_le_bytes());
    }
    for half in [52_u16, 32, 0, 40, 0, 0] {
        object.extend(half.to_le_bytes());
    }
    let name = "demo-1.0-py3-none-linux_armv6l.whl".parse().unwrap();
    let mut writer = wheelfarm_wheel::WheelWriter::new(name);
    writer.insert("demo/tool", object, true).unwrap();
    let source = writer.finish_wheel().unwrap();
    let error = planned(&source, &lab, &RepairOptions::default()).unwrap_err();
    assert!(matches!(error, RepairError::NoPolicy { .. }), "{error}");
    assert!(error.to_string().contains("linux_armv6l"), "{error}");
}

#[test]
fn a_static_program_keeps_the_tags_of_every_libc() {
    let lab = Lab::new();
    let flags = ["-static", "-Wl,--build-id=none"];
    lab.compile("tool", "void _start(void) {}", &flags);
    let program = fs_err::read(lab.path("tool")).unwrap();
    let arch = arch();
    let tags = format!("manylinux_2_17_{arch}.musllinux_1_1_{arch}");
    let name = format!("demo-1.0-py3-none-{tags}.whl").parse().unwrap();
    let mut writer = wheelfarm_wheel::WheelWriter::new(name);
    let info = "Wheel-Version: 1.0\nRoot-Is-Purelib: false\n";
    writer
        .insert("demo-1.0.dist-info/WHEEL", info, false)
        .unwrap();
    writer.insert("demo/tool", program, true).unwrap();
    let source = writer.finish_wheel().unwrap();
    let root = LibraryRoot::open(&lab.root()).unwrap();
    let report = audit(&source, &root, &RepairOptions::default().audit).unwrap();
    assert_eq!(report.findings, []);
    let wheel = repaired(&source, &lab);
    let musl = format!("musllinux_1_1_{arch}");
    assert!(wheel.filename().platforms.contains(&musl));
}
