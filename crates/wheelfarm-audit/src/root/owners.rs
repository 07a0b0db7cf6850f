//! Which distribution package a file of the root belongs to.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::dpkg::Dpkg;
use super::{licenses, rpm};
use crate::AuditError;

/// How many bytes of paths apk's database may stand for, per byte of its own.
const EXPANSION: usize = 16;

type Read<'a> = &'a dyn Fn(&str) -> Result<Option<String>, AuditError>;

/// A distribution's package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Manager {
    /// dpkg: Debian, Ubuntu.
    Deb,
    /// rpm: AlmaLinux, Fedora, openSUSE.
    Rpm,
    /// apk: Alpine, Wolfi.
    Apk,
}

/// The distribution of a root (os-release(5)).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Distro {
    /// `ID`: `debian`.
    pub id: String,
    /// `VERSION_ID`: `12`; rolling distributions have none.
    pub version: Option<String>,
}

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Package {
    /// Whose package it is.
    pub manager: Manager,
    /// Its name.
    pub name: String,
    /// Its full version, epoch and release included.
    pub version: String,
    /// Its architecture, in the manager's spelling: `amd64`.
    pub arch: String,
    /// The distribution, if the root says.
    pub distro: Option<Distro>,
    /// Its licences, as its manager names them: one expression for rpm and apk; for dpkg the short names of its
    /// copyright file. Empty if they are not known.
    #[serde(default)]
    pub licenses: Vec<String>,
}

/// Ownership: `.wheelfarm/owners.tsv` if the root was made by the farm, otherwise the databases of dpkg, apk and rpm
/// where they are on a live system.
#[derive(Debug, Default)]
pub(super) struct Owners {
    manager: Option<Manager>,
    distro: Option<Distro>,
    packages: Vec<Row>,
    by_path: HashMap<String, usize>,
    /// By package name; for dpkg on a live system, they are read when they are asked for.
    licenses: HashMap<String, Vec<String>>,
    dpkg: Option<Mutex<Dpkg>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) arch: String,
}

impl Owners {
    pub(super) fn read(root: &Path, read: Read<'_>) -> Result<Self, AuditError> {
        let mut owners = Self {
            distro: os_release(read)?,
            ..Self::default()
        };
        if let Some(text) = read("/.wheelfarm/owners.tsv")? {
            owners.manager = match read("/.wheelfarm/manager")?.as_deref().map(str::trim) {
                Some("deb") => Some(Manager::Deb),
                Some("rpm") => Some(Manager::Rpm),
                Some("apk") => Some(Manager::Apk),
                other => {
                    return Err(AuditError::RootFile {
                        path: "/.wheelfarm/manager".to_owned(),
                        reason: format!(
                            "`{}` is no package manager: deb, rpm or apk",
                            other.unwrap_or_default().escape_debug()
                        ),
                    });
                }
            };
            owners.tsv(&text)?;
            owners.licenses = read("/.wheelfarm/licenses.tsv")?
                .map(|text| licenses::table(&text))
                .unwrap_or_default();
            return Ok(owners);
        }
        // A system may have other managers' tools, with empty databases.
        if let Some(dpkg) = Dpkg::find(root) {
            owners.manager = Some(Manager::Deb);
            owners.dpkg = Some(Mutex::new(dpkg));
            return Ok(owners);
        }
        for path in ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"] {
            if owners.packages.is_empty()
                && let Some(installed) = read(path)?
            {
                owners.manager = Some(Manager::Apk);
                owners.apk(&installed);
            }
        }
        if owners.packages.is_empty() {
            owners.rpm(rpm::installed(root)?);
        }
        Ok(owners)
    }

    /// Whether licences have to be looked for in copyright files.
    pub(super) fn have_copyright_files(&self) -> bool {
        self.manager == Some(Manager::Deb) && self.licenses.is_empty()
    }

    pub(super) fn of(&self, path: &str) -> Option<Package> {
        let path = merged(path);
        let row = match &self.dpkg {
            Some(dpkg) => locked(dpkg).of(&path)?,
            None => self.packages.get(*self.by_path.get(&path)?)?.clone(),
        };
        Some(Package {
            manager: self.manager?,
            licenses: self.licenses.get(&row.name).cloned().unwrap_or_default(),
            name: row.name,
            version: row.version,
            arch: row.arch,
            distro: self.distro.clone(),
        })
    }

    pub(super) fn distro(&self) -> Option<&Distro> {
        self.distro.as_ref()
    }

    pub(super) fn version(&self, name: &str) -> Option<String> {
        let row = match &self.dpkg {
            Some(dpkg) => locked(dpkg).package(name)?,
            None => self.packages.iter().find(|row| row.name == name)?.clone(),
        };
        Some(row.version)
    }

    /// `path<TAB>package<TAB>version<TAB>arch` lines.
    fn tsv(&mut self, text: &str) -> Result<(), AuditError> {
        let mut known: HashMap<[&str; 3], usize> = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            if line.is_empty() {
                continue;
            }
            let fields: Vec<_> = line.split('\t').collect();
            let [path, name, version, arch] = fields.as_slice() else {
                return Err(AuditError::RootFile {
                    path: "/.wheelfarm/owners.tsv".to_owned(),
                    reason: format!("line {} does not have four fields", number + 1),
                });
            };
            let index = *known.entry([name, version, arch]).or_insert_with(|| {
                self.packages.push(Row {
                    name: (*name).to_owned(),
                    version: (*version).to_owned(),
                    arch: (*arch).to_owned(),
                });
                self.packages.len() - 1
            });
            self.by_path.insert(merged(path), index);
        }
        Ok(())
    }

    /// apk's database: `P:` name, `V:` version, `A:` arch, `F:` directory, `R:` file in it.
    fn apk(&mut self, installed: &str) {
        // Many names may share one long directory.
        let mut budget = installed.len().saturating_mul(EXPANSION);
        for stanza in installed.split("\n\n") {
            let field = |name: &str| {
                stanza
                    .lines()
                    .find_map(|line| line.strip_prefix(name))
                    .unwrap_or_default()
                    .to_owned()
            };
            let index = self.packages.len();
            let row = Row {
                name: field("P:"),
                version: field("V:"),
                arch: field("A:"),
            };
            if row.name.is_empty() {
                continue;
            }
            self.add_license(&row.name, field("L:"));
            self.packages.push(row);
            let mut directory = "";
            for line in stanza.lines() {
                if let Some(path) = line.strip_prefix("F:") {
                    directory = path;
                } else if let Some(name) = line.strip_prefix("R:") {
                    let Some(left) = budget.checked_sub(directory.len() + name.len()) else {
                        return;
                    };
                    budget = left;
                    self.by_path
                        .insert(merged(&format!("/{directory}/{name}")), index);
                }
            }
        }
    }
}

impl Owners {
    /// What rpm's database says.
    fn rpm(&mut self, installed: Vec<rpm::Installed>) {
        for package in installed {
            self.manager = Some(Manager::Rpm);
            let index = self.packages.len();
            for path in &package.libraries {
                self.by_path.insert(merged(path), index);
            }
            self.add_license(&package.name, package.license);
            self.packages.push(Row {
                name: package.name,
                version: package.version,
                arch: package.arch,
            });
        }
    }

    fn add_license(&mut self, package: &str, license: String) {
        if !license.is_empty() {
            self.licenses.insert(package.to_owned(), vec![license]);
        }
    }
}

fn locked(dpkg: &Mutex<Dpkg>) -> MutexGuard<'_, Dpkg> {
    dpkg.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One spelling for the paths of systems with and without a merged `/usr`.
pub(super) fn merged(path: &str) -> String {
    let path = path.trim_start_matches('/');
    let top = path.split('/').next().unwrap_or_default();
    match top {
        "lib" | "lib32" | "lib64" | "libx32" | "bin" | "sbin" => format!("usr/{path}"),
        _ => path.to_owned(),
    }
}

fn os_release(read: Read<'_>) -> Result<Option<Distro>, AuditError> {
    let text = match read("/etc/os-release")? {
        Some(text) => Some(text),
        None => read("/usr/lib/os-release")?,
    };
    let Some(text) = text else {
        return Ok(None);
    };
    let field = |name: &str| {
        text.lines().find_map(|line| {
            let value = line.strip_prefix(name)?.strip_prefix('=')?.trim();
            Some(value.trim_matches(['"', '\'']).to_owned())
        })
    };
    Ok(field("ID").map(|id| Distro {
        id,
        version: field("VERSION_ID").filter(|version| !version.is_empty()),
    }))
}
