//! `show`, `repair` and `lddtree`, beside auditwheel.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;
use wheelfarm_tests::auditwheel::AuditWheel;
use wheelfarm_tests::compiled::{downloaded, fresh_wheel, zip_of};
use wheelfarm_tests::farm::{Farm, Run};
use wheelfarm_tests::wheel::names;

use crate::support::{failed, files};

/// All fields of auditwheel's schema.
const FIELDS: [&str; 11] = [
    "version",
    "wheel",
    "pure",
    "overall_tag",
    "sym_tag",
    "pyfpe",
    "ucs2",
    "unsupported_isa",
    "versioned_symbols",
    "external_libs",
    "policy_upgrades",
];

/// A farm whose programs search `lib` of its working directory for libraries.
fn farm() -> (Farm, PathBuf) {
    let farm = Farm::new().unwrap();
    let libraries = farm.work().join("lib");
    fs_err::create_dir_all(&libraries).unwrap();
    let farm = farm.with("LD_LIBRARY_PATH", &libraries.display().to_string());
    (farm, libraries)
}

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// One spelling for files: auditwheel leaves links of directories (`/lib`) as they are.
fn real_paths(shown: &mut Value) {
    for path in shown["external_libs"].as_object_mut().unwrap().values_mut() {
        if let Some(text) = path.as_str() {
            *path = fs_err::canonicalize(text).unwrap().to_str().into();
        }
    }
}

#[test]
fn show_says_what_auditwheel_says() {
    let auditwheel = AuditWheel::install().unwrap();
    let (farm, libraries) = farm();
    for wheel in [
        fresh_wheel(&farm.work(), &libraries, "demo").unwrap(),
        downloaded(&farm.work(), "markupsafe==3.0.2").unwrap(),
        downloaded(&farm.work(), "psycopg2-binary").unwrap(),
    ] {
        let run = farm.run(["show", "--json", &text(&wheel)]).unwrap();
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let mut ours = json(&run);
        let mut theirs = auditwheel.show_json(&wheel, &libraries).unwrap();
        real_paths(&mut ours);
        real_paths(&mut theirs);
        for field in FIELDS {
            assert_eq!(ours[field], theirs[field], "{field} of {}", wheel.display());
        }
        let mut keys: Vec<_> = ours
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        keys.retain(|key| !FIELDS.contains(key));
        assert_eq!(keys, ["wheelfarm"]);
    }
}

#[test]
fn wheels_without_platform_or_sense() {
    let (farm, _) = farm();
    let pure = farm.work().join("pure-1.0-py3-none-any.whl");
    zip_of(
        &pure,
        &[
            ("pure.py", Vec::new()),
            ("pure-1.0.dist-info/RECORD", b"pure.py,,\n".to_vec()),
        ],
    )
    .unwrap();
    let run = farm.run(["show", "--json", &text(&pure)]).unwrap();
    assert_eq!(run.code, Some(1));
    assert!(
        json(&run)["error"]
            .as_str()
            .unwrap()
            .contains("platform wheel")
    );
    let allowed = ["show", "--json", "--allow-pure-python-wheel", &text(&pure)];
    let run = farm.run(allowed).unwrap();
    assert_eq!(
        (run.code, &json(&run)["pure"]),
        (Some(0), &Value::Bool(true))
    );
    let broken = farm.work().join("broken-1.0-py3-none-any.whl");
    fs_err::write(&broken, "no zip").unwrap();
    let run = farm.run(["show", "--json", &text(&broken)]).unwrap();
    failed(&run, 1, &["broken-1.0"], &[]);
    assert!(json(&run)["error"].is_string());
    let run = farm.run(["show", "nowhere-1.0-py3-none-any.whl"]).unwrap();
    failed(&run, 2, &["nowhere", "no such file"], &[]);
}

#[test]
fn why_names_file_symbol_version_and_library() {
    let (farm, libraries) = farm();
    let wheel = text(&fresh_wheel(&farm.work(), &libraries, "demo").unwrap());
    let run = farm
        .run(["show", &wheel, "--why", "manylinux_2_17"])
        .unwrap();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    for part in [
        "demo/_demo.cpython-311-",
        "getrandom@GLIBC_2.25",
        "libc.so.6",
        "glibc is 2.17 or older",
        "libnear.so.1",
        "wheelfarm repair",
    ] {
        assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
    }
    // The package, where the machine's database can be read.
    if Path::new("/var/lib/dpkg/status").exists() {
        assert!(run.stdout.contains("(libc6 "), "{}", run.stdout);
    }
    let run = farm.run(["show", &wheel, "--why", "windows"]).unwrap();
    failed(&run, 2, &["--why", "windows"], &[]);
}

#[test]
fn a_repaired_wheel_is_what_auditwheel_wants_and_stays_as_it_is() {
    let auditwheel = AuditWheel::install().unwrap();
    let (farm, libraries) = farm();
    let wheel = fresh_wheel(&farm.work(), &libraries, "demo").unwrap();
    let run = farm.run(["repair", &text(&wheel)]).unwrap();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let repaired = farm.work().join(run.stdout.trim());
    let shown = auditwheel.agrees(&repaired).unwrap();
    assert!(shown.overall_tag.starts_with("manylinux_2_2"), "{shown:?}");
    let grafted = names(&repaired).unwrap();
    let is_graft = |name: &String| name.starts_with("demo.libs/libnear-");
    assert!(grafted.iter().any(is_graft), "{grafted:?}");

    let again = farm
        .run(["repair", &text(&repaired), "-w", "again"])
        .unwrap();
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    let same = fs_err::read(farm.work().join(again.stdout.trim())).unwrap();
    assert_eq!(same, fs_err::read(&repaired).unwrap());
}

#[test]
fn a_bad_wheel_does_not_stop_the_others() {
    let (farm, libraries) = farm();
    let first = fresh_wheel(&farm.work(), &libraries, "first").unwrap();
    let last = fresh_wheel(&farm.work(), &libraries, "last").unwrap();
    let bad = farm.work().join("bad-1.0-cp311-cp311-linux_x86_64.whl");
    fs_err::write(&bad, "no zip").unwrap();
    let all = [&first, &bad, &last].map(|path| text(path));
    let mut arguments = vec!["repair", "--jobs", "2", "--plat", "auto"];
    arguments.extend(all.iter().map(String::as_str));
    let run = farm.run(arguments).unwrap();
    failed(&run, 1, &["bad-1.0"], &[]);
    let made = files(&farm.out());
    assert_eq!(made.len(), 2, "{made:?}");
    assert!(
        made.iter().all(|name| name.contains("manylinux_2_2")),
        "{made:?}"
    );

    // Too old a platform: nothing is written.
    let old = ["repair", "--plat", "manylinux_2_17", "-w", "old", &all[0]];
    failed(&farm.run(old).unwrap(), 1, &["getrandom"], &["--why"]);
    assert_eq!(files(&farm.work().join("old")), [""; 0]);
    // A library that the system is said to have is not grafted.
    let excluding = [
        "repair",
        "--exclude",
        "libnear*",
        "-w",
        "excluding",
        &all[0],
    ];
    let run = farm.run(excluding).unwrap();
    let inside = names(&farm.work().join(run.stdout.trim())).unwrap();
    assert!(
        !inside.iter().any(|name| name.contains("libnear")),
        "{inside:?}"
    );
}

#[test]
fn a_wheel_appears_whole() {
    let (farm, libraries) = farm();
    let wheel = text(&fresh_wheel(&farm.work(), &libraries, "demo").unwrap());
    let run = farm.run(["repair", &wheel]).unwrap();
    let path = farm.work().join(run.stdout.trim());
    let bytes = fs_err::read(&path).unwrap();
    fs_err::write(&path, "old").unwrap();
    // Who has the old file open keeps it: it is replaced, not written over.
    let mut reader = fs_err::File::open(&path).unwrap();
    assert_eq!(farm.run(["repair", &wheel]).unwrap().code, Some(0));
    let mut old = String::new();
    reader.read_to_string(&mut old).unwrap();
    assert_eq!(old, "old");
    assert_eq!(fs_err::read(&path).unwrap(), bytes);
    assert_eq!(files(&farm.out()).len(), 1);
}

#[test]
fn lddtree_shows_what_is_found_and_what_is_not() {
    let (farm, libraries) = farm();
    let wheel = text(&fresh_wheel(&farm.work(), &libraries, "demo").unwrap());
    let run = farm.run(["lddtree", "--json", &wheel]).unwrap();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let found = &json(&run)["objects"][0]["libraries"]["libnear.so.1"]["found"];
    assert_eq!(found["in"], "root");
    fs_err::remove_file(libraries.join("libnear.so.1")).unwrap();
    let run = farm.run(["lddtree", &wheel]).unwrap();
    assert!(
        run.stdout.contains("  libnear.so.1 => not found"),
        "{}",
        run.stdout
    );
    let run = farm.run(["lddtree", "/proc/self/exe"]).unwrap();
    assert!(run.stdout.contains("libc.so.6 => /"), "{run:?}");
}

#[test]
fn options_that_there_are_not() {
    let (farm, _) = farm();
    for (option, said) in [
        ("-z10", "--zip-compression-level"),
        ("--bogus", "--bogus"),
        ("--plat=linux_x86_64", "linux_x86_64"),
    ] {
        let run = farm
            .run(["repair", option, "x-1-py3-none-any.whl"])
            .unwrap();
        failed(&run, 2, &[said], &[]);
        assert_eq!(files(&farm.out()), [""; 0]);
    }
}
