//! Options of `repair`, beside auditwheel's and at work.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use wheelfarm_tests::auditwheel::AuditWheel;
use wheelfarm_tests::compiled::{fresh_wheel, loading_wheel};
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::process;
use wheelfarm_tests::wheel::{names, packed_size, read};

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
fn wheels_are_compressed_as_hard_as_is_asked_for() {
    let auditwheel = AuditWheel::install().unwrap();
    let (farm, libraries) = farm();
    let wheel = fresh_wheel(&farm.work(), Path::new(&libraries), "demo").unwrap();
    let size = |wheel: &Path| -> u64 {
        let objects = objects(wheel).into_keys();
        objects.map(|name| packed_size(wheel, &name).unwrap()).sum()
    };
    let mut sizes = Vec::new();
    for level in ["0", "1", "9"] {
        let theirs = auditwheel
            .repair(
                &wheel,
                &["-z", level],
                Path::new(&libraries),
                &farm.work().join(format!("theirs-{level}")),
            )
            .unwrap();
        let text = wheel.display().to_string();
        let run = farm
            .run(["repair", "-z", level, "-w", level, &text])
            .unwrap();
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let ours = farm.work().join(run.stdout.trim());
        assert!(size(&ours) <= size(&theirs) * 101 / 100, "level {level}");
        // A repaired wheel is compressed anew too, and comes out the same.
        let again = ["repair", "-z", level, "-w", "again"];
        let repaired = farm.work().join(&ours).display().to_string();
        let run = farm.run(again.iter().copied().chain([repaired.as_str()]));
        let again = farm.work().join(run.unwrap().stdout.trim());
        assert_eq!(fs_err::read(again).unwrap(), fs_err::read(&ours).unwrap());
        sizes.push(size(&ours));
    }
    assert!(sizes.is_sorted_by(|one, next| one > next), "{sizes:?}");
    let name = "AUDITWHEEL_ZIP_COMPRESSION_LEVEL";
    let (other, _) = self::farm();
    let run = other
        .with(name, "best")
        .run(["repair", "x-1-py3-none-any.whl"]);
    failed(&run.unwrap(), 2, &[name, "best"], &["0 to 9"]);
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
