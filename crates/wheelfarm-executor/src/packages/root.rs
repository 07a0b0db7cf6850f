//! The library root of an environment: a tar file with fixed order, times and owners, so that equal content
//! gives equal bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use tar::{EntryType, Header};
use wheelfarm_build::environment::{PackageManager, SystemPackage};

use crate::output::clean;
use crate::packages::licenses;
use crate::packages::manifest::{Installed, parse};

/// Where `install.sh` puts what it says about packages.
const PACKAGES: &str = "tmp/.wheelfarm/packages";
const OWNERS: &str = "tmp/.wheelfarm/owners";
const LICENSES: &str = "tmp/.wheelfarm/licenses";
/// Upper bound of entries: an image has a few thousand libraries.
const MOST_ENTRIES: usize = 200_000;
/// A chain of directory links longer than this is a loop.
const MOST_LINKS: usize = 16;

/// The library root and the manifest.
#[derive(Debug)]
pub(crate) struct LibraryRoot {
    pub(crate) manifest: Vec<SystemPackage>,
    pub(crate) tar: Bytes,
}

enum Node {
    File { bytes: Bytes, executable: bool },
    Link(String),
}

/// Repacks the tar file that `install.sh` sent; `Err` says what is wrong with it.
pub(crate) fn repack(archive: &Bytes, manager: PackageManager) -> Result<LibraryRoot, String> {
    let mut nodes = read(archive)?;
    let mut text = |path: &str| match nodes.remove(path) {
        Some(Node::File { bytes, .. }) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        _ => Err(format!("it has no `{path}`")),
    };
    let (packages, owners, licenses) = (text(PACKAGES)?, text(OWNERS)?, text(LICENSES)?);
    let installed = parse(manager, &packages, &owners);
    let licenses = licenses_table(&installed, licenses::parse(manager, &packages, &licenses));
    if installed.packages.is_empty() {
        return Err("it lists no installed package".to_owned());
    }
    let manager = match manager {
        PackageManager::Apt => "deb\n",
        PackageManager::Dnf => "rpm\n",
        PackageManager::Apk => "apk\n",
    };
    let table = owners_table(&nodes, &installed);
    for (path, text) in [
        ("manager", manager.to_owned()),
        ("owners.tsv", table),
        ("licenses.tsv", licenses),
    ] {
        let node = Node::File {
            bytes: text.into(),
            executable: false,
        };
        nodes.insert(format!(".wheelfarm/{path}"), node);
    }
    let tar = write(&nodes).map_err(|error| error.to_string())?;
    Ok(LibraryRoot {
        manifest: installed.packages,
        tar: tar.into(),
    })
}

fn read(archive: &Bytes) -> Result<BTreeMap<String, Node>, String> {
    let broken = |error: io::Error| format!("its archive is broken: {error}");
    let mut nodes = BTreeMap::new();
    let mut hard_links = Vec::new();
    let mut reader = tar::Archive::new(archive.as_ref());
    for entry in reader.entries().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.into_owned();
        let name = clean(&path).ok_or_else(|| format!("`{}` leads elsewhere", path.display()))?;
        if nodes.len() >= MOST_ENTRIES {
            return Err(format!("it has more than {MOST_ENTRIES} entries"));
        }
        let target = entry.link_name().map_err(broken)?;
        let target = target.map(|target| target.to_string_lossy().into_owned());
        match (entry.header().entry_type(), target) {
            (EntryType::Regular, _) => {
                let mode = entry.header().mode().map_err(broken)?;
                let start = usize::try_from(entry.raw_file_position()).ok();
                let end = entry.raw_file_position().checked_add(entry.size());
                let end = end.and_then(|end| usize::try_from(end).ok());
                let range = start.zip(end).filter(|(_, end)| *end <= archive.len());
                let (start, end) = range.ok_or_else(|| format!("it ends inside `{name}`"))?;
                let node = Node::File {
                    bytes: archive.slice(start..end),
                    executable: mode & 0o111 != 0,
                };
                nodes.insert(name, node);
            }
            (EntryType::Symlink, Some(target)) => {
                nodes.insert(name, Node::Link(target));
            }
            (EntryType::Link, Some(target)) => hard_links.push((name, target)),
            (other, _) => return Err(format!("`{name}` has the type {other:?}")),
        }
    }
    for (name, target) in hard_links {
        let original = clean(Path::new(&target)).and_then(|target| match nodes.get(&target)? {
            Node::File { bytes, executable } => Some((bytes.clone(), *executable)),
            Node::Link(_) => None,
        });
        let (bytes, executable) = original
            .ok_or_else(|| format!("`{name}` is a link to `{target}`, which is not there"))?;
        nodes.insert(name, Node::File { bytes, executable });
    }
    Ok(nodes)
}

/// `path<TAB>package<TAB>version<TAB>arch` for every library of the root that a package owns.
fn owners_table(nodes: &BTreeMap<String, Node>, installed: &Installed) -> String {
    let mut rows = BTreeMap::new();
    for (path, package) in &installed.owners {
        let path = real_path(nodes, path);
        if nodes.contains_key(&path) {
            rows.insert(path, package);
        }
    }
    let mut table = String::new();
    for (
        path,
        SystemPackage {
            name,
            version,
            arch,
        },
    ) in rows
    {
        writeln!(table, "/{path}\t{name}\t{version}\t{arch}").ok();
    }
    table
}

/// `package<TAB>licence`, a line for each licence of every package that owns a library.
fn licenses_table(installed: &Installed, licenses: Vec<(String, String)>) -> String {
    let owners: BTreeSet<&str> = installed
        .owners
        .values()
        .map(|package| package.name.as_str())
        .collect();
    let mut table: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (package, license) in licenses {
        let license = license.split_whitespace().collect::<Vec<_>>().join(" ");
        if owners.contains(package.as_str()) && !license.is_empty() {
            let licenses = table.entry(package).or_default();
            if !licenses.contains(&license) {
                licenses.push(license);
            }
        }
    }
    let mut text = String::new();
    for (package, licenses) in table {
        for license in licenses {
            writeln!(text, "{package}\t{license}").ok();
        }
    }
    text
}

/// `path` without its leading slash, and with links to directories followed: package databases still say
/// `/lib/...` where `/lib` has long been a link.
fn real_path(nodes: &BTreeMap<String, Node>, path: &str) -> String {
    let mut path = PathBuf::from(path.trim_start_matches('/'));
    for _ in 0..MOST_LINKS {
        let link = path.ancestors().skip(1).find_map(|directory| {
            match nodes.get(directory.to_str()?)? {
                Node::Link(target) => Some((directory.to_owned(), target.clone())),
                Node::File { .. } => None,
            }
        });
        let Some((directory, target)) = link else {
            break;
        };
        let rest = path.strip_prefix(&directory).unwrap_or(&path).to_owned();
        let parent = directory.parent().unwrap_or(Path::new(""));
        path = normal(&parent.join(target)).join(rest);
    }
    path.to_string_lossy().into_owned()
}

/// `path` from the root, with `..` taken back.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            // `join` with an absolute path has dropped what was before.
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            Component::ParentDir => {
                normal.pop();
            }
            Component::Normal(part) => normal.push(part),
        }
    }
    normal
}

fn write(nodes: &BTreeMap<String, Node>) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, node) in nodes {
        let mut header = Header::new_gnu();
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        match node {
            Node::File { bytes, executable } => {
                header.set_entry_type(EntryType::Regular);
                header.set_mode(if *executable { 0o755 } else { 0o644 });
                header.set_size(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                builder.append_data(&mut header, path, bytes.as_ref())?;
            }
            Node::Link(target) => {
                header.set_entry_type(EntryType::Symlink);
                header.set_mode(0o777);
                header.set_size(0);
                builder.append_link(&mut header, path, target)?;
            }
        }
    }
    builder.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, &str)], mtime: u64) -> Bytes {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, content) in entries {
            let mut header = Header::new_gnu();
            header.set_mtime(mtime);
            header.set_mode(0o600);
            if let Some(target) = content.strip_prefix("-> ") {
                header.set_entry_type(EntryType::Symlink);
                header.set_size(0);
                builder.append_link(&mut header, path, target).unwrap();
            } else if let Some(target) = content.strip_prefix("= ") {
                header.set_entry_type(EntryType::Link);
                header.set_size(0);
                builder.append_link(&mut header, path, target).unwrap();
            } else {
                header.set_size(content.len() as u64);
                builder
                    .append_data(&mut header, path, content.as_bytes())
                    .unwrap();
            }
        }
        builder.into_inner().unwrap().into()
    }

    const ENTRIES: [(&str, &str); 7] = [
        (PACKAGES, "zlib1g\tzlib1g\t1\tamd64\tii \n"),
        (
            OWNERS,
            "/var/lib/dpkg/info/zlib1g.list:/lib/a/libz.so.1\n/var/lib/dpkg/info/zlib1g.list:/gone.so\n",
        ),
        (
            LICENSES,
            "/usr/share/doc/zlib1g/copyright:Format: 1\n/usr/share/doc/zlib1g/copyright:License: Zlib\n\
             /usr/share/doc/zlib1g/copyright:License: Zlib\n/usr/share/doc/gcc/copyright:License: GPL\n",
        ),
        ("./usr/lib/a/libz.so.1.2", "ELF"),
        ("./usr/lib/a/libz.so.1", "-> libz.so.1.2"),
        ("usr/lib/a/twin.so", "= ./usr/lib/a/libz.so.1.2"),
        ("lib", "-> usr/lib"),
    ];

    fn unpacked(tar: &Bytes) -> BTreeMap<String, String> {
        let nodes = read(tar).unwrap();
        nodes
            .into_iter()
            .map(|(path, node)| match node {
                Node::File { bytes, .. } => (path, String::from_utf8(bytes.to_vec()).unwrap()),
                Node::Link(target) => (path, format!("-> {target}")),
            })
            .collect()
    }

    #[test]
    fn the_root_has_libraries_links_and_owners() {
        let root = repack(&archive(&ENTRIES, 5), PackageManager::Apt).unwrap();
        assert_eq!(root.manifest.len(), 1);
        let files = unpacked(&root.tar);
        assert_eq!(files.len(), 7);
        assert_eq!(files[".wheelfarm/licenses.tsv"], "zlib1g\tZlib\n");
        assert_eq!(files["lib"], "-> usr/lib");
        assert_eq!(files["usr/lib/a/twin.so"], "ELF");
        assert_eq!(files[".wheelfarm/manager"], "deb\n");
        assert_eq!(
            files[".wheelfarm/owners.tsv"],
            "/usr/lib/a/libz.so.1\tzlib1g\t1\tamd64\n"
        );
    }

    #[test]
    fn equal_content_gives_equal_bytes() {
        let one = repack(&archive(&ENTRIES, 5), PackageManager::Apt).unwrap();
        let mut turned = ENTRIES;
        turned.reverse();
        let two = repack(&archive(&turned, 6), PackageManager::Apt).unwrap();
        assert_eq!(one.tar, two.tar);
    }

    #[test]
    fn what_is_missing_or_leads_elsewhere_is_refused() {
        let refused = |entries: &[(&str, &str)]| {
            repack(&archive(entries, 0), PackageManager::Apt).unwrap_err()
        };
        assert!(refused(&ENTRIES[1..]).contains(PACKAGES));
        let empty = [(PACKAGES, ""), (OWNERS, ""), (LICENSES, "")];
        assert!(refused(&empty).contains("no installed package"));
        let dangling = [("a.so", "= b.so")];
        assert!(refused(&dangling).contains("b.so"));
    }

    #[test]
    fn a_loop_of_links_ends() {
        let nodes = BTreeMap::from([
            ("a".to_owned(), Node::Link("b".to_owned())),
            ("b".to_owned(), Node::Link("a".to_owned())),
            ("c".to_owned(), Node::Link("../../d/./e".to_owned())),
        ]);
        real_path(&nodes, "/a/x.so");
        assert_eq!(real_path(&nodes, "/c/x.so"), "d/e/x.so");
    }
}
