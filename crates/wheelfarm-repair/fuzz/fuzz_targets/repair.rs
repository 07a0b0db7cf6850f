//! A wheel with any object in it: no repair, or one that holds what it promises.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use wheelfarm_audit::{LibraryRoot, Objects, audit_objects};
use wheelfarm_repair::{NoCache, RepairError, RepairOptions, apply, plan, verify};
use wheelfarm_wheel::{Wheel, WheelWriter};

const NAMES: [&str; 4] = [
    "x-1-cp311-cp311-linux_x86_64.whl",
    "x-1-py3-none-linux_aarch64.whl",
    "x-1-py3-none-any.whl",
    "x-1-cp311-abi3-manylinux_2_17_x86_64.whl",
];
const MEMBERS: [&str; 4] = [
    "x/tiny.cpython-311-x86_64-linux-gnu.so",
    "tiny.so",
    "x-1.data/scripts/tiny",
    "x/lib/libtiny.so.1",
];
/// What the seeds need.
const LIBRARIES: [(&str, &[u8]); 2] = [
    (
        "usr/lib/libother.so.1",
        include_bytes!("../seeds/libother.so.1"),
    ),
    (
        "usr/lib64/libother.so.1",
        include_bytes!("../seeds/libother-aarch64.so.1"),
    ),
];

fuzz_target!(|data: &[u8]| {
    let Some(([name, member, flags], object)) = data.split_first_chunk() else {
        return;
    };
    let wheel = wheel(usize::from(*name), usize::from(*member), object);
    let root = LibraryRoot::open(root().path()).expect("a root");
    let mut options = RepairOptions {
        strip: flags & 1 != 0,
        ..RepairOptions::default()
    };
    if flags & 2 != 0 {
        options.audit.include = vec!["libother.so.1".to_owned()];
    }
    let Some((repaired, bytes)) = repair(&wheel, &root, &options) else {
        return;
    };
    // Once repaired, there is nothing left to do.
    if let Some((_, again)) = repair(&repaired, &root, &options) {
        assert!(again == bytes, "a second repair changes bytes");
    }
});

/// None if it is refused for a reason that has a name.
fn repair(wheel: &Wheel, root: &LibraryRoot, options: &RepairOptions) -> Option<(Wheel, Vec<u8>)> {
    let objects = Objects::read_hashed(wheel).expect("objects");
    let report = audit_objects(wheel, &objects, root, &options.audit).expect("an audit");
    let plan = plan(wheel, &report, root, options).ok()?;
    let mut bytes = Vec::new();
    let changed = match apply(&plan, wheel, &objects, root, &NoCache, &mut bytes) {
        Ok(changed) => changed,
        Err(error) => {
            let named = matches!(error, RepairError::Edit { .. } | RepairError::Strip { .. });
            assert!(named, "{error}");
            return None;
        }
    };
    let repaired = Wheel::from_bytes(bytes.clone(), plan.filename.clone()).expect("a wheel");
    match verify(&plan, &repaired, &objects, &changed, None) {
        Ok(()) => Some((repaired, bytes)),
        // Refused, and the program deletes it. RECORD is ours alone.
        Err(RepairError::Unverified { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

fn wheel(name: usize, member: usize, object: &[u8]) -> Wheel {
    let name = NAMES[name % NAMES.len()];
    let mut writer = WheelWriter::new(name.parse().expect("a file name"));
    let info = "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: x-y-z\n";
    let members = [
        (MEMBERS[member % MEMBERS.len()], object),
        ("x-1.dist-info/WHEEL", info.as_bytes()),
        ("x/__init__.py", b""),
    ];
    for (name, content) in members {
        writer
            .insert(name, content.to_vec(), true)
            .expect("a member");
    }
    writer.finish_wheel().expect("a wheel")
}

fn root() -> &'static TempDir {
    static ROOT: OnceLock<TempDir> = OnceLock::new();
    ROOT.get_or_init(|| {
        let root = tempfile::tempdir().expect("a temporary directory");
        for (path, library) in LIBRARIES {
            let path = root.path().join(path);
            fs_err::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs_err::write(path, library).expect("a file");
        }
        root
    })
}
