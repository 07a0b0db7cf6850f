//! `wheelfarm lddtree`.

use std::collections::{BTreeMap, HashSet};

use owo_colors::OwoColorize;
use serde::Serialize;
use wheelfarm_audit::{
    AuditOptions, Found, LibraryRoot, LibraryTree, Package, audit, library_tree,
};
use wheelfarm_elf::Elf;

use super::show::print_json;
use super::{opened, wording};
use crate::cli::inspect::LddtreeArgs;
use crate::cli::{Format, GlobalArgs};
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

/// All that is printed.
#[derive(Debug, Serialize)]
struct Trees {
    version: u8,
    objects: Vec<Object>,
}

/// An object and what is below it.
#[derive(Debug, Serialize)]
struct Object {
    path: String,
    interpreter: Option<String>,
    needed: Vec<String>,
    libraries: BTreeMap<String, Library>,
}

#[derive(Debug, Serialize)]
struct Library {
    found: Found,
    owner: Option<Package>,
    needed: Vec<String>,
}

pub(crate) fn run(
    global: &GlobalArgs,
    args: &LddtreeArgs,
    printer: Printer,
) -> Result<Exit, Failure> {
    let root = opened::library_root(&args.libraries)?;
    let options = AuditOptions {
        exclude: args.libraries.exclude.clone(),
        ..AuditOptions::default()
    };
    let is_wheel = args.file.extension().is_some_and(|end| end == "whl");
    let objects = if is_wheel {
        of_wheel(args, &root, &options)?
    } else {
        vec![of_file(args, &root, &options)?]
    };
    let trees = Trees {
        version: 1,
        objects,
    };
    if args.json || global.format == Format::Json {
        print_json(&trees, printer)?;
    } else {
        for object in &trees.objects {
            print(object, printer);
        }
    }
    Ok(Exit::Ok)
}

fn of_wheel(
    args: &LddtreeArgs,
    root: &LibraryRoot,
    options: &AuditOptions,
) -> Result<Vec<Object>, Failure> {
    let report = audit(&opened::wheel(&args.file)?, root, options)?;
    let objects = report.objects.into_iter().map(|object| Object {
        libraries: libraries(object.libraries, root),
        path: object.path,
        interpreter: object.interpreter,
        needed: object.needed,
    });
    Ok(objects.collect())
}

fn of_file(
    args: &LddtreeArgs,
    root: &LibraryRoot,
    options: &AuditOptions,
) -> Result<Object, Failure> {
    let path = opened::path_in_root(&args.file, &args.libraries.root)?;
    let tree = library_tree(root, &path, options)?;
    let bytes = root.read(&path)?;
    let elf = Elf::parse(&bytes).map_err(|error| Failure::finding(format!("{path}: {error}")))?;
    Ok(Object {
        interpreter: elf.interpreter().map(str::to_owned),
        needed: elf.needed().iter().map(|name| (*name).to_owned()).collect(),
        libraries: libraries(tree, root),
        path,
    })
}

fn libraries(tree: LibraryTree, root: &LibraryRoot) -> BTreeMap<String, Library> {
    let library = |(soname, node): (String, wheelfarm_audit::LibraryNode)| {
        let owner = match &node.found {
            Found::Root(path) => root.owner(path),
            _ => None,
        };
        let library = Library {
            found: node.found,
            owner,
            needed: node.needed,
        };
        (soname, library)
    };
    tree.into_iter().map(library).collect()
}

fn print(object: &Object, printer: Printer) {
    printer.result(object.path.bold());
    for line in lines(object) {
        printer.result(line);
    }
}

/// The tree, depth first; what a library needs is shown where it first appears.
fn lines(object: &Object) -> Vec<String> {
    let mut lines = Vec::new();
    let mut shown = HashSet::new();
    let mut pending: Vec<(usize, &String)> =
        object.needed.iter().rev().map(|name| (1, name)).collect();
    while let Some((depth, name)) = pending.pop() {
        // Excluded ones are not in the map.
        let Some(library) = object.libraries.get(name) else {
            continue;
        };
        let place = match &library.found {
            Found::Root(path) | Found::Wheel(path) => path.clone(),
            Found::Libpython => "the interpreter's".to_owned(),
            Found::Missing => "not found".red().to_string(),
        };
        let owner = wording::in_brackets(library.owner.as_ref());
        let first = shown.insert(name);
        let again = if first || library.needed.is_empty() {
            ""
        } else {
            " ..."
        };
        lines.push(format!(
            "{:indent$}{name} => {place}{owner}{}",
            "",
            again.dimmed(),
            indent = depth * 2
        ));
        if first {
            let below = library.needed.iter().rev();
            pending.extend(below.map(|name| (depth + 1, name)));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(path: &str, needed: &[&str]) -> Library {
        Library {
            found: match path {
                "" => Found::Missing,
                path => Found::Root(path.to_owned()),
            },
            owner: None,
            needed: needed.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn what_is_below_is_shown_once_and_cycles_end() {
        let object = Object {
            path: "x".into(),
            interpreter: None,
            needed: vec!["a".into(), "b".into(), "excluded".into()],
            libraries: BTreeMap::from([
                ("a".to_owned(), library("/a", &["b"])),
                ("b".to_owned(), library("/b", &["a", "c"])),
                ("c".to_owned(), library("", &[])),
            ]),
        };
        let plain: Vec<_> = lines(&object)
            .iter()
            .map(|line| anstream::adapter::strip_str(line).to_string())
            .collect();
        let expected = [
            "  a => /a",
            "    b => /b",
            "      a => /a ...",
            "      c => not found",
            "  b => /b ...",
        ];
        assert_eq!(plain, expected);
    }
}
