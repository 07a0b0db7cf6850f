//! A published file: what a wheel is made of, what it needs, where it came from, and how to install it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use wheelfarm_build::refresh::StaleLibrary;
use wheelfarm_types::WheelFilename;

use super::graph::{Graph, Kind, Node, file_name};
use super::look::{self, Look};
use super::metadata::{self, Facts};
use super::picture::{self, Picture};
use super::provenance::{self, Provenance};
use super::sbom;
use super::snippets::{self, Snippet};
use super::stale::{self, Staleness};
use super::text::{self, Moment};
use super::viewer::{Frame, Viewer};
use super::{project, respond};
use crate::registry::{Origin, PublishedFile};
use crate::{App, Problem};

#[derive(Template)]
#[template(path = "file.html")]
struct FilePage {
    frame: Frame,
    project: String,
    version: String,
    filename: String,
    download: String,
    digest: String,
    size: String,
    uploaded: Moment,
    origin: String,
    requires_python: Option<String>,
    yanked: Option<String>,
    tags: Vec<(&'static str, String)>,
    snippets: Vec<Snippet>,
    facts: Facts,
    wheel: Option<Inside>,
    provenance: Option<Provenance>,
}

/// What is inside a wheel.
struct Inside {
    failure: Option<String>,
    generator: Option<String>,
    count: String,
    unpacked: String,
    kinds: Vec<KindRow>,
    members: Vec<(String, String)>,
    hidden: usize,
    audit: Option<Audit>,
    components: Vec<sbom::Component>,
}

struct KindRow {
    label: &'static str,
    count: String,
    size: String,
    /// Its part of the whole in sixteenths, at least one: widths are classes, since styles inside pages are not allowed.
    part: u64,
}

struct Audit {
    has_objects: bool,
    earned: Option<String>,
    keeps_its_word: bool,
    findings: Vec<String>,
    next: Option<(String, Vec<String>)>,
    picture: Picture,
    hidden: usize,
    lines: Vec<Line>,
    vendored: Vec<Vendored>,
    system: Vec<System>,
    summary: String,
}

/// A node of the graph in words.
struct Line {
    name: String,
    members: Vec<String>,
    needs: Vec<(String, String)>,
}

/// A library that the wheel carries.
struct Vendored {
    name: String,
    package: String,
    version: String,
    of: String,
    licenses: String,
    stale: Freshness,
}

enum Freshness {
    Unknown,
    Current,
    Stale(StaleLibrary),
}

/// A library that the wheel expects of a system.
struct System {
    name: String,
    versions: String,
    foreign: bool,
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    Path((asked, filename)): Path<(String, String)>,
    viewer: Viewer,
) -> Result<Response, Problem> {
    let name = project::name(&asked)?;
    let file = app
        .registry
        .read(|state| state.file(&viewer.channel, &name, &filename).cloned())
        .ok_or_else(|| {
            Problem::not_found(format!(
                "there is no such file of `{name}` in the channel `{}`",
                viewer.channel
            ))
        })?;
    let published = &file.published;
    let parsed: Option<WheelFilename> = published.filename.parse().ok();
    let staleness = stale::remembered(&app).await?;
    let wheel = match &parsed {
        Some(parsed) => {
            let look = look::look(&app, &published.blob, parsed, kept_audit(published)).await?;
            Some(Inside::of(&look, &staleness, published))
        }
        None => None,
    };
    let statement =
        wheelfarm_build::provenance::find(app.registry.store(), &published.blob).await?;
    let digest = published.blob.to_string();
    respond::page(&FilePage {
        download: format!("files/{digest}/{}", published.filename),
        snippets: snippets::of_file(
            &viewer.address,
            &viewer.channel,
            name.as_str(),
            &published.version,
            &published.blob,
            parsed.as_ref(),
        ),
        facts: metadata::facts(app.registry.store(), published).await,
        project: name.to_string(),
        version: published.version.clone(),
        size: text::size(published.size),
        uploaded: Moment::new(published.uploaded, app.now()),
        origin: origin(&published.origin),
        requires_python: published.requires_python.clone(),
        yanked: file
            .yanked
            .as_ref()
            .map(|yank| yank.reason.clone().unwrap_or_default()),
        tags: parsed.as_ref().map(tags).unwrap_or_default(),
        provenance: statement.and_then(|json| provenance::read(&json)),
        filename: published.filename.clone(),
        frame: viewer.frame,
        digest,
        wheel,
    })
}

/// The report that was kept when the file was uploaded.
fn kept_audit(file: &PublishedFile) -> Option<wheelfarm_types::Digest> {
    file.audit.as_ref().map(|audit| audit.blob)
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Uploaded => "uploaded".to_owned(),
        Origin::Built => "built by the farm".to_owned(),
        Origin::Promoted { from } => format!("promoted from {from}"),
    }
}

fn tags(filename: &WheelFilename) -> Vec<(&'static str, String)> {
    let mut tags = vec![
        ("Python", filename.pythons.join(", ")),
        ("ABI", filename.abis.join(", ")),
        ("Platform", filename.platforms.join(", ")),
    ];
    if let Some(build) = &filename.build {
        tags.push(("Build", build.as_str().to_owned()));
    }
    tags
}

impl Inside {
    fn of(look: &Look, staleness: &Staleness, file: &PublishedFile) -> Self {
        Self {
            failure: look.failure.clone(),
            generator: look.generator.clone(),
            count: text::count(look.count, "file", "files"),
            unpacked: text::size(look.unpacked),
            kinds: look
                .kinds
                .iter()
                .map(|kind| KindRow {
                    label: kind.label,
                    count: text::count(kind.count, "file", "files"),
                    size: text::size(kind.size),
                    part: (kind.size.saturating_mul(16))
                        .checked_div(look.unpacked)
                        .unwrap_or_default()
                        .clamp(1, 16),
                })
                .collect(),
            members: look
                .members
                .iter()
                .map(|member| (member.name.clone(), text::size(member.size)))
                .collect(),
            hidden: look.count - look.members.len(),
            audit: look
                .audit
                .as_ref()
                .map(|audit| Audit::of(audit, look, staleness, file)),
            components: look.components.clone(),
        }
    }
}

impl Audit {
    fn of(audit: &look::Audit, look: &Look, staleness: &Staleness, file: &PublishedFile) -> Self {
        let graph = &audit.graph;
        let paths: Vec<String> = of_kind(graph, Kind::Carried)
            .flat_map(|(_, node)| node.members.clone())
            .collect();
        let owners = sbom::owners(&paths, &look.components);
        let owner = |node: &Node| {
            node.members
                .first()
                .and_then(|path| owners.get(path).copied())
        };
        let outdated = staleness.get(&file.blob);
        let vendored: Vec<Vendored> = of_kind(graph, Kind::Carried)
            .map(|(_, node)| {
                let owner = owner(node);
                Vendored {
                    name: node.label.clone(),
                    package: owner.map(|owner| owner.name.clone()).unwrap_or_default(),
                    version: owner.map(|owner| owner.version.clone()).unwrap_or_default(),
                    of: owner.map(|owner| owner.of.clone()).unwrap_or_default(),
                    licenses: owner
                        .map(|owner| owner.licenses.clone())
                        .unwrap_or_default(),
                    stale: match (outdated, owner) {
                        (Some(outdated), Some(owner)) => {
                            let found = outdated
                                .stale
                                .iter()
                                .find(|library| library.package == owner.name);
                            found.map_or(Freshness::Current, |library| {
                                Freshness::Stale(library.clone())
                            })
                        }
                        _ => Freshness::Unknown,
                    },
                }
            })
            .collect();
        let is_system = |kind| matches!(kind, Kind::System | Kind::Foreign);
        let systems = graph
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| is_system(node.kind));
        let mut system: Vec<System> = systems
            .map(|(id, node)| System {
                name: node.label.clone(),
                versions: graph.highest(id).join(", "),
                foreign: node.kind == Kind::Foreign,
            })
            .collect();
        system.sort_by(|a, b| (!a.foreign, &a.name).cmp(&(!b.foreign, &b.name)));
        let own: usize = of_kind(graph, Kind::Own)
            .map(|(_, node)| node.members.len())
            .sum();
        let picture = picture::draw(graph, |id, node| match node.kind {
            Kind::Own => match node.members.as_slice() {
                [one] => one
                    .rsplit_once('/')
                    .map_or("", |(directory, _)| directory)
                    .to_owned(),
                many => many
                    .iter()
                    .map(|path| module(path))
                    .collect::<Vec<_>>()
                    .join(", "),
            },
            Kind::Carried => owner(node)
                .map(|owner| format!("{} {}", owner.name, owner.version))
                .unwrap_or_default(),
            Kind::System => graph.highest(id).join(", "),
            Kind::Foreign => "not promised by the tag".to_owned(),
        });
        Self {
            has_objects: audit.has_objects,
            earned: audit.earned.clone(),
            keeps_its_word: audit.keeps_its_word,
            findings: audit.findings.clone(),
            next: audit.next.clone(),
            hidden: graph.hidden,
            lines: lines(graph),
            summary: format!(
                "{}, {} and {} and how they need each other.",
                text::count(own, "object of the wheel", "objects of the wheel"),
                text::count(vendored.len(), "vendored library", "vendored libraries"),
                text::count(
                    system.len(),
                    "library of the system",
                    "libraries of the system"
                ),
            ),
            picture,
            vendored,
            system,
        }
    }
}

fn of_kind(graph: &Graph, kind: Kind) -> impl Iterator<Item = (usize, &Node)> {
    graph
        .nodes
        .iter()
        .enumerate()
        .filter(move |(_, node)| node.kind == kind)
}

/// `_psycopg` of `psycopg2/_psycopg.cpython-311-x86_64-linux-gnu.so`.
fn module(path: &str) -> &str {
    let file = file_name(path);
    file.split('.').next().unwrap_or(file)
}

fn lines(graph: &Graph) -> Vec<Line> {
    graph
        .nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| matches!(node.kind, Kind::Own | Kind::Carried))
        .map(|(id, node)| Line {
            name: node.label.clone(),
            members: if node.members.len() > 1 {
                node.members.clone()
            } else {
                Vec::new()
            },
            needs: graph
                .edges
                .iter()
                .filter(|edge| edge.from == id)
                .filter_map(|edge| {
                    Some((
                        graph.nodes.get(edge.to)?.label.clone(),
                        edge.versions.join(", "),
                    ))
                })
                .collect(),
        })
        .collect()
}
