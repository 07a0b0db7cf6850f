//! Reads what a package manager says is installed, and which package owns which file.

use std::collections::{BTreeMap, HashMap};

use wheelfarm_build::environment::{PackageManager, SystemPackage};

/// What is installed.
#[derive(Debug, Default)]
pub(crate) struct Installed {
    /// Sorted.
    pub(crate) packages: Vec<SystemPackage>,
    /// The package of each shared library, by absolute path as the database has it.
    pub(crate) owners: BTreeMap<String, SystemPackage>,
}

/// Parses the two files that `install.sh` writes.
pub(crate) fn parse(manager: PackageManager, packages: &str, owners: &str) -> Installed {
    let mut installed = match manager {
        PackageManager::Apt => dpkg(packages, owners),
        PackageManager::Dnf => rpm(packages, owners),
        PackageManager::Apk => apk(packages),
    };
    installed.packages.sort();
    installed.packages.dedup();
    installed
}

/// Lines `name:arch<TAB>name<TAB>version<TAB>arch<TAB>status`; and `/var/lib/dpkg/info/name:arch.list:/path`.
fn dpkg(packages: &str, owners: &str) -> Installed {
    let mut installed = Installed::default();
    let mut by_list = HashMap::new();
    for line in packages.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        if let [list, name, version, arch, status] = fields.as_slice()
            && status.starts_with("ii")
        {
            let package = package(name, version, arch);
            by_list.insert(*list, package.clone());
            installed.packages.push(package);
        }
    }
    for line in owners.lines() {
        let Some((list, path)) = line.split_once(".list:") else {
            continue;
        };
        let list = list.rsplit_once('/').map_or(list, |(_, name)| name);
        if let Some(package) = by_list.get(list) {
            installed.owners.insert(path.to_owned(), package.clone());
        }
    }
    installed
}

/// Lines `name<TAB>version<TAB>arch`; and `path<TAB>name<TAB>arch`.
fn rpm(packages: &str, owners: &str) -> Installed {
    let mut installed = Installed::default();
    let mut by_name = HashMap::new();
    for line in packages.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        if let [name, version, arch] = fields.as_slice()
            // The keys of repositories are listed as packages.
            && *arch != "(none)"
        {
            let package = package(name, version, arch);
            by_name.insert((*name, *arch), package.clone());
            installed.packages.push(package);
        }
    }
    for line in owners.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        if let [path, name, arch] = fields.as_slice()
            && let Some(package) = by_name.get(&(*name, *arch))
        {
            installed.owners.insert((*path).to_owned(), package.clone());
        }
    }
    installed
}

/// apk's own database: paragraphs with `P:` name, `V:` version, `A:` architecture, `F:` directory, `R:` file.
fn apk(database: &str) -> Installed {
    let mut installed = Installed::default();
    for paragraph in database.split("\n\n") {
        let field = |name: &str| {
            paragraph
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or_default()
        };
        let package = package(field("P:"), field("V:"), field("A:"));
        if package.name.is_empty() {
            continue;
        }
        let mut directory = "";
        for line in paragraph.lines() {
            if let Some(path) = line.strip_prefix("F:") {
                directory = path;
            } else if let Some(file) = line.strip_prefix("R:")
                && file.contains(".so")
            {
                let path = format!("/{directory}/{file}");
                installed.owners.insert(path, package.clone());
            }
        }
        installed.packages.push(package);
    }
    installed
}

fn package(name: &str, version: &str, arch: &str) -> SystemPackage {
    SystemPackage {
        name: name.to_owned(),
        version: version.to_owned(),
        arch: arch.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dpkg_packages_and_owners() {
        let installed = parse(
            PackageManager::Apt,
            "zlib1g:amd64\tzlib1g\t1:1.2.13\tamd64\tii \ngcc-12\tgcc-12\t12.2.0\tamd64\tii \nold\told\t1\tall\trc \n",
            "/var/lib/dpkg/info/zlib1g:amd64.list:/lib/x86_64-linux-gnu/libz.so.1\n/var/lib/dpkg/info/old.list:/x.so\n",
        );
        assert_eq!(
            installed.packages,
            [
                package("gcc-12", "12.2.0", "amd64"),
                package("zlib1g", "1:1.2.13", "amd64")
            ]
        );
        assert_eq!(installed.owners.len(), 1);
        let owner = &installed.owners["/lib/x86_64-linux-gnu/libz.so.1"];
        assert_eq!(owner.name, "zlib1g");
    }

    #[test]
    fn rpm_packages_and_owners() {
        let installed = parse(
            PackageManager::Dnf,
            "zlib\t1.2.11-25.el8\tx86_64\nzlib\t1.2.11-25.el8\ti686\ngpg-pubkey\tc21ad6ea\t(none)\n",
            "/usr/lib64/libz.so.1\tzlib\tx86_64\n/usr/lib/libz.so.1\tzlib\ti686\n",
        );
        assert_eq!(installed.packages.len(), 2);
        assert_eq!(installed.owners["/usr/lib/libz.so.1"].arch, "i686");
    }

    #[test]
    fn apk_packages_and_owners() {
        let installed = parse(
            PackageManager::Apk,
            "P:musl\nV:1.2.5-r10\nA:x86_64\nF:lib\nR:ld-musl-x86_64.so.1\nR:readme\nF:usr/lib\nR:libc.so\n\nP:zlib\nV:1\nA:x86_64\n\n\n",
            "",
        );
        assert_eq!(installed.packages.len(), 2);
        let paths: Vec<_> = installed.owners.keys().collect();
        assert_eq!(paths, ["/lib/ld-musl-x86_64.so.1", "/usr/lib/libc.so"]);
        assert_eq!(installed.owners["/usr/lib/libc.so"].version, "1.2.5-r10");
    }
}
