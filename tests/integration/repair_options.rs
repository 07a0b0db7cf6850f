//! Options of `repair`, beside auditwheel's and at work.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use wheelfarm_tests::auditwheel::AuditWheel;
use wheelfarm_tests::compiled::{fresh_wheel, loading_wheel};
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::process;
use wheelfarm_tests::wheel::{names, read};

use crate::support::{failed, files};

fn farm() -> (Farm, String) {
    let farm = Farm::new().unwrap();
    let libraries = farm.work().join("lib");
    fs_err::create_dir_all(&libraries).unwrap();
    let libraries = libraries.display().to_string();
    (farm.with("LD_LIBRARY_PATH", &libraries), libraries)
}

/// Sizes of the shared objects in a wheel.
fn objects(wheel: &Path) -> BTreeMap<String, usize> {
    let names = names(wheel).unwrap().into_iter();
    names
        .filter(|name| name.contains(".so"))
        .map(|name| (name.clone(), read(wheel, &name).unwrap().len()))
        .collect()
}

/// What `function` of an unpacked wheel's object returns.
fn called(wheel: &Path, object: &str, function: &str) -> String {
    let script = "\
import ctypes, os, sys, tempfile, zipfile
wheel, name, function = sys.argv[1:]
place = tempfile.mkdtemp()
zipfile.ZipFile(wheel).extractall(place)
print(ctypes.CDLL(os.path.join(place, name), os.RTLD_NOW)[function]())
";
    let mut command = Command::new("python3");
    command
        .args(["-c", script])
        .arg(wheel)
        .args([object, function])
        .env_remove("LD_LIBRARY_PATH")
        .env("LD_BIND_NOW", "1");
    process::run(&mut command).unwrap().trim().to_owned()
}

#[test]
fn stripped_objects_are_no_larger_than_auditwheels_and_load() {
    let auditwheel = AuditWheel::install().unwrap();
    let (farm, libraries) = farm();
    let wheel = fresh_wheel(&farm.work(), Path::new(&libraries), "demo").unwrap();
    let wheel = wheel.display().to_string();
    let theirs = auditwheel
        .repair(
            Path::new(&wheel),
            &["--strip"],
            Path::new(&libraries),
            &farm.work().join("theirs"),
        )
        .unwrap();
    let run = farm.run(["repair", "--strip", &wheel]).unwrap();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let ours = farm.work().join(run.stdout.trim());
    let plain = farm.run(["repair", "-w", "plain", &wheel]).unwrap();
    let plain = objects(&farm.work().join(plain.stdout.trim()));
    let (ours_sizes, theirs) = (objects(&ours), objects(&theirs));
    let keys = |sizes: &BTreeMap<String, usize>| sizes.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&ours_sizes), keys(&theirs));
    assert_eq!(ours_sizes.len(), 2);
    for (name, size) in &ours_sizes {
        assert!(*size < plain[name], "{name}");
        assert!(*size <= theirs[name], "{name}: {size}, {}", theirs[name]);
    }
    let module = ours_sizes.keys().find(|name| name.contains("_demo"));
    assert_eq!(called(&ours, module.unwrap(), "PyInit__demo"), "0");

    let again = farm
        .run([
            "repair",
            "--strip",
            "-w",
            "again",
            &ours.display().to_string(),
        ])
        .unwrap();
    let again = fs_err::read(farm.work().join(again.stdout.trim())).unwrap();
    assert_eq!(again, fs_err::read(&ours).unwrap());
}

#[test]
fn code_finds_what_was_included_for_it() {
    let (farm, libraries) = farm();
    let wheel = loading_wheel(&farm.work(), Path::new(&libraries), "demo").unwrap();
    let wheel = wheel.display().to_string();
    let object = "demo/_demo.so";
    let plain = farm.run(["repair", "-w", "plain", &wheel]).unwrap();
    let plain = farm.work().join(plain.stdout.trim());
    assert_eq!(called(&plain, object, "load"), "-1", "it is not there");
    let include = ["repair", "--include", "libnear.so.1", &wheel];
    let run = farm.run(include).unwrap();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let repaired = farm.work().join(run.stdout.trim());
    assert!(objects(&repaired).contains_key("demo.libs/libnear.so.1"));
    assert_eq!(called(&repaired, object, "load"), "42");
    let run = farm
        .run(["repair", "--include", "libgone.so", &wheel])
        .unwrap();
    failed(&run, 2, &["libgone.so", "cannot be included"], &["path"]);
}

#[test]
fn a_patcher_may_be_named_or_forbidden() {
    let (farm, libraries) = farm();
    let wheel = fresh_wheel(&farm.work(), Path::new(&libraries), "demo").unwrap();
    let wheel = wheel.display().to_string();
    for patcher in ["patchelf", "lief-patchelf"] {
        let run = farm.run(["repair", "--patcher", patcher, &wheel]).unwrap();
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    }
    let made = files(&farm.out()).len();
    let run = farm.run(["repair", "--patcher", "none", "-w", "none", &wheel]);
    failed(&run.unwrap(), 1, &["demo/_demo", "patcher"], &[]);
    assert_eq!(files(&farm.work().join("none")), [""; 0]);
    assert_eq!(files(&farm.out()).len(), made);
    let run = farm.run(["-v", "repair", &wheel]).unwrap();
    assert!(run.stderr.contains("RPATH $ORIGIN/../demo.libs"), "{run:?}");
    for name in ["AUDITWHEEL_PATCHER", "AUDITWHEEL_PLAT"] {
        let (farm, _) = self::farm();
        let run = farm.with(name, "sed").run(["repair", &wheel]).unwrap();
        failed(&run, 2, &[name, "sed"], &["write"]);
    }
}
