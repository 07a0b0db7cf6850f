//! Builder images: what is listed, and what is said when one cannot be had.

use wheelfarm_tests::farm::Farm;

use crate::support::{failed, needs_docker};

#[test]
fn what_is_here_is_listed() {
    needs_docker!();
    let run = Farm::new()
        .unwrap()
        .run(["images", "list", "--format", "json"])
        .unwrap();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let list: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let text = list.to_string();
    for name in [
        "debian-11",
        "debian-12",
        "debian-13",
        "manylinux2014",
        "manylinux_2_28",
        "musllinux_1_2",
    ] {
        assert!(
            text.contains(&format!("\"{name}\"")),
            "{name} is not in {text}"
        );
    }
}

#[test]
fn without_a_registry_the_other_way_is_named() {
    needs_docker!();
    let run = Farm::new()
        .unwrap()
        .run(["images", "pull", "manylinux_2_28"])
        .unwrap();
    if run.code == Some(0) {
        // A registry is in reach of this machine: then the image is here now.
        let run = Farm::new()
            .unwrap()
            .run(["images", "pull", "manylinux_2_28"])
            .unwrap();
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        return;
    }
    failed(
        &run,
        4,
        &["manylinux_2_28"],
        &["wheelfarm images build debian-12"],
    );
}

#[test]
fn what_is_made_is_not_pulled_and_the_other_way_round() {
    needs_docker!();
    let farm = Farm::new().unwrap();
    failed(
        &farm.run(["images", "pull", "debian-12"]).unwrap(),
        2,
        &["debian-12"],
        &[],
    );
    failed(
        &farm.run(["images", "build", "manylinux_2_28"]).unwrap(),
        2,
        &["manylinux_2_28"],
        &[],
    );
    failed(
        &farm.run(["images", "build", "debian-1"]).unwrap(),
        2,
        &["debian-1"],
        &["wheelfarm images list"],
    );
}
