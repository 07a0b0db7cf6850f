//! The matrix: which builder image serves which Python and target.

use wheelfarm_types::{PythonVersion, Target};

use crate::catalogue::{BuilderImage, Catalogue, ImageSource};

/// One column of the matrix: a Python for a target, in a builder image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Where it is built.
    pub image: BuilderImage,
    /// For which Python.
    pub python: PythonVersion,
    /// For which target: no wheel of this cell may ask for a newer system.
    pub target: Target,
}

/// What the user asked for; an empty list leaves the choice to us.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Names of the catalogue.
    pub images: Vec<String>,
    /// Pythons.
    pub pythons: Vec<PythonVersion>,
    /// Targets.
    pub targets: Vec<Target>,
}

/// A matrix that cannot be had here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatrixError {
    /// Not in the catalogue.
    #[error("there is no builder image called `{0}`")]
    UnknownImage(String),
    /// No image has it.
    #[error("no builder image {here}has Python {python}{for_target}")]
    NoPython {
        /// The Python.
        python: PythonVersion,
        /// `here `, when an image that is not on this machine would have it.
        here: &'static str,
        /// ` for <target>`, when a target was asked for.
        for_target: String,
        /// The image that it can be compiled for.
        compile: Option<Box<BuilderImage>>,
        /// Images of the catalogue that would do.
        candidates: Vec<BuilderImage>,
    },
    /// It has none until one is compiled for it.
    #[error("the builder image {} has no Python yet", .0.name)]
    WithoutPython(Box<BuilderImage>),
    /// No image builds for it.
    #[error("no builder image here builds for {target}")]
    NoTarget {
        /// The target.
        target: Target,
        /// Images of the catalogue that would do.
        candidates: Vec<BuilderImage>,
    },
}

impl Cell {
    /// `cp311-manylinux_2_36_x86_64`: names the cell in logs, selectors and files.
    pub fn id(&self) -> String {
        cell_id(self.python, self.target)
    }
}

/// [`Cell::id`] of a cell for `python` and `target`.
pub fn cell_id(python: PythonVersion, target: Target) -> String {
    format!("{}-{target}", python.abi_tag())
}

impl MatrixError {
    /// The command that gets what is missing, if there is one.
    pub fn hint(&self) -> Option<String> {
        let mut commands = Vec::new();
        let candidates = match self {
            Self::UnknownImage(_) => {
                return Some("`wheelfarm images list` shows their names".to_owned());
            }
            Self::NoPython {
                python,
                compile,
                candidates,
                ..
            } => {
                if let Some(image) = compile {
                    commands.push(format!("`{} --python {python}`", image.command()));
                }
                candidates
            }
            Self::WithoutPython(image) => {
                // Any will do: the first is an example.
                let python = image.compilable.first();
                return python.map(|python| {
                    format!("compile one with `{} --python {python}`", image.command())
                });
            }
            Self::NoTarget { candidates, .. } => candidates,
        };
        commands.extend(
            candidates
                .iter()
                .map(|image| format!("`{}`", image.command())),
        );
        (!commands.is_empty()).then(|| format!("get one with {}", commands.join(" or ")))
    }
}

impl BuilderImage {
    /// The command that gets this image.
    pub fn command(&self) -> String {
        match self.source {
            ImageSource::Registry { .. } => format!("wheelfarm images pull {}", self.name),
            ImageSource::Debian { .. } => format!("wheelfarm images build {}", self.name),
        }
    }
}

/// The cells for `selection`, from the images that are `available`, which are in the catalogue's order: the lowest
/// C library first. Images that the selection names count as available.
///
/// Without a Python, those of the image; without a target, what the image's C library allows; without an image, the
/// lowest that serves.
pub fn select(
    catalogue: &Catalogue,
    available: &[BuilderImage],
    selection: &Selection,
) -> Result<Vec<Cell>, MatrixError> {
    let images: Vec<BuilderImage> = if selection.images.is_empty() {
        // What is emulated is for who asks for it, by name or by target.
        let native = |image: &&BuilderImage| !image.emulated || !selection.targets.is_empty();
        available.iter().filter(native).cloned().collect()
    } else {
        let named = |name: &String| {
            let image = catalogue.get(name).cloned();
            image.ok_or_else(|| MatrixError::UnknownImage(name.clone()))
        };
        selection
            .images
            .iter()
            .map(named)
            .collect::<Result<_, _>>()?
    };
    let mut cells = Vec::new();
    if selection.targets.is_empty() {
        if selection.pythons.is_empty() {
            // All of the images that were named, else the lowest.
            let named = !selection.images.is_empty();
            let count = if named { images.len() } else { 1 };
            for image in images
                .iter()
                .filter(|image| named || has_python(image))
                .take(count)
            {
                if !has_python(image) {
                    return Err(without_python(image));
                }
                cells.extend(
                    image
                        .pythons
                        .iter()
                        .map(|python| cell(image, *python, image.target)),
                );
            }
        }
        for python in &selection.pythons {
            let mut having = images
                .iter()
                .filter(|image| image.pythons.contains(python))
                .peekable();
            if having.peek().is_none() {
                return Err(no_python(catalogue, &images, *python, None));
            }
            let count = if selection.images.is_empty() {
                1
            } else {
                usize::MAX
            };
            cells.extend(
                having
                    .take(count)
                    .map(|image| cell(image, *python, image.target)),
            );
        }
    }
    for target in &selection.targets {
        let mut serving: Vec<_> = images
            .iter()
            .filter(|image| image.serves(*target))
            .collect();
        // The one closest to the target: the newest compilers and libraries that it allows.
        serving.reverse();
        let Some(closest) = serving.first() else {
            let candidates = catalogue
                .images()
                .iter()
                .filter(|image| image.serves(*target));
            return Err(MatrixError::NoTarget {
                target: *target,
                candidates: candidates.cloned().collect(),
            });
        };
        let pythons = if selection.pythons.is_empty() {
            if !has_python(closest) {
                return Err(without_python(closest));
            }
            &closest.pythons
        } else {
            &selection.pythons
        };
        for python in pythons {
            let image = serving
                .iter()
                .find(|image| image.pythons.contains(python))
                .ok_or_else(|| no_python(catalogue, &images, *python, Some(*target)))?;
            cells.push(cell(image, *python, *target));
        }
    }
    Ok(cells)
}

fn has_python(image: &BuilderImage) -> bool {
    !image.pythons.is_empty()
}

fn without_python(image: &BuilderImage) -> MatrixError {
    MatrixError::WithoutPython(Box::new(image.clone()))
}

fn cell(image: &BuilderImage, python: PythonVersion, target: Target) -> Cell {
    Cell {
        image: image.clone(),
        python,
        target,
    }
}

fn no_python(
    catalogue: &Catalogue,
    images: &[BuilderImage],
    python: PythonVersion,
    target: Option<Target>,
) -> MatrixError {
    let serves = |image: &&BuilderImage| target.is_none_or(|target| image.serves(target));
    let compile = images
        .iter()
        .filter(serves)
        .find(|image| image.compilable.contains(&python));
    let candidates: Vec<_> = catalogue
        .images()
        .iter()
        .filter(serves)
        .filter(|image| image.pythons.contains(&python))
        .cloned()
        .collect();
    MatrixError::NoPython {
        python,
        here: if candidates.is_empty() && compile.is_none() {
            ""
        } else {
            "here "
        },
        for_target: target
            .map(|target| format!(" for {target}"))
            .unwrap_or_default(),
        compile: compile.cloned().map(Box::new),
        candidates,
    }
}

impl BuilderImage {
    fn serves(&self, target: Target) -> bool {
        self.target.arch == target.arch && self.target.libc.runs_on(target.libc)
    }
}

#[cfg(test)]
mod tests {
    use wheelfarm_types::{Arch, Digest};

    use super::*;

    fn cells(
        here: &[&str],
        images: &[&str],
        pythons: &[&str],
        targets: &[&str],
    ) -> Result<Vec<String>, MatrixError> {
        cells_with(&[], here, images, pythons, targets)
    }

    /// `compiled`: pairs of an image and a Python that was compiled for it.
    fn cells_with(
        compiled: &[(&str, &str)],
        here: &[&str],
        images: &[&str],
        pythons: &[&str],
        targets: &[&str],
    ) -> Result<Vec<String>, MatrixError> {
        let mut catalogue = Catalogue::builtin(Arch::X86_64);
        for image in catalogue.images_mut() {
            for (name, python) in compiled {
                if *name == image.name {
                    image.add_compiled(python.parse().unwrap(), Digest::of(""));
                }
            }
        }
        let available: Vec<_> = catalogue
            .images()
            .iter()
            .filter(|image| here.contains(&image.name.as_str()))
            .cloned()
            .collect();
        let selection = Selection {
            images: images.iter().map(|&image| image.to_owned()).collect(),
            pythons: pythons
                .iter()
                .map(|python| python.parse().unwrap())
                .collect(),
            targets: targets
                .iter()
                .map(|target| target.parse().unwrap())
                .collect(),
        };
        let cells = select(&catalogue, &available, &selection)?;
        Ok(cells
            .iter()
            .map(|cell| format!("{} in {}", cell.id(), cell.image.name))
            .collect())
    }

    const DEBIANS: [&str; 3] = ["debian-11", "debian-12", "debian-13"];

    #[test]
    fn the_lowest_image_is_the_default() {
        assert_eq!(
            cells(&DEBIANS, &[], &[], &[]).unwrap(),
            ["cp39-manylinux_2_31_x86_64 in debian-11"]
        );
        assert_eq!(
            cells(&DEBIANS[1..], &[], &[], &[]).unwrap(),
            ["cp311-manylinux_2_36_x86_64 in debian-12"]
        );
    }

    #[test]
    fn one_call_for_three_pythons() {
        assert_eq!(
            cells(&DEBIANS, &[], &["3.9", "3.11", "3.13"], &[]).unwrap(),
            [
                "cp39-manylinux_2_31_x86_64 in debian-11",
                "cp311-manylinux_2_36_x86_64 in debian-12",
                "cp313-manylinux_2_41_x86_64 in debian-13",
            ]
        );
        assert_eq!(
            cells(&DEBIANS, &["debian-11", "debian-13"], &[], &[])
                .unwrap()
                .len(),
            2
        );
    }

    #[test]
    fn a_target_takes_the_closest_image_below_it() {
        assert_eq!(
            cells(&DEBIANS, &[], &["3.9", "3.11"], &["manylinux_2_38_x86_64"]).unwrap(),
            [
                "cp39-manylinux_2_38_x86_64 in debian-11",
                "cp311-manylinux_2_38_x86_64 in debian-12"
            ]
        );
    }

    #[test]
    fn one_old_image_serves_all_pythons_that_were_compiled_for_it() {
        let compiled = [("debian-11", "3.13"), ("debian-11", "3.11")];
        let all = [
            "cp39-manylinux_2_31_x86_64 in debian-11",
            "cp311-manylinux_2_31_x86_64 in debian-11",
            "cp313-manylinux_2_31_x86_64 in debian-11",
        ];
        let target = ["manylinux_2_31_x86_64"];
        let asked = ["3.9", "3.11", "3.13"];
        for (images, pythons, targets) in [
            (&[][..], &[][..], &[][..]),
            (&["debian-11"], &[], &[]),
            (&[], &asked, &[]),
            (&[], &[], &target),
            (&[], &asked, &target),
        ] {
            assert_eq!(
                cells_with(&compiled, &DEBIANS, images, pythons, targets).unwrap(),
                all
            );
        }
        // The closest image below a target still comes first.
        let newer = ["manylinux_2_41_x86_64"];
        assert_eq!(
            cells_with(&compiled, &DEBIANS, &[], &["3.13"], &newer).unwrap(),
            ["cp313-manylinux_2_41_x86_64 in debian-13"]
        );
    }

    #[test]
    fn a_python_that_can_be_compiled_comes_with_the_command() {
        let target = ["manylinux_2_31_x86_64"];
        for (images, targets) in [(&[][..], &[][..]), (&["debian-11"], &[]), (&[], &target)] {
            let error = cells(&DEBIANS[..2], images, &["3.13"], targets).unwrap_err();
            let hint = error.hint().unwrap();
            assert!(
                hint.contains("`wheelfarm images build debian-11 --python 3.13`"),
                "{hint}"
            );
        }
        // Debian has no source of it.
        let hint = cells(&DEBIANS, &[], &["3.12"], &[]).unwrap_err().hint();
        assert!(!hint.unwrap().contains("images build"));
    }

    #[test]
    fn an_image_without_a_python_is_used_when_it_has_one() {
        let here = ["debian-12", "debian-12-musl"];
        let target = ["musllinux_1_2_x86_64"];
        let error = cells(&here, &[], &[], &target).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the builder image debian-12-musl has no Python yet"
        );
        let hint = error.hint().unwrap();
        assert!(
            hint.contains("`wheelfarm images build debian-12-musl --python 3.11`"),
            "{hint}"
        );
        assert!(cells(&here, &here, &[], &[]).is_err());
        // Nobody asked for it.
        assert_eq!(cells(&here[1..], &[], &[], &[]).unwrap(), [""; 0]);
        let compiled = [("debian-12-musl", "3.11")];
        assert_eq!(
            cells_with(&compiled, &here, &[], &[], &target).unwrap(),
            ["cp311-musllinux_1_2_x86_64 in debian-12-musl"]
        );
    }

    #[test]
    fn an_emulated_image_is_used_only_when_asked_for() {
        let here = ["debian-12-arm64"];
        assert_eq!(cells(&here, &[], &[], &[]).unwrap(), [""; 0]);
        assert!(cells(&here, &[], &["3.11"], &[]).is_err());
        let cell = ["cp311-manylinux_2_36_aarch64 in debian-12-arm64"];
        let target = ["manylinux_2_36_aarch64"];
        assert_eq!(cells(&here, &[], &[], &target).unwrap(), cell);
        assert_eq!(cells(&[], &here, &[], &[]).unwrap(), cell);
        let error = cells(&DEBIANS, &[], &[], &target).unwrap_err();
        let hint = error.hint().unwrap();
        assert!(
            hint.contains("`wheelfarm images build debian-12-arm64`"),
            "{hint}"
        );
    }

    #[test]
    fn what_is_missing_comes_with_a_command() {
        let error = cells(&DEBIANS[..1], &[], &["3.13"], &[]).unwrap_err();
        assert!(
            error.to_string().contains("here has Python 3.13"),
            "{error}"
        );
        assert!(
            error
                .hint()
                .unwrap()
                .contains("wheelfarm images build debian-13")
        );
        let error = cells(&DEBIANS, &[], &[], &["manylinux_2_28_x86_64"]).unwrap_err();
        assert!(
            error
                .hint()
                .unwrap()
                .contains("wheelfarm images pull manylinux_2_28")
        );
        assert!(cells(&DEBIANS, &["debian-99"], &[], &[]).is_err());
        assert_eq!(
            cells(&DEBIANS, &[], &["2.7"], &[]).unwrap_err().hint(),
            None
        );
    }
}
