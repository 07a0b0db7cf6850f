//! The wheels: small ones that the farm builds from source and that were never repaired, large ones of the index.

use std::path::{Path, PathBuf};
use std::process::Command;

use wheelfarm_tests::anyhow::{Context, Result, ensure};
use wheelfarm_tests::process::run;

use super::directory;
use crate::bench::wheels;
use crate::steps::{cargo, show};

/// One environment with what all of them need; its sections name them.
const CONFIG: &str = include_str!("wheelfarm.toml");
const LARGE: &str = include_str!("large.txt");

/// Versions that Debian 12's libraries are new enough for.
const PINNED: [&str; 2] = ["pygit2==1.11.1", "pyproj==3.6.1"];

/// What is measured, all in `wheels` of the benchmark's directory.
pub(crate) struct Corpus {
    /// File names of unrepaired wheels.
    pub(crate) small: Vec<String>,
    /// File names of published wheels.
    pub(crate) large: Vec<String>,
    /// The image they were built in: it has the libraries of all.
    pub(crate) image: String,
}

impl Corpus {
    /// Builds and fetches what is not there yet.
    pub(crate) fn make(large: bool) -> Result<Self> {
        let directory = directory()?;
        let place = directory.join("wheels");
        fs_err::create_dir_all(&place)?;
        let list = directory.join("built.json");
        if !list.exists() {
            build(&directory)?;
            let built = serde_json::to_string(&raw_wheels(&directory, &place)?)?;
            fs_err::write(&list, built)?;
        }
        let (small, recipe): (Vec<String>, String) = serde_json::from_slice(&fs_err::read(&list)?)?;
        let mut corpus = Self {
            small,
            large: Vec::new(),
            image: image(&recipe)?,
        };
        if large {
            let pinned = wheels::parse(LARGE)?;
            wheels::fetch(&pinned)?;
            for wheel in pinned {
                let path = place.join(&wheel.filename);
                if !path.exists() {
                    fs_err::hard_link(wheel.path()?, path)?;
                }
                corpus.large.push(wheel.filename);
            }
        }
        Ok(corpus)
    }
}

fn projects() -> impl Iterator<Item = &'static str> {
    CONFIG
        .lines()
        .filter_map(|line| line.strip_prefix("[package.")?.strip_suffix(']'))
}

fn build(directory: &Path) -> Result<()> {
    show(&mut cargo("build --release --package wheelfarm --locked"))?;
    let wheelfarm = wheelfarm_tests::environment::target_directory()?.join("release/wheelfarm");
    show(Command::new(&wheelfarm).args(["images", "build", "debian-12"]))?;
    fs_err::write(directory.join("wheelfarm.toml"), CONFIG)?;
    let requirement = |project: &'static str| {
        let pinned = PINNED.iter().find(|pinned| pinned.starts_with(project));
        pinned.copied().unwrap_or(project)
    };
    show(
        Command::new(&wheelfarm)
            .current_dir(directory)
            .args(["--store", "store", "--cache", "cache", "build"])
            .args(projects().map(requirement))
            .args([
                "--python",
                "3.11",
                "--image",
                "debian-12",
                "--no-deps",
                "--no-prove",
            ])
            .args(["--from-source", &projects().collect::<Vec<_>>().join(",")]),
    )
}

/// Takes the wheels as they were built out of the store; their names, and the recipe of their environment.
fn raw_wheels(directory: &Path, place: &Path) -> Result<(Vec<String>, String)> {
    let store = directory.join("store");
    let mut names = Vec::new();
    let mut recipes = Vec::new();
    for record in files(&store.join("records/raw-wheel"))? {
        let record: serde_json::Value = serde_json::from_slice(&fs_err::read(record)?)?;
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let digest = text(&record["wheel"]);
        let shard = digest.get(..2).unwrap_or_default();
        let blob = store.join(format!("blobs/sha256/{shard}/{digest}"));
        let name = text(&record["filename"]);
        fs_err::copy(blob, place.join(&name))?;
        names.push(name);
        recipes.push(text(&record["inputs"]["environment"]));
    }
    names.sort();
    recipes.sort();
    recipes.dedup();
    ensure!(
        names.len() == projects().count(),
        "of {} projects there are {} wheels",
        projects().count(),
        names.len()
    );
    let [recipe] = recipes.as_slice() else {
        wheelfarm_tests::anyhow::bail!("they were built in {} environments", recipes.len());
    };
    Ok((names, recipe.clone()))
}

/// All files below a directory.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs_err::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(self::files(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

fn image(recipe: &str) -> Result<String> {
    let filter = format!("label=wheelfarm.recipe={recipe}");
    let images = run(Command::new("docker").args(["images", "--quiet", "--filter", &filter]))?;
    let image = images.lines().next();
    image.map(str::to_owned).with_context(|| {
        format!(
            "the image of environment {recipe} is gone; remove built.json and store to build anew"
        )
    })
}
