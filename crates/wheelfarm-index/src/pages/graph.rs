//! The libraries of a wheel as a graph: its own objects, libraries that it carries, and what it expects of systems.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use wheelfarm_audit::{AuditReport, ElfObject};
use wheelfarm_types::Target;

/// Most of a wheel's own modules that are shown one by one; of more, those that need the same are one node.
const SINGLE: usize = 10;
/// Most nodes of a kind.
const NODES: usize = 120;

/// A graph.
#[derive(Debug, Clone, Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    pub(super) edges: Vec<Edge>,
    /// How many objects were left out, since nobody could look at so many.
    pub(super) hidden: usize,
}

/// One object or several that need the same.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// What is written on it.
    pub(super) label: String,
    /// Paths in the wheel, or the name of a library of the system.
    pub(super) members: Vec<String>,
    /// How far it is from the wheel's own objects, from 0.
    pub(super) depth: usize,
}

/// What a node stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// An extension module or program.
    Own,
    /// A shared library in the wheel.
    Carried,
    /// A library that the platform tag promises.
    System,
    /// A library that it does not promise.
    Foreign,
}

/// That one needs another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Symbol versions that are needed.
    pub(super) versions: Vec<String>,
}

/// The graph of what an audit found. `target` is the platform that the wheel's name claims.
pub(super) fn graph(report: &AuditReport, target: Option<Target>) -> Graph {
    let objects: Vec<&ElfObject> = report
        .objects
        .iter()
        .filter(|object| object.considered)
        .collect();
    let mut by_name: HashMap<&str, usize> = HashMap::new();
    for (index, object) in objects.iter().enumerate() {
        by_name.entry(file_name(&object.path)).or_insert(index);
        if let Some(soname) = &object.soname {
            by_name.entry(soname).or_insert(index);
        }
    }
    let needed: BTreeSet<usize> = objects
        .iter()
        .enumerate()
        .flat_map(|(index, object)| {
            let targets = object
                .needed
                .iter()
                .filter_map(|name| by_name.get(name.as_str()).copied());
            targets.filter(move |needed| *needed != index)
        })
        .collect();
    let is_carried = |index: usize, object: &ElfObject| {
        object.extension.is_none()
            && !object.executable
            && (needed.contains(&index) || in_libs(&object.path))
    };
    let foreign: BTreeSet<&str> = match target.and_then(|target| report.verdict(target)) {
        Some(verdict) => verdict.grafts.iter().map(String::as_str).collect(),
        None => report
            .external
            .iter()
            .map(|library| library.soname.as_str())
            .collect(),
    };

    let mut graph = Graph::default();
    let mut node_of: HashMap<usize, usize> = HashMap::new();
    let own: Vec<usize> = (0..objects.len())
        .filter(|index| {
            objects
                .get(*index)
                .is_some_and(|object| !is_carried(*index, object))
        })
        .collect();
    let mut groups: BTreeMap<Vec<&str>, Vec<usize>> = BTreeMap::new();
    for index in &own {
        let Some(object) = objects.get(*index) else {
            continue;
        };
        let mut key: Vec<&str> = object.needed.iter().map(String::as_str).collect();
        key.sort_unstable();
        if own.len() <= SINGLE {
            // A group of its own.
            key.push(&object.path);
        }
        groups.entry(key).or_default().push(*index);
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
    groups.sort();
    graph.hidden += groups.iter().skip(NODES).map(Vec::len).sum::<usize>();
    for group in groups.into_iter().take(NODES) {
        let members: Vec<String> = group
            .iter()
            .filter_map(|index| Some(objects.get(*index)?.path.clone()))
            .collect();
        let label = match members.as_slice() {
            [one] => file_name(one).to_owned(),
            many => format!("{} modules", many.len()),
        };
        for index in group {
            node_of.insert(index, graph.nodes.len());
        }
        graph.nodes.push(Node {
            kind: Kind::Own,
            label,
            members,
            depth: 0,
        });
    }
    let mut carried = 0;
    for (index, object) in objects.iter().enumerate() {
        if node_of.contains_key(&index) || !is_carried(index, object) {
            continue;
        }
        if carried == NODES {
            graph.hidden += 1;
            continue;
        }
        carried += 1;
        node_of.insert(index, graph.nodes.len());
        graph.nodes.push(Node {
            kind: Kind::Carried,
            label: file_name(&object.path).to_owned(),
            members: vec![object.path.clone()],
            depth: 1,
        });
    }
    let mut system: BTreeMap<&str, usize> = BTreeMap::new();
    let mut edges: BTreeMap<(usize, usize), BTreeSet<&str>> = BTreeMap::new();
    for (index, object) in objects.iter().enumerate() {
        let Some(from) = node_of.get(&index).copied() else {
            continue;
        };
        for name in &object.needed {
            let to = match by_name.get(name.as_str()) {
                Some(inside) => node_of.get(inside).copied(),
                None => match system.get(name.as_str()) {
                    Some(known) => Some(*known),
                    None if system.len() == NODES => None,
                    None => {
                        system.insert(name, graph.nodes.len());
                        let is_foreign = foreign.contains(name.as_str());
                        graph.nodes.push(Node {
                            kind: if is_foreign {
                                Kind::Foreign
                            } else {
                                Kind::System
                            },
                            label: name.clone(),
                            members: vec![name.clone()],
                            depth: 0,
                        });
                        Some(graph.nodes.len() - 1)
                    }
                },
            };
            let Some(to) = to.filter(|to| *to != from) else {
                continue;
            };
            let versions = object.version_needs.get(name).into_iter().flatten();
            edges
                .entry((from, to))
                .or_default()
                .extend(versions.map(String::as_str));
        }
    }
    graph.edges = edges
        .into_iter()
        .map(|((from, to), versions)| Edge {
            from,
            to,
            versions: sorted(versions),
        })
        .collect();
    graph.set_depths();
    graph
}

impl Graph {
    /// Puts every carried library one further than what needs it, as far as there are no circles, and libraries of
    /// the system furthest.
    fn set_depths(&mut self) {
        // With the columns on both sides it is what a window is wide.
        const DEEPEST: usize = 3;
        for _ in 0..DEEPEST {
            for edge in &self.edges {
                let Some(from) = self.nodes.get(edge.from).map(|node| node.depth) else {
                    continue;
                };
                if let Some(to) = self.nodes.get_mut(edge.to)
                    && to.kind == Kind::Carried
                    && to.depth <= from
                    && from < DEEPEST
                {
                    to.depth = from + 1;
                }
            }
        }
        let carried = self.nodes.iter().filter(|node| node.kind == Kind::Carried);
        let last = carried.map(|node| node.depth).max().unwrap_or(0) + 1;
        for node in &mut self.nodes {
            if matches!(node.kind, Kind::System | Kind::Foreign) {
                node.depth = last;
            }
        }
    }

    /// The highest versions that anything needs of a library, one of each kind: `GLIBC_2.28`.
    pub(super) fn highest(&self, node: usize) -> Vec<String> {
        let versions = self
            .edges
            .iter()
            .filter(|edge| edge.to == node)
            .flat_map(|edge| &edge.versions);
        let mut highest: BTreeMap<&str, &String> = BTreeMap::new();
        for version in versions {
            let family = version
                .rsplit_once('_')
                .map_or(version.as_str(), |(family, _)| family);
            let known = highest.entry(family).or_insert(version);
            if numbers(version) > numbers(known) {
                *known = version;
            }
        }
        highest.into_values().cloned().collect()
    }
}

/// In the order of their numbers, not of their digits.
fn sorted(versions: BTreeSet<&str>) -> Vec<String> {
    let mut versions: Vec<&str> = versions.into_iter().collect();
    versions.sort_by_key(|version| {
        (
            version.rsplit_once('_').map(|(family, _)| family),
            numbers(version),
        )
    });
    versions.into_iter().map(str::to_owned).collect()
}

fn numbers(version: &str) -> Vec<u64> {
    let text = version.rsplit('_').next().unwrap_or(version);
    text.split('.')
        .filter_map(|part| part.parse().ok())
        .collect()
}

/// Whether a path is in a directory that tools put libraries into.
fn in_libs(path: &str) -> bool {
    path.split('/')
        .rev()
        .skip(1)
        .any(|part| part.strip_suffix(".libs").is_some() || part == ".dylibs")
}

pub(super) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(path: &str, soname: Option<&str>, needed: &[&str], extension: bool) -> ElfObject {
        ElfObject {
            path: path.into(),
            arch: None,
            considered: true,
            executable: false,
            soname: soname.map(str::to_owned),
            needed: needed.iter().map(|name| (*name).to_owned()).collect(),
            included: Vec::new(),
            rpath: None,
            runpath: None,
            interpreter: None,
            version_needs: [(
                "libc.so.6".to_owned(),
                vec![
                    "GLIBC_2.14".to_owned(),
                    "GLIBC_2.2.5".to_owned(),
                    "GLIBC_2.9".to_owned(),
                ],
            )]
            .into(),
            isa_level: 1,
            extension: extension.then(|| "x".to_owned()),
            libraries: BTreeMap::default(),
        }
    }

    fn report(objects: Vec<ElfObject>) -> AuditReport {
        AuditReport {
            wheel: "x-1-cp311-cp311-manylinux_2_28_x86_64.whl".parse().unwrap(),
            arch: None,
            libc: None,
            narrow_unicode: false,
            earned: None,
            earned_without_grafting: None,
            verdicts: Vec::new(),
            external: Vec::new(),
            objects,
            extensions: Vec::new(),
            findings: Vec::new(),
        }
    }

    #[test]
    fn libraries_stand_behind_what_needs_them() {
        let report = report(vec![
            object("x/_x.so", None, &["libpq-1.so.5", "libc.so.6"], true),
            object(
                "x.libs/libpq-1.so.5",
                Some("libpq-1.so.5"),
                &["libssl-2.so.3", "libc.so.6"],
                false,
            ),
            object(
                "x.libs/libssl-2.so.3",
                Some("libssl-2.so.3"),
                &["libpq-1.so.5"],
                false,
            ),
        ]);
        let graph = graph(&report, None);
        let at = |label: &str| graph.nodes.iter().find(|node| node.label == label).unwrap();
        assert_eq!((at("_x.so").kind, at("_x.so").depth), (Kind::Own, 0));
        assert!(
            at("libssl-2.so.3").depth > 1,
            "a circle does not hold it back"
        );
        let libc = graph
            .nodes
            .iter()
            .position(|node| node.label == "libc.so.6")
            .unwrap();
        assert!(
            graph
                .nodes
                .iter()
                .all(|node| node.kind == Kind::System || node.depth < graph.nodes[libc].depth)
        );
        assert_eq!(graph.highest(libc), ["GLIBC_2.14"]);
        let edge = graph.edges.iter().find(|edge| edge.to == libc).unwrap();
        assert_eq!(edge.versions, ["GLIBC_2.2.5", "GLIBC_2.9", "GLIBC_2.14"]);
    }

    #[test]
    fn many_modules_that_need_the_same_are_one() {
        let mut objects: Vec<_> = (0..40)
            .map(|n| object(&format!("x/m{n}.so"), None, &["libc.so.6"], true))
            .collect();
        objects.push(object("x/other.so", None, &["libm.so.6"], true));
        let graph = graph(&report(objects), None);
        let labels: Vec<_> = graph.nodes.iter().map(|node| node.label.as_str()).collect();
        assert_eq!(labels, ["40 modules", "other.so", "libc.so.6", "libm.so.6"]);
    }

    #[test]
    fn a_graph_is_bounded() {
        let objects = (0..1000).map(|n| {
            object(
                &format!("x.libs/m{n}.so"),
                None,
                &[&format!("lib{n}.so.1")],
                false,
            )
        });
        let graph = graph(&report(objects.collect()), None);
        assert_eq!(graph.hidden, 880);
        assert!(graph.nodes.len() <= 3 * NODES);
    }
}
