//! The catalogue of builder images: data (`images/catalogue.toml`), parsed once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;
use wheelfarm_types::{Arch, Digest, Libc, PythonVersion, Target};

use crate::environment::PackageManager;

const DATA: &str = include_str!("../../../images/catalogue.toml");

/// Every builder image the farm knows.
#[derive(Debug, Clone)]
pub struct Catalogue {
    images: Vec<BuilderImage>,
    /// How Debian-made images for glibc are made.
    pub debian_recipe: DebianRecipe,
    /// How those for musl are.
    musl_recipe: DebianRecipe,
    /// Where the sources of Pythons come from: the Debian suites to look in, the best first.
    pub python_sources: BTreeMap<PythonVersion, Vec<String>>,
}

/// One builder image for one architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuilderImage {
    /// Short name: `debian-12`, `manylinux_2_28`.
    pub name: String,
    /// What its C library allows at best.
    pub target: Target,
    /// How system packages are added to it.
    pub manager: PackageManager,
    /// The Pythons it has, sorted: its own and those in [`Self::compiled`].
    pub pythons: Vec<PythonVersion>,
    /// Pythons that were compiled for it: their files, as the store has them.
    pub compiled: BTreeMap<PythonVersion, Digest>,
    /// Pythons that can be compiled for it.
    pub compilable: BTreeSet<PythonVersion>,
    /// Where it comes from.
    pub source: ImageSource,
    /// The one to pull when nothing is there and nothing was asked for.
    pub default: bool,
    /// Whether it is of another architecture than the machine, so that what runs in it is emulated and takes 15 to 25
    /// times as long. Such an image is used only when it, or a target of its architecture, is asked for.
    pub emulated: bool,
}

/// Where a builder image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// Pulled: a reference with the digest of the platform's manifest.
    Registry {
        /// `quay.io/pypa/manylinux_2_28_x86_64@sha256:...`.
        reference: String,
    },
    /// Made from the packages of this Debian suite.
    Debian {
        /// Code name: `bookworm`.
        suite: String,
    },
}

/// How Debian-made images are made.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DebianRecipe {
    /// Packages of a builder.
    pub builder_packages: Vec<String>,
    /// Packages of a bare runtime.
    pub runtime_packages: Vec<String>,
    /// Packages that CPython is compiled with, beside those of a builder.
    pub python_packages: Vec<String>,
    /// Source packages that are compiled into a builder for musl.
    #[serde(default)]
    pub libraries: Vec<String>,
    /// apt.conf lines for `mmdebstrap --aptopt`.
    pub apt_options: Vec<String>,
    /// dpkg.cfg lines for `mmdebstrap --dpkgopt`.
    pub dpkg_options: Vec<String>,
}

/// What an image on this machine really is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFacts {
    /// How the executor names it.
    pub id: String,
    /// sha256 over the canonical JSON of its layers' uncompressed digests (`RootFS.Layers`), environment,
    /// architecture and operating system: equal for equal content, wherever it was pulled from or made.
    pub content: Digest,
    /// Size on disk in bytes.
    pub size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Data {
    pythons_official: Vec<PythonVersion>,
    official: Vec<Official>,
    debian: Vec<Debian>,
    debian_recipe: DebianRecipe,
    musl_recipe: MuslRecipe,
    python_sources: BTreeMap<PythonVersion, Vec<String>>,
    emulated: Vec<Emulated>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct MuslRecipe {
    builder_packages: Vec<String>,
    runtime_packages: Vec<String>,
    python_packages: Vec<String>,
    libraries: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Emulated {
    host: Arch,
    arch: Arch,
    suffix: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Official {
    name: String,
    policy: String,
    manager: PackageManager,
    #[serde(default)]
    default: bool,
    references: BTreeMap<Arch, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Debian {
    name: String,
    suite: String,
    policy: String,
    python: Option<PythonVersion>,
}

impl Catalogue {
    /// The catalogue that is compiled in, for machines of `arch`; the lowest C library first, emulated images last.
    ///
    /// # Panics
    /// Never: a test parses the data.
    pub fn builtin(arch: Arch) -> Self {
        let data: Data = toml::from_str(DATA).expect("images/catalogue.toml is checked by a test");
        let target_of = |policy: &str, arch: Arch| -> Target {
            format!("{policy}_{arch}")
                .parse()
                .expect("images/catalogue.toml is checked by a test")
        };
        let target = |policy: &str| target_of(policy, arch);
        let mut images = Vec::new();
        let guests: Vec<_> = data
            .emulated
            .iter()
            .filter(|guest| guest.host == arch)
            .collect();
        for image in data.debian {
            for guest in &guests {
                // It would have none: compiling one would take hours.
                let Some(python) = image.python else { continue };
                images.push(BuilderImage {
                    target: target_of(&image.policy, guest.arch),
                    name: format!("{}-{}", image.name, guest.suffix),
                    manager: PackageManager::Apt,
                    pythons: vec![python],
                    compiled: BTreeMap::new(),
                    compilable: BTreeSet::new(),
                    source: ImageSource::Debian {
                        suite: image.suite.clone(),
                    },
                    default: false,
                    emulated: true,
                });
            }
            images.push(BuilderImage {
                target: target(&image.policy),
                name: image.name,
                manager: PackageManager::Apt,
                pythons: image.python.into_iter().collect(),
                compiled: BTreeMap::new(),
                compilable: data
                    .python_sources
                    .keys()
                    .filter(|python| Some(**python) != image.python)
                    .copied()
                    .collect(),
                source: ImageSource::Debian { suite: image.suite },
                default: false,
                emulated: false,
            });
        }
        for image in data.official {
            let Some(reference) = image.references.get(&arch) else {
                continue;
            };
            images.push(BuilderImage {
                target: target(&image.policy),
                name: image.name,
                manager: image.manager,
                pythons: data.pythons_official.clone(),
                compiled: BTreeMap::new(),
                compilable: BTreeSet::new(),
                source: ImageSource::Registry {
                    reference: reference.clone(),
                },
                default: image.default,
                emulated: false,
            });
        }
        // glibc sorts before musl.
        images.sort_by_key(|image| (image.emulated, image.target.libc));
        let musl = data.musl_recipe;
        Self {
            images,
            musl_recipe: DebianRecipe {
                builder_packages: musl.builder_packages,
                runtime_packages: musl.runtime_packages,
                python_packages: musl.python_packages,
                libraries: musl.libraries,
                ..data.debian_recipe.clone()
            },
            debian_recipe: data.debian_recipe,
            python_sources: data.python_sources,
        }
    }

    /// All images, the lowest C library first.
    pub fn images(&self) -> &[BuilderImage] {
        &self.images
    }

    /// How `image` is made, if it is made from Debian packages.
    pub fn recipe(&self, image: &BuilderImage) -> &DebianRecipe {
        match image.target.libc {
            Libc::Glibc { .. } => &self.debian_recipe,
            Libc::Musl { .. } => &self.musl_recipe,
        }
    }

    /// The same, to add Pythons to.
    pub(crate) fn images_mut(&mut self) -> &mut [BuilderImage] {
        &mut self.images
    }

    /// The image called `name`.
    pub fn get(&self, name: &str) -> Option<&BuilderImage> {
        self.images.iter().find(|image| image.name == name)
    }
}

impl BuilderImage {
    /// The interpreter `python` inside the image.
    pub fn interpreter(&self, python: PythonVersion) -> PathBuf {
        match self.source {
            ImageSource::Debian { .. } if !self.compiled.contains_key(&python) => {
                format!("/usr/bin/python{}", python.release()).into()
            }
            _ => format!("{}/bin/python", python_prefix(python)).into(),
        }
    }

    /// The files of `python`, if it was compiled for this image.
    pub fn tree(&self, python: PythonVersion) -> Option<Digest> {
        self.compiled.get(&python).copied()
    }

    /// [`Self::tree`] as actions take it: by the directory where it belongs.
    pub fn trees(&self, python: PythonVersion) -> BTreeMap<String, Digest> {
        let tree = self.tree(python);
        tree.map(|tree| (python_prefix(python), tree))
            .into_iter()
            .collect()
    }

    /// Adds a Python that was compiled for this image.
    pub(crate) fn add_compiled(&mut self, python: PythonVersion, tree: Digest) {
        self.compiled.insert(python, tree);
        if !self.pythons.contains(&python) {
            self.pythons.push(python);
            self.pythons.sort();
        }
    }

    /// The name a local image of a Debian-made builder has: `wheelfarm/debian-12:x86_64`.
    pub fn local_tag(&self) -> String {
        format!("wheelfarm/{}:{}", self.name, self.target.arch)
    }

    /// The name of the bare runtime image in which its wheels are proved: Python and nothing else where we made
    /// it, the builder image itself (without the environment's system packages) where it was pulled.
    pub fn runtime_tag(&self) -> String {
        match &self.source {
            ImageSource::Registry { reference } => reference.clone(),
            ImageSource::Debian { .. } => {
                format!("wheelfarm/{}-runtime:{}", self.name, self.target.arch)
            }
        }
    }
}

/// Where a Python lies in an image that has several: one directory per interpreter and ABI, which is the contract of
/// the manylinux images.
pub fn python_prefix(python: PythonVersion) -> String {
    format!("/opt/python/{}-{}", python.python_tag(), python.abi_tag())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiled_python_has_a_directory_of_its_own() {
        let catalogue = Catalogue::builtin(Arch::X86_64);
        let mut image = catalogue.get("debian-11").unwrap().clone();
        let (own, added) = ("3.9".parse().unwrap(), "3.13t".parse().unwrap());
        image.add_compiled(added, Digest::of("tree"));
        assert_eq!(image.pythons, [own, added]);
        assert_eq!(image.interpreter(own), PathBuf::from("/usr/bin/python3.9"));
        assert_eq!(
            image.interpreter(added),
            PathBuf::from("/opt/python/cp313-cp313t/bin/python")
        );
        assert_eq!(image.tree(own), None);
        let trees = image.trees(added);
        assert_eq!(trees["/opt/python/cp313-cp313t"], Digest::of("tree"));
    }

    #[test]
    fn the_data_parses_for_every_architecture() {
        for arch in [
            "x86_64", "i686", "aarch64", "ppc64le", "s390x", "armv7l", "riscv64",
        ] {
            let catalogue = Catalogue::builtin(arch.parse().unwrap());
            assert!(catalogue.get("musllinux_1_2").is_some(), "{arch}");
            assert!(
                catalogue
                    .images()
                    .is_sorted_by_key(|image| (image.emulated, image.target.libc)),
                "{arch}"
            );
        }
    }

    #[test]
    fn one_default_per_architecture_at_most_and_references_have_digests() {
        let catalogue = Catalogue::builtin(Arch::X86_64);
        assert_eq!(
            catalogue
                .images()
                .iter()
                .filter(|image| image.default)
                .count(),
            1
        );
        for image in catalogue.images() {
            if let ImageSource::Registry { reference } = &image.source {
                let (_, digest) = reference.split_once('@').unwrap();
                assert!(digest.parse::<Digest>().is_ok(), "{reference}");
            }
        }
    }
}
