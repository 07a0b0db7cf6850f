//! Wheels as they come from a compiler, before any repair, and published ones.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::environment::architecture;
use crate::process::run;

fn gcc(directory: &Path, out: &Path, source: &str, flags: &[&str]) -> Result<()> {
    let file = directory.join("source.c");
    fs_err::write(&file, source)?;
    run(Command::new("gcc")
        .args(["-shared", "-fPIC", "-Wl,--no-as-needed", "-o"])
        .arg(out)
        .arg(&file)
        .args(flags))?;
    Ok(())
}

/// A wheel of the project `name` in `directory`: its module `demo._demo` needs `libnear.so.1`, which is made in
/// `libraries`, and `getrandom`, which glibc has since 2.25.
pub fn fresh_wheel(directory: &Path, libraries: &Path, name: &str) -> Result<PathBuf> {
    let library = libraries.join("libnear.so.1");
    gcc(
        directory,
        &library,
        "int near(void) { return 1; }",
        &["-Wl,-soname,libnear.so.1"],
    )?;
    let object = directory.join("_demo.so");
    gcc(
        directory,
        &object,
        "int near(void); long getrandom(void *, unsigned long, unsigned);
         void *PyInit__demo(void) { char c; getrandom(&c, near(), 0); return 0; }",
        &[&library.display().to_string()],
    )?;
    let member = format!("demo/_demo.cpython-311-{}-linux-gnu.so", architecture());
    wheel_of(directory, name, &member, &object)
}

/// A wheel of the project `name` in `directory`: its module `demo/_demo.so` loads `libnear.so.1`, which is made in
/// `libraries`, when its function `load` is called, and returns 42 if that worked.
pub fn loading_wheel(directory: &Path, libraries: &Path, name: &str) -> Result<PathBuf> {
    gcc(
        directory,
        &libraries.join("libnear.so.1"),
        "int near(void) { return 42; }",
        &["-Wl,-soname,libnear.so.1"],
    )?;
    let object = directory.join("_demo.so");
    gcc(
        directory,
        &object,
        "#include <dlfcn.h>
         int load(void) {
             void *near = dlopen(\"libnear.so.1\", RTLD_NOW);
             return near ? ((int (*)(void))dlsym(near, \"near\"))() : -1;
         }
         void *PyInit__demo(void) { return 0; }",
        &["-ldl"],
    )?;
    wheel_of(directory, name, "demo/_demo.so", &object)
}

/// A wheel with one object.
fn wheel_of(directory: &Path, name: &str, member: &str, object: &Path) -> Result<PathBuf> {
    let arch = architecture();
    let tag = format!("cp311-cp311-linux_{arch}");
    let info = format!("{name}-1.0.dist-info");
    let text = format!("Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: {tag}\n");
    let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n");
    let record = format!("{member},,\n{info}/WHEEL,,\n{info}/METADATA,,\n{info}/RECORD,,\n");
    let wheel = directory.join(format!("{name}-1.0-{tag}.whl"));
    zip_of(
        &wheel,
        &[
            (member, fs_err::read(object)?),
            (&format!("{info}/WHEEL"), text.into()),
            (&format!("{info}/METADATA"), metadata.into()),
            (&format!("{info}/RECORD"), record.into()),
        ],
    )?;
    Ok(wheel)
}

/// Writes an archive with these members.
pub fn zip_of(path: &Path, members: &[(&str, Vec<u8>)]) -> Result<()> {
    let mut zip = zip::ZipWriter::new(fs_err::File::create(path)?);
    for (name, content) in members {
        zip.start_file(*name, zip::write::SimpleFileOptions::default())?;
        zip.write_all(content)?;
    }
    zip.finish()?;
    Ok(())
}

/// A published wheel for this machine's architecture, in a directory of `directory`.
pub fn downloaded(directory: &Path, requirement: &str) -> Result<PathBuf> {
    let place = directory.join(format!("downloaded-{requirement}"));
    run(Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--no-deps"])
        .args(["--only-binary=:all:", "--python-version", "3.11"])
        .args(["--platform", &format!("manylinux2014_{}", architecture())])
        .arg("--dest")
        .arg(&place)
        .arg(requirement))?;
    let wheel = fs_err::read_dir(&place)?.next();
    Ok(wheel.context("pip downloaded nothing")??.path())
}
