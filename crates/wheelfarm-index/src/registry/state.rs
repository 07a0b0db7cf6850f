//! What the log comes to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wheelfarm_types::{Digest, ProjectName};

use crate::registry::{Channel, Event, PublishedFile, Record, Token, TokenId, Yank};

/// Everything that is published, and all tokens, after a number of entries of the log.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct State {
    /// The last entry that is in it.
    pub number: u64,
    channels: BTreeMap<Channel, ChannelState>,
    tokens: BTreeMap<TokenId, Arc<Token>>,
    /// In which channels a blob is, as a file or as a file's METADATA. Not kept in snapshots: computed.
    #[serde(skip)]
    blobs: HashMap<Digest, Arc<BTreeSet<Channel>>>,
    /// The sets in it: there are few, and many blobs.
    #[serde(skip)]
    sets: BTreeSet<Arc<BTreeSet<Channel>>>,
}

/// What is in a channel.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ChannelState {
    /// Its projects.
    pub projects: BTreeMap<ProjectName, Arc<Project>>,
    /// The entry of the log that last added a project to it or removed one.
    pub revision: u64,
}

/// A project in a channel.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Project {
    /// Its files by name.
    pub files: BTreeMap<String, File>,
    /// What was deleted: names that are used up, with the digest that they meant.
    #[serde(default)]
    pub deleted: BTreeMap<String, Digest>,
    /// Its status.
    #[serde(default)]
    pub status: ProjectStatus,
    /// The entry of the log that last changed anything here: pages made from it can be kept until it rises.
    pub revision: u64,
}

/// A file in a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// As it was published.
    pub published: Arc<PublishedFile>,
    /// Whether it is yanked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yanked: Option<Yank>,
}

/// A project's status and why ([PEP 792](https://peps.python.org/pep-0792/)).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProjectStatus {
    /// Which.
    pub status: Status,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The words of [PEP 792](https://peps.python.org/pep-0792/).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Nothing special.
    #[default]
    Active,
    /// Nothing new is to be expected.
    Archived,
    /// Not safe: its files are left out, since clients do not look at the status.
    Quarantined,
    /// Obsolete.
    Deprecated,
}

impl State {
    /// A channel, if anything was ever published in it.
    pub fn channel(&self, channel: &Channel) -> Option<&ChannelState> {
        self.channels.get(channel)
    }

    /// All channels in which anything was ever published.
    pub fn channels(&self) -> impl Iterator<Item = (&Channel, &ChannelState)> {
        self.channels.iter()
    }

    /// A project in a channel.
    pub fn project(&self, channel: &Channel, project: &ProjectName) -> Option<&Arc<Project>> {
        self.channels.get(channel)?.projects.get(project)
    }

    /// A file in a channel.
    pub fn file(&self, channel: &Channel, project: &ProjectName, filename: &str) -> Option<&File> {
        self.project(channel, project)?.files.get(filename)
    }

    /// The channels in which a blob is published, as a file or as a file's METADATA.
    pub fn channels_of(&self, blob: &Digest) -> Option<&BTreeSet<Channel>> {
        self.blobs.get(blob).map(Arc::as_ref)
    }

    /// A token.
    pub fn token(&self, id: &TokenId) -> Option<&Arc<Token>> {
        self.tokens.get(id)
    }

    /// The token whose secret has this digest. Looks at one token, whatever their number: names are made of digests.
    pub fn token_of(&self, secret: &Digest) -> Option<&Arc<Token>> {
        let token = self.tokens.get(&TokenId::of(secret))?;
        token.has_secret(secret).then_some(token)
    }

    /// All tokens, revoked ones not among them.
    pub fn tokens(&self) -> impl Iterator<Item = &Arc<Token>> {
        self.tokens.values()
    }

    /// Every blob that something published needs: nothing of these may be removed from the store.
    pub fn needed_blobs(&self) -> impl Iterator<Item = &Digest> {
        let projects = self.channels.values().flat_map(|it| it.projects.values());
        let files = projects.flat_map(|project| project.files.values());
        // These cannot be asked for like files, so they are not among the blobs of channels.
        let audits = files.filter_map(|file| Some(&file.published.audit.as_ref()?.blob));
        self.blobs.keys().chain(audits)
    }

    /// Takes in entry `number` of the log.
    pub(super) fn apply(&mut self, number: u64, record: Record) {
        self.number = number;
        for event in record.events {
            self.apply_event(number, event);
        }
    }

    fn apply_event(&mut self, number: u64, event: Event) {
        match event {
            Event::Published { channel, file } => {
                for blob in blobs_of(&file) {
                    self.add_blob(blob, &channel);
                }
                let channel = self.channels.entry(channel).or_default();
                if !channel.projects.contains_key(&file.project) {
                    channel.revision = number;
                }
                let project = channel.projects.entry(file.project.clone()).or_default();
                let project = Arc::make_mut(project);
                project.revision = number;
                project.deleted.remove(&file.filename);
                project.files.insert(
                    file.filename.clone(),
                    File {
                        published: Arc::new(*file),
                        yanked: None,
                    },
                );
            }
            Event::Deleted {
                channel,
                project,
                filename,
            } => {
                let mut gone = None;
                self.change(number, &channel, &project, |project| {
                    gone = project.files.remove(&filename);
                    if let Some(file) = &gone {
                        project.deleted.insert(filename, file.published.blob);
                    }
                });
                if let Some(file) = gone {
                    self.forget(&channel, &file.published);
                }
            }
            Event::Yanked {
                channel,
                project,
                filename,
                yank,
            } => self.change(number, &channel, &project, |project| {
                if let Some(file) = project.files.get_mut(&filename) {
                    file.yanked = yank;
                }
            }),
            Event::StatusChanged {
                channel,
                project,
                status,
            } => self.change(number, &channel, &project, |project| {
                project.status = status;
            }),
            Event::TokenCreated { token } => {
                self.tokens.insert(token.id.clone(), Arc::new(token));
            }
            Event::TokenRevoked { id } => {
                self.tokens.remove(&id);
            }
        }
    }

    fn change(
        &mut self,
        number: u64,
        channel: &Channel,
        project: &ProjectName,
        change: impl FnOnce(&mut Project),
    ) {
        let projects = self.channels.get_mut(channel).map(|it| &mut it.projects);
        if let Some(project) = projects.and_then(|projects| projects.get_mut(project)) {
            let project = Arc::make_mut(project);
            project.revision = number;
            change(project);
        }
    }

    fn add_blob(&mut self, blob: Digest, channel: &Channel) {
        let there = self.blobs.get(&blob);
        if there.is_some_and(|channels| channels.contains(channel)) {
            return;
        }
        let mut channels = there.map_or_else(BTreeSet::new, |there| BTreeSet::clone(there));
        channels.insert(channel.clone());
        let channels = self.shared(channels);
        self.blobs.insert(blob, channels);
    }

    /// The one copy of `channels`.
    fn shared(&mut self, channels: BTreeSet<Channel>) -> Arc<BTreeSet<Channel>> {
        if let Some(there) = self.sets.get(&channels) {
            return Arc::clone(there);
        }
        let channels = Arc::new(channels);
        self.sets.insert(Arc::clone(&channels));
        channels
    }

    /// A deleted file's blobs stay readable where another file of the channel has them.
    fn forget(&mut self, channel: &Channel, file: &PublishedFile) {
        let Some(projects) = self.channels.get(channel).map(|it| &it.projects) else {
            return;
        };
        let is_there = |blob: &Digest| {
            projects
                .values()
                .flat_map(|project| project.files.values())
                .any(|file| blobs_of(&file.published).any(|other| other == *blob))
        };
        let gone: Vec<Digest> = blobs_of(file).filter(|blob| !is_there(blob)).collect();
        for blob in gone {
            let Some(channels) = self.blobs.remove(&blob) else {
                continue;
            };
            let mut channels = BTreeSet::clone(&channels);
            channels.remove(channel);
            if !channels.is_empty() {
                let channels = self.shared(channels);
                self.blobs.insert(blob, channels);
            }
        }
    }

    /// Computes what snapshots leave out.
    pub(super) fn index_blobs(&mut self) {
        let channels = std::mem::take(&mut self.channels);
        for (channel, state) in &channels {
            for file in state.projects.values().flat_map(|it| it.files.values()) {
                for blob in blobs_of(&file.published) {
                    self.add_blob(blob, channel);
                }
            }
        }
        self.channels = channels;
    }
}

fn blobs_of(file: &PublishedFile) -> impl Iterator<Item = Digest> {
    std::iter::once(file.blob).chain(file.metadata.iter().map(|metadata| metadata.blob))
}
