//! Requests that cannot be met as written.

use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::index::Index;

use crate::support::{failed, farm_of, files, needs_docker};

#[test]
fn an_unknown_package() {
    needs_docker!();
    let index = Index::start().unwrap();
    let farm = farm_of(&index);
    let run = farm
        .build(["no-such-project", "--image", "debian-12"])
        .unwrap();
    let failures = failed(&run, 2, &["no-such-project"], &["spelling"]);
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(failures.first().unwrap().kind, "request");
    assert_eq!(files(&farm.out()), [""; 0]);
}

#[test]
fn a_python_that_no_image_has() {
    needs_docker!();
    let run = Farm::new()
        .unwrap()
        .build(["psycopg2", "--python", "3.99"])
        .unwrap();
    failed(&run, 2, &["3.99"], &[]);
}

#[test]
fn a_python_whose_image_is_elsewhere() {
    needs_docker!();
    let run = Farm::new()
        .unwrap()
        .build(["psycopg2", "--python", "3.13", "--image", "debian-12"])
        .unwrap();
    failed(&run, 2, &["3.13"], &["wheelfarm images "]);
}

#[test]
fn an_unknown_image() {
    needs_docker!();
    let run = Farm::new()
        .unwrap()
        .build(["psycopg2", "--image", "debian-1"])
        .unwrap();
    failed(&run, 2, &["debian-1"], &["wheelfarm images list"]);
}

#[test]
fn a_configuration_with_a_slip_of_the_pen() {
    needs_docker!();
    let farm = Farm::new()
        .unwrap()
        .configure("[package.psycopg2]\nsytem.apt = []\n")
        .unwrap();
    failed(
        &farm.build(["psycopg2"]).unwrap(),
        2,
        &["wheelfarm.toml", "sytem"],
        &[],
    );
}

#[test]
fn nothing_to_build() {
    needs_docker!();
    failed(&Farm::new().unwrap().build([""; 0]).unwrap(), 2, &[], &[]);
}
