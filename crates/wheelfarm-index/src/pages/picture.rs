//! Where the nodes of a graph stand in its picture, and the curves between them. Sizes are in units of the SVG.

use std::collections::BTreeMap;

use super::graph::{Graph, Kind, Node};
use super::text::shortened;

const WIDTH: usize = 195;
const HEIGHT: usize = 42;
/// Between columns: room for curves.
const ACROSS: usize = 46;
/// Between nodes of a column.
const DOWN: usize = 12;
/// Around everything.
const EDGE: usize = 6;
/// Above the nodes: titles of columns.
const TOP: usize = 34;
/// Characters that fit on a node.
const LABEL: usize = 25;
/// How often columns are put into a better order.
const SWEEPS: usize = 6;

/// A picture.
#[derive(Debug, Clone, Default)]
pub(super) struct Picture {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) titles: Vec<Title>,
    pub(super) boxes: Vec<Drawn>,
    pub(super) curves: Vec<Curve>,
}

/// What stands above a column.
#[derive(Debug, Clone)]
pub(super) struct Title {
    pub(super) x: usize,
    pub(super) text: &'static str,
}

/// A node.
#[derive(Debug, Clone)]
pub(super) struct Drawn {
    pub(super) id: usize,
    pub(super) class: &'static str,
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) label: String,
    pub(super) note: String,
    pub(super) title: String,
}

/// An edge.
#[derive(Debug, Clone)]
pub(super) struct Curve {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) class: &'static str,
    pub(super) path: String,
    pub(super) title: String,
}

/// Draws `graph`; `note` says what stands below a node's name.
pub(super) fn draw(graph: &Graph, note: impl Fn(usize, &Node) -> String) -> Picture {
    let columns = ordered(graph);
    let mut picture = Picture::default();
    let mut place: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    let tallest = columns.iter().map(Vec::len).max().unwrap_or(0);
    let span = tallest * (HEIGHT + DOWN);
    let mut last_title = "";
    for (number, column) in columns.iter().enumerate() {
        let x = EDGE + number * (WIDTH + ACROSS);
        let kind = column
            .first()
            .and_then(|id| graph.nodes.get(*id))
            .map(|node| node.kind);
        let title = match kind {
            Some(Kind::Own) => "in the wheel",
            Some(Kind::Carried) => "vendored libraries",
            Some(Kind::System | Kind::Foreign) => "from the system",
            None => "",
        };
        if title != last_title {
            picture.titles.push(Title { x, text: title });
        }
        last_title = title;
        // Shorter columns stand in the middle.
        let above = (span - column.len() * (HEIGHT + DOWN)) / 2;
        for (row, id) in column.iter().enumerate() {
            let Some(node) = graph.nodes.get(*id) else {
                continue;
            };
            let y = EDGE + TOP + above + row * (HEIGHT + DOWN);
            place.insert(*id, (x, y));
            picture.boxes.push(Drawn {
                id: *id,
                class: match node.kind {
                    Kind::Own => "own",
                    Kind::Carried => "carried",
                    Kind::System => "system",
                    Kind::Foreign => "foreign",
                },
                x,
                y,
                label: shortened(&short_name(node), LABEL),
                note: shortened(&note(*id, node), LABEL + 3),
                title: title_of(node),
            });
        }
    }
    for edge in &graph.edges {
        let (Some((x, y)), Some((to_x, to_y))) = (place.get(&edge.from), place.get(&edge.to))
        else {
            continue;
        };
        let (y, to_y) = (y + HEIGHT / 2, to_y + HEIGHT / 2);
        let path = if to_x > x {
            let start = x + WIDTH;
            let bend = (to_x - start) / 2;
            format!(
                "M{start} {y}C{} {y} {} {to_y} {to_x} {to_y}",
                start + bend,
                to_x - bend
            )
        } else {
            // Within a column, or back: around the right side.
            let (start, end) = (x + WIDTH, to_x + WIDTH);
            let bend = start.max(end) + ACROSS / 2;
            format!("M{start} {y}C{bend} {y} {bend} {to_y} {end} {to_y}")
        };
        let label = |id: usize| graph.nodes.get(id).map_or("", |node| node.label.as_str());
        let into_system = graph
            .nodes
            .get(edge.to)
            .is_some_and(|node| node.kind == Kind::System);
        picture.curves.push(Curve {
            from: edge.from,
            to: edge.to,
            class: if into_system { "faint" } else { "plain" },
            path,
            title: match edge.versions.as_slice() {
                [] => format!("{} needs {}", label(edge.from), label(edge.to)),
                versions => format!(
                    "{} needs {} ({})",
                    label(edge.from),
                    label(edge.to),
                    versions.join(", ")
                ),
            },
        });
    }
    picture.width = columns.len().max(1) * (WIDTH + ACROSS) - ACROSS + 2 * EDGE;
    // Curves that go back run outside of the last column.
    if picture
        .curves
        .iter()
        .any(|curve| place.get(&curve.from) >= place.get(&curve.to))
    {
        picture.width += ACROSS / 2;
    }
    picture.height = span - if tallest > 0 { DOWN } else { 0 } + TOP + 2 * EDGE;
    picture
}

/// A node's name without what tools put into it: the digest of a vendored library, the interpreter of a module.
fn short_name(node: &Node) -> String {
    let label = &node.label;
    match node.kind {
        Kind::Own => match label.split_once('.') {
            Some((module, rest)) if rest.starts_with("cpython-") || rest.starts_with("abi3.") => {
                module.to_owned()
            }
            _ => label.clone(),
        },
        Kind::Carried => {
            let (stem, rest) = label.split_once(".so").unwrap_or((label, ""));
            match stem.rsplit_once('-') {
                Some((plain, digest))
                    if digest.len() == 8 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
                {
                    format!("{plain}.so{rest}")
                }
                _ => label.clone(),
            }
        }
        Kind::System | Kind::Foreign => label.clone(),
    }
}

fn title_of(node: &Node) -> String {
    const MOST: usize = 40;
    let mut text: Vec<&str> = node.members.iter().take(MOST).map(String::as_str).collect();
    let more = format!("and {} more", node.members.len().saturating_sub(MOST));
    if node.members.len() > MOST {
        text.push(&more);
    }
    text.join(", ")
}

/// Columns by depth, each in an order in which few curves cross: every node near the middle of its neighbours.
fn ordered(graph: &Graph) -> Vec<Vec<usize>> {
    let mut columns: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (id, node) in graph.nodes.iter().enumerate() {
        columns.entry(node.depth).or_default().push(id);
    }
    let mut columns: Vec<Vec<usize>> = columns.into_values().collect();
    let mut neighbours: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for edge in &graph.edges {
        neighbours.entry(edge.from).or_default().push(edge.to);
        neighbours.entry(edge.to).or_default().push(edge.from);
    }
    let mut height: BTreeMap<usize, usize> = BTreeMap::new();
    let spread = |column: &[usize], height: &mut BTreeMap<usize, usize>| {
        for (row, id) in column.iter().enumerate() {
            // In thousandths of the column, since columns differ in length.
            height.insert(*id, (2 * row + 1) * 1000 / (2 * column.len()));
        }
    };
    for column in &columns {
        spread(column, &mut height);
    }
    for sweep in 0..SWEEPS {
        let forward = sweep % 2 == 0;
        let many = columns.len();
        for step in 0..many {
            let number = if forward { step } else { many - 1 - step };
            let Some(column) = columns.get_mut(number) else {
                continue;
            };
            column.sort_by_key(|id| {
                let around: Vec<usize> = neighbours
                    .get(id)
                    .into_iter()
                    .flatten()
                    .filter_map(|other| height.get(other).copied())
                    .collect();
                let own = height.get(id).copied().unwrap_or_default();
                around
                    .iter()
                    .sum::<usize>()
                    .checked_div(around.len())
                    .unwrap_or(own)
            });
            spread(column, &mut height);
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::graph::Edge;

    fn node(kind: Kind, label: &str, depth: usize) -> Node {
        Node {
            kind,
            label: label.into(),
            members: vec![label.into()],
            depth,
        }
    }

    #[test]
    fn nothing_lies_outside_or_on_each_other() {
        let mut nodes = vec![node(Kind::Own, "a.so", 0), node(Kind::Own, "b.so", 0)];
        nodes.extend((0..7).map(|n| node(Kind::Carried, &format!("lib{n}.so"), 1 + n % 2)));
        nodes.push(node(Kind::System, "libc.so.6", 3));
        let edges = (0..9).map(|from| Edge {
            from,
            to: 9,
            versions: vec!["GLIBC_2.17".into()],
        });
        let back = Edge {
            from: 3,
            to: 2,
            versions: Vec::new(),
        };
        let graph = Graph {
            nodes,
            edges: edges.chain([back]).collect(),
            hidden: 0,
        };
        let picture = draw(&graph, |_, _| "note".into());
        assert_eq!((picture.boxes.len(), picture.curves.len()), (10, 10));
        for (index, one) in picture.boxes.iter().enumerate() {
            assert!(
                one.x + WIDTH <= picture.width && one.y + HEIGHT <= picture.height,
                "{one:?}"
            );
            for other in &picture.boxes[index + 1..] {
                let apart = one.x.abs_diff(other.x) >= WIDTH || one.y.abs_diff(other.y) >= HEIGHT;
                assert!(apart, "{one:?} {other:?}");
            }
        }
        let titles: Vec<_> = picture.titles.iter().map(|title| title.text).collect();
        assert_eq!(
            titles,
            ["in the wheel", "vendored libraries", "from the system"]
        );
        assert!(picture.curves[0].title.ends_with("(GLIBC_2.17)"));
    }

    #[test]
    fn curves_cross_as_little_as_they_can() {
        // a needs x, b needs y; the libraries stand the other way round.
        let nodes = vec![
            node(Kind::Own, "a", 0),
            node(Kind::Own, "b", 0),
            node(Kind::Carried, "y", 1),
            node(Kind::Carried, "x", 1),
        ];
        let edge = |from, to| Edge {
            from,
            to,
            versions: Vec::new(),
        };
        let graph = Graph {
            nodes,
            edges: vec![edge(0, 3), edge(1, 2)],
            hidden: 0,
        };
        let picture = draw(&graph, |_, _| String::new());
        let y = |label: &str| {
            picture
                .boxes
                .iter()
                .find(|one| one.label == label)
                .unwrap()
                .y
        };
        assert_eq!(y("a") < y("b"), y("x") < y("y"));
    }

    #[test]
    fn names_are_without_what_tools_put_into_them() {
        let name = |kind, label: &str| short_name(&node(kind, label, 0));
        let module = "_psycopg.cpython-311-x86_64-linux-gnu.so";
        assert_eq!(name(Kind::Own, module), "_psycopg");
        assert_eq!(
            name(Kind::Carried, "libpq-a17e3caa.so.5.17"),
            "libpq.so.5.17"
        );
        assert_eq!(
            name(Kind::Carried, "libpq-oauth-18.so"),
            "libpq-oauth-18.so"
        );
        assert_eq!(name(Kind::System, "libc.so.6"), "libc.so.6");
    }

    #[test]
    fn an_empty_graph_is_an_empty_picture() {
        assert!(
            draw(&Graph::default(), |_, _| String::new())
                .boxes
                .is_empty()
        );
    }
}
