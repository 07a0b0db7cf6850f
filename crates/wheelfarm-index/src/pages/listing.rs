//! Projects as lists show them: made once for every state of a project.

use std::collections::{BTreeSet, HashMap};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use pep440_rs::Version;
use wheelfarm_types::ProjectName;

use crate::App;
use crate::registry::{Channel, Project, PublishedFile, Status};

/// A project in a list.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) name: ProjectName,
    pub(super) summary: String,
    /// The highest version that is no pre-release, if there is one, and not yanked.
    pub(super) latest: Option<String>,
    pub(super) versions: usize,
    pub(super) files: usize,
    pub(super) size: u64,
    pub(super) uploaded: DateTime<Utc>,
    pub(super) status: Status,
    /// Its last files, the newest first.
    pub(super) newest: Vec<Arc<PublishedFile>>,
}

/// How many of a project's files a listing has.
const NEWEST: usize = 12;

/// Most characters of a summary that are kept.
const SUMMARY: usize = 300;

/// Listings by channel and project, each with the revision it was made of.
#[derive(Default)]
pub(super) struct Listings(Mutex<HashMap<Channel, OfChannel>>);

type OfChannel = HashMap<ProjectName, (u64, Arc<Listing>)>;

impl Listings {
    /// All projects of a channel, by name. Only those that changed since the last call are looked at.
    pub(super) fn of(&self, app: &App, channel: &Channel) -> Vec<Arc<Listing>> {
        let projects: Vec<(ProjectName, Arc<Project>)> = app.registry.read(|state| {
            let projects = state.channel(channel).map(|state| &state.projects);
            let all = projects.into_iter().flatten();
            all.map(|(name, project)| (name.clone(), Arc::clone(project)))
                .collect()
        });
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(channel.clone()).or_default();
        projects
            .into_iter()
            .filter(|(_, project)| !project.files.is_empty())
            .map(|(name, project)| listing(known, name, &project))
            .collect()
    }

    /// One project of a channel, as it is in `project`.
    pub(super) fn one(
        &self,
        channel: &Channel,
        name: &ProjectName,
        project: &Project,
    ) -> Arc<Listing> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(channel.clone()).or_default();
        listing(known, name.clone(), project)
    }
}

/// The listing of a project, made anew if it is not of this revision.
fn listing(known: &mut OfChannel, name: ProjectName, project: &Project) -> Arc<Listing> {
    if let Some((revision, listing)) = known.get(&name)
        && *revision == project.revision
    {
        return Arc::clone(listing);
    }
    let listing = Arc::new(Listing::of(&name, project));
    known.insert(name, (project.revision, Arc::clone(&listing)));
    listing
}

impl Listing {
    pub(super) fn of(name: &ProjectName, project: &Project) -> Self {
        let mut newest: Vec<&Arc<PublishedFile>> =
            project.files.values().map(|file| &file.published).collect();
        newest.sort_by(|a, b| (b.uploaded, &b.filename).cmp(&(a.uploaded, &a.filename)));
        let versions = versions(project);
        let good: BTreeSet<&str> = project
            .files
            .values()
            .filter(|file| file.yanked.is_none())
            .map(|file| file.published.version.as_str())
            .collect();
        let stable = |version: &Spelled| {
            version
                .parsed
                .as_ref()
                .is_some_and(|version| !version.any_prerelease())
        };
        let candidates: Vec<&Spelled> = versions
            .iter()
            .filter(|version| good.contains(version.text.as_str()))
            .collect();
        let latest = candidates
            .iter()
            .find(|version| stable(version))
            .or(candidates.first());
        let summary = newest
            .iter()
            .find_map(|file| file.summary.as_deref())
            .unwrap_or_default();
        Self {
            name: name.clone(),
            summary: summary.chars().take(SUMMARY).collect(),
            latest: latest.map(|version| version.text.clone()),
            versions: versions.len(),
            files: project.files.len(),
            size: project.files.values().map(|file| file.published.size).sum(),
            uploaded: newest.first().map(|file| file.uploaded).unwrap_or_default(),
            status: project.status.status,
            newest: newest.into_iter().take(NEWEST).cloned().collect(),
        }
    }

    /// How well it fits a search; lower is better, none: not at all.
    pub(super) fn rank(&self, words: &[String]) -> Option<usize> {
        let name = self.name.as_str();
        let summary = self.summary.to_lowercase();
        let mut worst = 0;
        for word in words {
            let normal = word.replace(['_', '.'], "-");
            let rank = match name.find(&normal) {
                Some(_) if name == normal => 0,
                Some(0) => 1,
                Some(_) => 2,
                None if summary.contains(word.as_str()) => 3,
                None => return None,
            };
            worst = worst.max(rank);
        }
        Some(worst)
    }
}

/// A version as files spell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spelled {
    pub(super) text: String,
    /// None if it is no version of [PEP 440](https://peps.python.org/pep-0440/).
    pub(super) parsed: Option<Version>,
}

/// All versions of a project, the highest first; spellings that are no versions last.
pub(super) fn versions(project: &Project) -> Vec<Spelled> {
    let mut texts: Vec<&str> = project
        .files
        .values()
        .map(|file| file.published.version.as_str())
        .collect();
    texts.sort_unstable();
    texts.dedup();
    let mut versions: Vec<Spelled> = texts
        .into_iter()
        .map(|text| Spelled {
            text: text.to_owned(),
            parsed: Version::from_str(text).ok(),
        })
        .collect();
    versions.sort_by(|a, b| (&b.parsed, &b.text).cmp(&(&a.parsed, &a.text)));
    versions
}

/// The words of a search.
pub(super) fn words(query: &str) -> Vec<String> {
    query
        .to_lowercase()
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}
