//! A wheel with any object in it gets a report, whatever it claims to be.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use wheelfarm_audit::{AuditOptions, LibraryRoot, audit};
use wheelfarm_wheel::{Wheel, WheelWriter};

const NAMES: [&str; 8] = [
    "x-1-cp311-cp311-linux_x86_64.whl",
    "x-1-cp311-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "x-1-cp313-cp313t-manylinux_2_28_aarch64.whl",
    "x-1-py3-none-musllinux_1_2_x86_64.whl",
    "x-1-py3-none-any.whl",
    "x-1-cp39-cp39-linux_armv7l.whl",
    "x-1-pp310-pypy310_pp73-linux_i686.whl",
    "x-1-cp315-abi3t-linux_ppc64.whl",
];
const MEMBERS: [&str; 4] = [
    "x/tiny.cpython-311-x86_64-linux-gnu.so",
    "tiny.abi3.so",
    "x-1.data/scripts/tiny",
    "x.libs/libtiny.so.1",
];
/// What the seeds need, for `x86_64`.
const LIBRARY: &[u8] = include_bytes!("../seeds/libother.so.1");

fuzz_target!(|data: &[u8]| {
    let Some(([name, member], object)) = data.split_first_chunk() else {
        return;
    };
    let wheel = wheel(usize::from(*name), usize::from(*member), object);
    let root = LibraryRoot::open(root().path()).expect("a root");
    let include = AuditOptions {
        include: vec!["libother.so.1".to_owned()],
        ..AuditOptions::default()
    };
    let report = audit(&wheel, &root, &include).expect("an audit");
    let again = audit(&wheel, &root, &include).expect("a second audit");
    assert_eq!(report, again);
    let options = AuditOptions::default();
    let _alone = audit(&wheel, &LibraryRoot::empty(), &options).expect("an audit");
});

fn wheel(name: usize, member: usize, object: &[u8]) -> Wheel {
    let name = NAMES[name % NAMES.len()];
    let mut writer = WheelWriter::new(name.parse().expect("a file name"));
    let info = "Wheel-Version: 1.0\nRoot-Is-Purelib: false\n";
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
        fs_err::create_dir_all(root.path().join("usr/lib")).expect("a directory");
        fs_err::write(root.path().join("usr/lib/libother.so.1"), LIBRARY).expect("a file");
        root
    })
}
