//! pip installs from the wheelhouse by hash.

use std::process::Command;

use wheelfarm_tests::process;
use wheelfarm_tests::wheel::platforms;

use crate::support::{COLUMNS, main_job, needs_docker};

/// `pip download` takes the same way as `pip install` up to the unpacking, and can do so for other Pythons.
fn download(python: &str, lock: &std::path::Path) -> Result<Vec<String>, String> {
    let job = main_job();
    let wheel = job.wheel(python);
    let name = wheel.file_name().unwrap().to_string_lossy();
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("python3");
    command
        .args([
            "-m",
            "pip",
            "download",
            "--no-index",
            "--require-hashes",
            "--only-binary=:all:",
            "--no-deps",
        ])
        .args(["--implementation=cp", "--python-version", python])
        .args(
            platforms(&name)
                .iter()
                .flat_map(|platform| ["--platform", platform]),
        )
        .args(["--disable-pip-version-check", "--find-links"])
        .arg(&job.out)
        .arg("--requirement")
        .arg(lock)
        .arg("--dest")
        .arg(directory.path())
        // Links of the machine's own could hold another wheel.
        .env_remove("PIP_FIND_LINKS");
    process::run(&mut command).map_err(|error| error.to_string())?;
    Ok(crate::support::files(directory.path()))
}

#[test]
fn pip_takes_the_hashed_lock() {
    needs_docker!();
    let job = main_job();
    for (python, ..) in COLUMNS {
        let wheel = job.report.wheel("psycopg2", python).unwrap();
        let cell = format!("{}-{}", wheel.python_tag(), wheel.target);
        let lock = job.out.join(format!("requirements-{cell}.txt"));
        assert!(
            job.report
                .locks
                .iter()
                .any(|path| path.ends_with(lock.file_name().unwrap()))
        );
        let text = fs_err::read_to_string(&lock).unwrap();
        assert!(
            text.contains(&format!(
                "psycopg2=={} --hash=sha256:{}",
                wheel.version, wheel.sha256
            )),
            "{text}"
        );
        assert_eq!(download(python, &lock).unwrap(), [wheel.filename.as_str()]);

        // A lock for other bytes is refused.
        let other = job.out.with_file_name(format!("other-{cell}.txt"));
        fs_err::write(&other, text.replace(&wheel.sha256, &"0".repeat(64))).unwrap();
        let error = download(python, &other).unwrap_err();
        assert!(error.contains("DO NOT MATCH"), "{error}");
    }
}

#[test]
fn the_pylock_says_the_same() {
    needs_docker!();
    let job = main_job();
    for (python, ..) in COLUMNS {
        let wheel = job.report.wheel("psycopg2", python).unwrap();
        let path = job.out.join(format!(
            "pylock.cp{}-{}.toml",
            python.replace('.', ""),
            wheel.target
        ));
        let lock: toml::Table = toml::from_str(&fs_err::read_to_string(path).unwrap()).unwrap();
        assert_eq!(lock["lock-version"].as_str(), Some("1.0"));
        let package = &lock["packages"][0];
        assert_eq!(package["name"].as_str(), Some("psycopg2"));
        let locked = &package["wheels"][0];
        assert_eq!(locked["name"].as_str(), Some(wheel.filename.as_str()));
        assert_eq!(
            locked["hashes"]["sha256"].as_str(),
            Some(wheel.sha256.as_str())
        );
    }
}
