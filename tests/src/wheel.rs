//! Looking at wheels and at what their names say; none of the farm's own code is used.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};

/// The platforms in a wheel's file name.
pub fn platforms(filename: &str) -> Vec<&str> {
    let stem = filename.strip_suffix(".whl").unwrap_or(filename);
    stem.rsplit('-')
        .next()
        .unwrap_or_default()
        .split('.')
        .collect()
}

/// The tag `cp311` of a wheel's file name.
pub fn python_tag(filename: &str) -> &str {
    filename.rsplit('-').nth(2).unwrap_or_default()
}

/// The lowest glibc that the platforms ask for, as `(2, 31)`; none if one of them is no glibc platform.
pub fn glibc<'a>(platforms: impl IntoIterator<Item = &'a str>) -> Option<(u32, u32)> {
    let versions = platforms.into_iter().map(|platform| match platform {
        _ if platform.starts_with("manylinux1_") => Some((2, 5)),
        _ if platform.starts_with("manylinux2010_") => Some((2, 12)),
        _ if platform.starts_with("manylinux2014_") => Some((2, 17)),
        _ => {
            let mut numbers = platform.strip_prefix("manylinux_")?.splitn(3, '_');
            Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
        }
    });
    let versions: Option<Vec<_>> = versions.collect();
    versions?.into_iter().min()
}

/// The names of all files in a wheel.
pub fn names(wheel: &Path) -> Result<Vec<String>> {
    let archive = zip::ZipArchive::new(fs_err::File::open(wheel)?)?;
    archive
        .file_names()
        .map(|name| Ok(name?.into_owned()))
        .collect()
}

/// Size in bytes of a file of a wheel as it lies in the archive.
pub fn packed_size(wheel: &Path, name: &str) -> Result<u64> {
    let mut archive = zip::ZipArchive::new(fs_err::File::open(wheel)?)?;
    Ok(archive.by_name(name)?.compressed_size())
}

/// A file of a wheel.
pub fn read(wheel: &Path, name: &str) -> Result<Vec<u8>> {
    let mut archive = zip::ZipArchive::new(fs_err::File::open(wheel)?)?;
    let mut file = archive
        .by_name(name)
        .with_context(|| format!("{} has no {name}", wheel.display()))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let name = "x-1-1wf01234567-cp39-cp39-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
        assert_eq!(
            platforms(name),
            ["manylinux_2_17_x86_64", "manylinux2014_x86_64"]
        );
        assert_eq!(python_tag(name), "cp39");
        assert_eq!(glibc(platforms(name)), Some((2, 17)));
        assert_eq!(glibc(platforms("x-1-py3-none-any.whl")), None);
        assert_eq!(glibc(["manylinux_2_36_x86_64", "linux_x86_64"]), None);
    }
}
