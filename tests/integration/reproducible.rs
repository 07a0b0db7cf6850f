//! Building twice: what differs is found and named, what does not is delivered.

use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::index::Index;
use wheelfarm_tests::sdist::Sdist;

use crate::support::{failed, needs_docker, only, wheels};

/// Nothing but what it is given goes into the wheel.
const STEADY: &str = r#"
def build_wheel(directory, config_settings=None, metadata_directory=None):
    return write_wheel(directory, {"wfsteady.py": "jobs = %r" % os.environ["SOURCE_DATE_EPOCH"]})
"#;

/// Content goes before time: what the archive says of its members' times differs as well.
const RANDOM: &str = r#"
def build_wheel(directory, config_settings=None, metadata_directory=None):
    return write_wheel(directory, {"wfrandom.py": "kind = 1\nnumber = %r\n" % os.urandom(8).hex()})
"#;

/// `write_wheel` gives members the time of now: one that differs for sure, as two builds may end in the same second.
const CLOCK: &str = r#"
def build_wheel(directory, config_settings=None, metadata_directory=None):
    now = 1700000000 + 2 * int.from_bytes(os.urandom(3), "big")
    time.localtime = lambda *none: time.gmtime(now)
    return write_wheel(directory, {"wfclock.py": ""})
"#;

#[test]
fn what_differs_between_two_builds_is_named() {
    needs_docker!();
    // zipfile takes the time of the system's clock; the front end's is fixed by the test's back end.
    let steady = STEADY.replace(
        "    return",
        "    time.localtime = lambda *none: time.gmtime(315532800)\n    return",
    );
    let mut index = Index::start().unwrap();
    for (name, backend) in [
        ("wfsteady", steady.as_str()),
        ("wfrandom", RANDOM),
        ("wfclock", CLOCK),
    ] {
        let sdist = Sdist::with_backend(name, "1.0", &[], backend);
        index = index.with(&sdist).unwrap();
    }
    let farm = only(Farm::sharing().unwrap(), &index);
    let arguments = ["wfsteady", "wfrandom", "wfclock", "--image", "debian-12"];
    let run = farm
        .build(arguments.iter().chain(&["--check-reproducible"]))
        .unwrap();
    let failures = failed(&run, 1, &["not reproducible"], &["SOURCE_DATE_EPOCH"]);
    let said: Vec<_> = failures
        .iter()
        .map(|failure| {
            failure
                .message
                .split_once("two builds differ in ")
                .unwrap_or_default()
                .1
        })
        .collect();
    let [clock, random] = said.as_slice() else {
        panic!("{failures:?}");
    };
    assert!(clock.starts_with("`wfclock.py`: its time: 20"), "{clock}");
    assert_eq!(*random, "`wfrandom.py`: its content, from line 2 on");
    let delivered = wheels(&farm.out());
    assert_eq!(delivered.len(), 1, "{delivered:?}");
    assert!(
        delivered.first().unwrap().starts_with("wfsteady-"),
        "{delivered:?}"
    );

    // Without the question the first build is the answer, and nothing is built again.
    let report = farm.build(arguments).unwrap().success().unwrap();
    assert_eq!(report.wheels.len(), 3);
    assert!(report.wheels.iter().all(|wheel| wheel.origin == "cached"));
}
