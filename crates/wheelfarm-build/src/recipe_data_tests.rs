//! What must hold of the built-in recipes as data.

use std::collections::BTreeMap;

use wheelfarm_types::ProjectName;

use crate::environment::PackageManager;
use crate::recipes::Recipe;

fn recipes() -> BTreeMap<ProjectName, Recipe> {
    toml::from_str(&FILES.concat()).unwrap()
}

const FILES: [&str; 5] = [
    include_str!("recipes/databases.toml"),
    include_str!("recipes/desktop.toml"),
    include_str!("recipes/science.toml"),
    include_str!("recipes/security.toml"),
    include_str!("recipes/text.toml"),
];

#[test]
fn each_file_is_in_order() {
    for file in FILES {
        let names: Vec<ProjectName> = file
            .lines()
            .filter_map(|line| line.strip_prefix('[')?.strip_suffix(']'))
            .map(|name| name.parse().unwrap())
            .collect();
        assert!(names.is_sorted(), "{names:?}");
    }
}

/// What has no wheel for glibc at all, so that every image build compiles it today.
#[test]
fn what_everybody_must_build_has_a_recipe() {
    let recipes = recipes();
    for project in [
        "psycopg2",
        "psycopg-c",
        "mysqlclient",
        "python-ldap",
        "gssapi",
        "pycairo",
        "PyGObject",
        "GDAL",
        "uWSGI",
        "python-rocksdb",
        "pylibmc",
        "dbus-python",
        "PyAudio",
        "systemd-python",
    ] {
        let recipe = &recipes[&project.parse().unwrap()];
        assert_ne!(recipe.packages(PackageManager::Apt), [""; 0], "{project}");
    }
}

/// A package manager would take other words for an option, a file or a version.
#[test]
fn package_names_are_plain() {
    for (project, recipe) in recipes() {
        for (manager, packages) in &recipe.system {
            assert!(packages.is_sorted(), "{project} {manager:?}: {packages:?}");
            for name in packages {
                let plain = |char: char| char.is_ascii_alphanumeric() || "+.-".contains(char);
                assert!(name.chars().all(plain), "{project} {manager:?}: {name}");
            }
        }
    }
}

/// The runtime has `python` and the standard library; anything else has to come with the wheel.
#[test]
fn tests_are_python_or_the_wheels_own_program() {
    for (project, recipe) in recipes() {
        let Some(test) = recipe.test else { continue };
        let code = test
            .strip_prefix("python -c '")
            .and_then(|rest| rest.strip_suffix('\''));
        let is_code = code.is_some_and(|code| !code.contains('\''));
        assert!(
            is_code || test.starts_with(project.as_str()),
            "{project}: {test}"
        );
    }
}

/// What has to be the one that the system's own services speak to.
#[test]
fn libraries_of_the_system_are_not_vendored() {
    for (project, library) in [
        ("systemd-python", "libsystemd.so.0"),
        ("dbus-python", "libdbus-1.so.3"),
        ("mpi4py", "libmpi.so.*"),
    ] {
        let recipe = &recipes()[&project.parse().unwrap()];
        assert!(
            recipe.exclude.iter().any(|name| name == library),
            "{project}"
        );
    }
}
