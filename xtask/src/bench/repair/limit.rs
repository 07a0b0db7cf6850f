//! What a repair cannot do without: reading and hashing everything, inflating the wheel, deflating what is new.

use std::collections::HashSet;
use std::path::Path;

use wheelfarm_tests::anyhow::{Context, Result, bail};
use wheelfarm_types::Digest;
use wheelfarm_wheel::{Deflated, EntryKind, Wheel};

/// `changed SOURCE DIRECTORY OUT` writes the members of the wheel in DIRECTORY that SOURCE does not have to OUT;
/// `run SOURCE CHANGED OUT` does just the work that has to be done.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["changed", source, repaired, out] => {
            changed(source.as_ref(), repaired.as_ref(), out.as_ref())
        }
        ["run", source, changed, out] => work(source.as_ref(), changed.as_ref(), out.as_ref()),
        _ => bail!("`bench repair-limit` is called by `bench repair`"),
    }
}

fn changed(source: &Path, repaired: &Path, out: &Path) -> Result<()> {
    let mut known = HashSet::new();
    each(&Wheel::open(source)?, |content| {
        known.insert(Digest::of(content));
        Ok(())
    })?;
    let repaired = fs_err::read_dir(repaired)?
        .next()
        .context("there is no repaired wheel")??;
    let mut number = 0;
    each(&Wheel::open(&repaired.path())?, |content| {
        if known.insert(Digest::of(content)) {
            fs_err::write(out.join(number.to_string()), content)?;
            number += 1;
        }
        Ok(())
    })
}

fn work(source: &Path, changed: &Path, out: &Path) -> Result<()> {
    let mut hashes = Vec::new();
    each(&Wheel::open(source)?, |content| {
        hashes.push(Digest::of(content));
        Ok(())
    })?;
    let mut written = Vec::new();
    for file in fs_err::read_dir(changed)? {
        let member = Deflated::of(fs_err::read(file?.path())?);
        hashes.push(member.digest());
        written.extend(member.to_bytes());
    }
    written.extend(hashes.iter().flat_map(|digest| *digest.as_bytes()));
    fs_err::write(out, written)?;
    Ok(())
}

fn each(wheel: &Wheel, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    for entry in wheel.entries() {
        if entry.kind == EntryKind::File {
            take(&wheel.read(&entry.name)?)?;
        }
    }
    Ok(())
}
