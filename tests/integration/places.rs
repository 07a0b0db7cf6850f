//! Disks that are full and directories that cannot be written.

use std::path::{Path, PathBuf};
use std::process::Command;

use wheelfarm_tests::environment::{is_root, scratch_directory};
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::process;

use crate::support::{MAIN_JOB, failed, files, main_job, needs_docker, store_is_whole};

/// A file system of its own, in memory.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(name: &str, size: &str) -> Self {
        let path = scratch_directory().unwrap().join(name);
        fs_err::create_dir(&path).unwrap();
        let option = format!("size={size},mode=0755");
        process::run(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", &option, "wheelfarm-tests"])
                .arg(&path),
        )
        .unwrap();
        Self(path)
    }

    fn grow(&self, size: &str) {
        process::run(
            Command::new("mount")
                .args(["-o", &format!("remount,size={size}")])
                .arg(&self.0),
        )
        .unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The scratch directory could not be removed with it; the error would only hide the test's own.
        process::run(Command::new("umount").arg(&self.0)).ok();
    }
}

fn all_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs_err::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all_files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Fills a store of `size`, checks what is said and that what is there is whole, then gives it room and goes on.
fn fill(name: &str, size: &str) {
    let disk = SmallDisk::mount(name, size);
    let farm = Farm::with_store(&disk.0.join("store")).unwrap();
    let arguments = ["psycopg2", "--python", "3.11", "--no-prove"];
    failed(
        &farm.build(arguments).unwrap(),
        4,
        &["store"],
        &["free space"],
    );
    assert_eq!(files(&farm.out()), [""; 0]);
    store_is_whole(&farm);
    let mut left = Vec::new();
    all_files(&disk.0, &mut left);
    // object_store's name for a file that is being written ends in `#` and a number.
    left.retain(|path| path.to_string_lossy().contains('#'));
    assert!(left.is_empty(), "half-written files were left: {left:?}");

    disk.grow("2g");
    let report = farm.build(arguments).unwrap().success().unwrap();
    let wheel = report.wheel("psycopg2", "3.11").unwrap();
    assert_eq!(
        wheel.sha256,
        main_job().report.wheel("psycopg2", "3.11").unwrap().sha256
    );
    store_is_whole(&farm);
}

#[test]
fn a_store_without_room_for_the_first_object() {
    needs_docker!();
    if is_root() {
        fill("tiny-disk", "4m");
    }
}

#[test]
fn a_store_that_runs_full_on_the_way() {
    needs_docker!();
    if is_root() {
        // The resolver finds room, the environment's libraries do not.
        fill("small-disk", "64m");
    }
}

#[test]
fn an_output_directory_that_cannot_be_written_loses_nothing() {
    needs_docker!();
    main_job();
    let farm = Farm::sharing().unwrap();
    let file = farm.work().join("file");
    fs_err::write(&file, "in the way").unwrap();
    let out = file.join("wheelhouse").display().to_string();
    let mut arguments = MAIN_JOB.to_vec();
    arguments.extend(["--out", &out]);
    failed(&farm.build(&arguments).unwrap(), 4, &[&out], &["--out"]);
    let report = farm.build(MAIN_JOB).unwrap().success().unwrap();
    assert_eq!(report.containers, 0);
}

#[test]
fn a_store_that_cannot_be_made() {
    needs_docker!();
    let file = scratch_directory().unwrap().join("not-a-directory");
    fs_err::write(&file, "in the way").unwrap();
    let farm = Farm::with_store(&file.join("store")).unwrap();
    failed(&farm.build(MAIN_JOB).unwrap(), 4, &["not-a-directory"], &[]);
}

#[test]
fn a_damaged_object_is_found_and_mended() {
    needs_docker!();
    // A store of its own, and no builds: the resolver is an object like any other.
    let farm = Farm::new().unwrap();
    let index = wheelfarm_tests::index::Index::start().unwrap();
    let farm = crate::support::only(farm, &index);
    farm.build(["nothing-there", "--image", "debian-12"])
        .unwrap();
    store_is_whole(&farm);
    let mut objects = Vec::new();
    all_files(farm.store(), &mut objects);
    let largest = objects
        .iter()
        .max_by_key(|path| fs_err::metadata(path).unwrap().len())
        .unwrap();
    let mut bytes = fs_err::read(largest).unwrap();
    let middle = bytes.len() / 2;
    *bytes.get_mut(middle).unwrap() ^= 1;
    fs_err::write(largest, bytes).unwrap();
    let found = farm.run(["store", "verify"]).unwrap();
    assert_eq!(found.code, Some(1), "{}\n{}", found.stdout, found.stderr);
    farm.run(["store", "verify", "--repair"]).unwrap();
    store_is_whole(&farm);
    let run = farm
        .build(["nothing-there", "--image", "debian-12"])
        .unwrap();
    failed(&run, 2, &["nothing-there"], &[]);
}

#[test]
fn a_wheel_that_the_store_lost_is_made_again() {
    needs_docker!();
    let backend = "def build_wheel(directory, config_settings=None, metadata_directory=None):\n    return write_wheel(directory, {\"lost.py\": \"\"})\n";
    let sdist = wheelfarm_tests::sdist::Sdist::with_backend("lost", "1.0", &[], backend);
    let index = wheelfarm_tests::index::Index::start().unwrap();
    let index = index.with(&sdist).unwrap();
    let farm = crate::support::farm_of(&index);
    let build = || {
        let run = farm.build(["lost", "--image", "debian-12"]).unwrap();
        run.success().unwrap().wheels.remove(0).sha256
    };
    let before = build();
    let mut objects = Vec::new();
    all_files(farm.store(), &mut objects);
    let blob = objects.iter().find(|path| path.ends_with(&before));
    fs_err::remove_file(blob.unwrap()).unwrap();
    fs_err::remove_dir_all(farm.out()).unwrap();
    assert_eq!(build(), before);
    store_is_whole(&farm);
}
