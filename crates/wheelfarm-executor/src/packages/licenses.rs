//! Reads what a package manager says of licences.

use wheelfarm_build::environment::PackageManager;

/// Packages with their licences, in the order of their files; `licenses` is what `install.sh` writes, and
/// `packages` apk's database.
pub(crate) fn parse(
    manager: PackageManager,
    packages: &str,
    licenses: &str,
) -> Vec<(String, String)> {
    match manager {
        PackageManager::Apt => dpkg(licenses),
        PackageManager::Dnf => licenses.lines().filter_map(pair).collect(),
        PackageManager::Apk => packages.split("\n\n").filter_map(apk).collect(),
    }
}

/// Lines `/usr/share/doc/<package>/copyright:<line>`, where the file's line begins with `Format` or `License`. Only
/// files in the machine-readable form count: they begin with their format.
fn dpkg(lines: &str) -> Vec<(String, String)> {
    let mut licenses = Vec::new();
    let mut readable = "";
    for line in lines.lines() {
        let Some((file, line)) = line.split_once("/copyright:") else {
            continue;
        };
        let package = file.rsplit_once('/').map_or(file, |(_, name)| name);
        if line.starts_with("Format") {
            readable = package;
        } else if let Some(license) = line.strip_prefix("License:")
            && readable == package
        {
            licenses.push((package.to_owned(), license.to_owned()));
        }
    }
    licenses
}

/// A line `package<TAB>licence`.
fn pair(line: &str) -> Option<(String, String)> {
    let (package, license) = line.split_once('\t')?;
    Some((package.to_owned(), license.to_owned()))
}

/// A paragraph of apk's database: `P:` name, `L:` licence.
fn apk(paragraph: &str) -> Option<(String, String)> {
    let field = |name: &str| paragraph.lines().find_map(|line| line.strip_prefix(name));
    Some((field("P:")?.to_owned(), field("L:")?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(manager: PackageManager, packages: &str, licenses: &str) -> Vec<String> {
        let all = parse(manager, packages, licenses).into_iter();
        all.map(|(package, license)| format!("{package} {}", license.trim()))
            .collect()
    }

    #[test]
    fn each_manager_says_it_in_its_way() {
        let lines = "\
/usr/share/doc/a/copyright:Format: https://x
/usr/share/doc/a/copyright:License: MIT
/usr/share/doc/a/copyright:License: GPL-2+
/usr/share/doc/b/copyright:License: in prose
";
        let apt = pairs(PackageManager::Apt, "", lines);
        assert_eq!(apt, ["a MIT", "a GPL-2+"]);
        let dnf = pairs(PackageManager::Dnf, "", "zlib\tzlib and Boost\nodd\n");
        assert_eq!(dnf, ["zlib zlib and Boost"]);
        let apk = pairs(
            PackageManager::Apk,
            "P:musl\nL:MIT\nV:1\n\nP:none\n\n\n",
            "",
        );
        assert_eq!(apk, ["musl MIT"]);
    }
}
