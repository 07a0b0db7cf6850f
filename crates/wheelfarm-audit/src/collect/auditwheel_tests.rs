//! What auditwheel 6.8.2 does wrong, done right. What is not here is in `tests.rs`: the order of search, false tags.

use super::*;
use crate::Obstacle;
use crate::testing::{Lab, arch, wheel};

use std::io::{Cursor, Write};

const MODULE: &str = "demo/_demo.cpython-311-x86_64-linux-gnu.so";

fn report(wheel: &Wheel, lab: &Lab) -> AuditReport {
    let root = LibraryRoot::open(&lab.root()).unwrap();
    audit(wheel, &root, &AuditOptions::default()).unwrap()
}

/// An ARM object of nothing but its header (gABI "ELF Header"), EABI 5 with hard floats, and build attributes for
/// the processor `cpu`.
fn arm(cpu: u8) -> Vec<u8> {
    let attributes = [
        b"A\x12\0\0\0aeabi\0\x01\x08\0\0\0\x06".as_slice(),
        &[cpu, 0x44, 1],
    ]
    .concat();
    let header_size = 52_u32;
    let sections = header_size + 24;
    let mut bytes = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [3_u16, 40] {
        bytes.extend(half.to_le_bytes());
    }
    for word in [1, 0, 0, sections, 0x0500_0400] {
        bytes.extend(word.to_le_bytes());
    }
    for half in [52_u16, 32, 0, 40, 2, 0] {
        bytes.extend(half.to_le_bytes());
    }
    bytes.extend(&attributes);
    bytes.resize(sections as usize, 0);
    // The empty section, then SHT_ARM_ATTRIBUTES.
    bytes.extend([0; 40]);
    let size = u32::try_from(attributes.len()).unwrap();
    for word in [0, 0x7000_0003, 0, 0, header_size, size, 0, 0, 1, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes
}

fn arm_wheel(platform: &str, cpu: u8) -> AuditReport {
    let name = format!("demo-1.0-py3-none-{platform}.whl");
    let mut writer = wheelfarm_wheel::WheelWriter::new(name.parse().unwrap());
    writer.insert("demo/tool", arm(cpu), false).unwrap();
    let wheel = writer.finish_wheel().unwrap();
    audit(&wheel, &LibraryRoot::empty(), &AuditOptions::default()).unwrap()
}

#[test]
fn armv6_is_not_armv7() {
    let newer = |report: &AuditReport| {
        let is_newer = |finding: &Finding| matches!(finding, Finding::NewerArm { .. });
        report.findings.iter().any(is_newer)
    };
    // Tag_CPU_arch: 7 is ARMv6KZ, 10 ARMv7, 14 ARMv8.
    let old = arm_wheel("linux_armv6l", 7);
    assert_eq!((old.arch, old.earned), (Some(Arch::Armv6l), None));
    assert!(old.objects[0].considered && !newer(&old));
    assert!(newer(&arm_wheel("linux_armv6l", 10)));
    // What is for the older processor runs on the newer one, not the other way round.
    let new = arm_wheel("manylinux_2_17_armv7l", 7);
    assert_eq!((new.arch, newer(&new)), (Some(Arch::Armv7l), false));
    assert!(new.earned_without_grafting.is_some());
    assert!(!newer(&arm_wheel("linux_armv7l", 10)));
    assert!(newer(&arm_wheel("linux_armv7l", 14)));
}

#[test]
fn every_librarys_own_rpath_serves_those_below_it() {
    let lab = Lab::new();
    lab.library("three", &[]);
    lab.library("two", &["root/opt/lib/libthree.so.1"]);
    // The module has no RPATH, and libone's leads to what libtwo needs.
    lab.library("one", &["root/opt/lib/libtwo.so.1", "-Wl,-rpath,/hidden"]);
    lab.write("root/etc/ld.so.conf", "/opt/lib\n");
    fs_err::create_dir_all(lab.path("root/hidden")).unwrap();
    let three = lab.path("root/opt/lib/libthree.so.1.0");
    fs_err::rename(three, lab.path("root/hidden/libthree.so.1")).unwrap();
    let module = lab.module(&[
        "root/opt/lib/libone.so.1",
        "-Wl,--allow-shlib-undefined",
        "-Wl,-rpath-link,root/opt/lib:root/hidden",
    ]);
    let report = report(&wheel("linux", &[(MODULE, &module)]), &lab);
    let found = &report.objects[0].libraries["libthree.so.1"].found;
    assert_eq!(found, &Found::Root("/hidden/libthree.so.1".into()));
}

#[test]
fn a_file_that_is_no_object_is_passed_over() {
    let lab = Lab::new();
    lab.chain();
    // As libc6-dev's libc.so is.
    lab.write("root/first/libone.so.1", "GROUP ( /lib/libone.so.1.0 )\n");
    lab.write("root/etc/ld.so.conf", "/first\n/opt/lib\n");
    let module = lab.module(&["root/opt/lib/libone.so.1"]);
    let report = report(&wheel("linux", &[(MODULE, &module)]), &lab);
    let found = &report.objects[0].libraries["libone.so.1"].found;
    assert_eq!(found, &Found::Root("/opt/lib/libone.so.1.0".into()));
}

#[test]
fn musl_itself_is_not_grafted() {
    let lab = Lab::new();
    lab.compile(
        "stub/libc.so",
        "void m(void) {}",
        &["-shared", "-Wl,-soname,libc.so"],
    );
    let source = "void m(void); void *PyInit__demo(void) { m(); return 0; }";
    lab.compile("module.so", source, &["-shared", "stub/libc.so"]);
    let module = fs_err::read(lab.path("module.so")).unwrap();
    // Even if the machine has a file of that name. CPython 3.10 says `linux-gnu` on musl, too.
    fs_err::create_dir_all(lab.path("root/usr/lib")).unwrap();
    fs_err::copy(lab.path("stub/libc.so"), lab.path("root/usr/lib/libc.so")).unwrap();
    let path = "demo/_demo.cpython-310-x86_64-linux-gnu.so";
    let report = report(&wheel("musllinux_1_2", &[(path, &module)]), &lab);
    assert!(report.objects[0].considered, "{:?}", report.findings);
    assert_eq!(report.external, []);
    let tag = format!("musllinux_1_2_{}", arch());
    assert_eq!(report.earned_without_grafting, tag.parse().ok());
}

#[test]
fn modules_of_later_kinds_are_modules() {
    let lab = Lab::new();
    for (init, is_module) in [
        ("PyInit__demo", true),
        // PEP 489, for a name that is not ASCII; PEP 793.
        ("PyInitU__dmo_oxa", true),
        ("PyModExport__demo", true),
        ("_cffi_pypyinit__demo", true),
        ("PyInit_other", false),
    ] {
        let source = format!("void base(void); void *{init}(void) {{ base(); return 0; }}");
        let module = lab.module_of(&source, &[]);
        let report = report(&wheel("linux", &[(MODULE, &module)]), &lab);
        assert_eq!(!report.extensions.is_empty(), is_module, "{init}");
    }
}

#[test]
fn objects_that_record_does_not_list_count() {
    let lab = Lab::new();
    let late = "void newest(void); void *PyInit__demo(void) { newest(); return 0; }";
    let name = format!("demo-1.0-cp311-cp311-linux_{}.whl", arch());
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for (name, content) in [
        (MODULE, lab.module_of(late, &[])),
        ("demo-1.0.dist-info/WHEEL", b"Wheel-Version: 1.0\n".to_vec()),
        ("demo-1.0.dist-info/RECORD", Vec::new()),
    ] {
        writer.start_file(name, options).unwrap();
        writer.write_all(&content).unwrap();
    }
    let bytes = writer.finish().unwrap().into_inner();
    let wheel = Wheel::from_bytes(bytes, name.parse().unwrap()).unwrap();
    let report = report(&wheel, &lab);
    assert_eq!(
        report.earned,
        format!("manylinux_2_36_{}", arch()).parse().ok()
    );
    let finding = Finding::NotInRecord {
        path: MODULE.into(),
    };
    assert!(report.findings.contains(&finding), "{:?}", report.findings);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn instruction_sets_are_seen_in_grafts_and_without_section_headers() {
    let lab = Lab::new();
    lab.library("fast", &["-Wl,-z,x86-64-v3"]);
    lab.write("root/etc/ld.so.conf", "/opt/lib\n");
    let module = lab.module(&["root/opt/lib/libfast.so.1"]);
    let judged = report(&wheel("linux", &[(MODULE, &module)]), &lab);
    assert_eq!(judged.earned, None);
    let isa = Obstacle::Isa {
        file: "/opt/lib/libfast.so.1.0".into(),
        level: 3,
    };
    let has_it = |verdict: &Verdict| verdict.obstacles.contains(&isa);
    assert!(judged.verdicts.iter().all(has_it));
    let mut bare = lab.module(&["-Wl,-z,x86-64-v3"]);
    // e_shoff, then e_shnum and e_shstrndx.
    bare[0x28..0x30].fill(0);
    bare[0x3c..0x40].fill(0);
    let judged = report(&wheel("linux", &[(MODULE, &bare)]), &lab);
    assert_eq!((judged.objects[0].isa_level, judged.earned), (3, None));
}
