//! Making trees.

use std::collections::{BTreeMap, HashSet};

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bytes::Bytes;
use prost::Message;

use super::{Tree, node, path};
use crate::digest::BlobDigest;
use crate::error::{Error, ErrorKind, bounded, error};

/// Puts a tree together, path by path. Every directory that is needed is made.
#[derive(Debug, Clone)]
pub struct TreeBuilder {
    root: Folder,
    /// Directories of trees that were taken in.
    known: BTreeMap<BlobDigest, Bytes>,
}

/// A directory of the tree.
#[derive(Debug, Clone)]
enum Folder {
    /// As it is in `known`: nobody has looked into it.
    Same(BlobDigest),
    Open(BTreeMap<String, Node>),
}

#[derive(Debug, Clone)]
enum Node {
    File(BlobDigest, bool),
    Symlink(String),
    Folder(Folder),
}

impl Default for TreeBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl TreeBuilder {
    /// Begins with an empty tree.
    pub fn new() -> Self {
        Self {
            root: Folder::Open(BTreeMap::new()),
            known: BTreeMap::new(),
        }
    }

    /// Begins with a tree, of which only those directories are encoded again that something is put into.
    pub fn over(tree: &Tree) -> Self {
        Self {
            root: Folder::Same(tree.root),
            known: tree.directories.clone(),
        }
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, digest: BlobDigest, executable: bool) -> Result<(), Error> {
        self.insert(path, Node::File(digest, executable))
    }

    /// Adds a symbolic link. Its target may be absolute, and need not be there.
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<(), Error> {
        if target.is_empty() || target.contains('\0') {
            return Err(error(
                ErrorKind::Invalid,
                format!(
                    "the symbolic link `{}` cannot have such a target",
                    bounded(path)
                ),
            ));
        }
        self.insert(path, Node::Symlink(target.to_owned()))
    }

    /// Adds a directory, unless it is there already.
    pub fn directory(&mut self, path: &str) -> Result<(), Error> {
        let (mut names, last) = path::split(path)?;
        names.push(last);
        open(&mut self.root, &self.known, &names, path)?;
        Ok(())
    }

    /// Puts the whole of a tree at `path`, where nothing may be yet.
    pub fn graft(&mut self, path: &str, tree: &Tree) -> Result<(), Error> {
        for (digest, directory) in &tree.directories {
            self.known
                .entry(*digest)
                .or_insert_with(|| directory.clone());
        }
        self.insert(path, Node::Folder(Folder::Same(tree.root)))
    }

    /// The tree: directories sorted as REAPI wants them, so that equal trees have equal digests.
    pub fn finish(&self) -> Result<Tree, Error> {
        let mut directories = BTreeMap::new();
        let mut kept = Vec::new();
        let root = encode(&self.root, &mut directories, &mut kept);
        // Directories that were taken in and are still part of the tree.
        let known = Tree {
            root,
            directories: self.known.clone(),
        };
        let mut seen = HashSet::new();
        while let Some(digest) = kept.pop() {
            if !seen.insert(digest) {
                continue;
            }
            for child in known.directory(&digest)?.directories {
                kept.push(node(child.digest.as_ref(), &child.name)?);
            }
            if let Some(bytes) = self.known.get(&digest) {
                directories.insert(digest, bytes.clone());
            }
        }
        Ok(Tree { root, directories })
    }

    fn insert(&mut self, path: &str, node: Node) -> Result<(), Error> {
        let (parents, name) = path::split(path)?;
        let parent = open(&mut self.root, &self.known, &parents, path)?;
        if parent.contains_key(name) {
            return Err(error(
                ErrorKind::Invalid,
                format!("`{}` is in the tree of files already", bounded(path)),
            ));
        }
        parent.insert(name.to_owned(), node);
        Ok(())
    }
}

/// The directory at `names`, made if it is not there.
fn open<'a>(
    root: &'a mut Folder,
    known: &BTreeMap<BlobDigest, Bytes>,
    names: &[&str],
    path: &str,
) -> Result<&'a mut BTreeMap<String, Node>, Error> {
    let mut entries = unfold(root, known)?;
    for name in names {
        let node = entries
            .entry((*name).to_owned())
            .or_insert_with(|| Node::Folder(Folder::Open(BTreeMap::new())));
        let what = match node {
            Node::Folder(folder) => {
                entries = unfold(folder, known)?;
                continue;
            }
            Node::File(..) => "a file",
            Node::Symlink(_) => "a symbolic link",
        };
        return Err(error(
            ErrorKind::Invalid,
            format!(
                "`{}` cannot be in the tree of files: `{name}` in it is {what}",
                bounded(path)
            ),
        ));
    }
    Ok(entries)
}

/// What is in a directory, to be changed.
fn unfold<'a>(
    folder: &'a mut Folder,
    known: &BTreeMap<BlobDigest, Bytes>,
) -> Result<&'a mut BTreeMap<String, Node>, Error> {
    if let Folder::Same(digest) = folder {
        let tree = Tree {
            root: *digest,
            directories: known
                .get(digest)
                .map(|bytes| (*digest, bytes.clone()))
                .into_iter()
                .collect(),
        };
        let directory = tree.directory(digest)?;
        let mut entries = BTreeMap::new();
        let files = directory.files.iter().map(|file| {
            let digest = node(file.digest.as_ref(), &file.name)?;
            Ok((&file.name, Node::File(digest, file.is_executable)))
        });
        let folders = directory.directories.iter().map(|child| {
            let digest = node(child.digest.as_ref(), &child.name)?;
            Ok((&child.name, Node::Folder(Folder::Same(digest))))
        });
        let symlinks = directory
            .symlinks
            .iter()
            .map(|link| Ok((&link.name, Node::Symlink(link.target.clone()))));
        for entry in files.chain(folders).chain(symlinks) {
            let (name, node): (&String, Node) = entry?;
            path::check(name)?;
            if entries.insert(name.clone(), node).is_some() {
                return Err(error(
                    ErrorKind::Corrupt,
                    format!("a tree of files has `{}` twice", bounded(name)),
                ));
            }
        }
        *folder = Folder::Open(entries);
    }
    match folder {
        Folder::Open(entries) => Ok(entries),
        Folder::Same(digest) => Err(error(
            ErrorKind::Corrupt,
            format!("directory {digest} could not be opened"),
        )),
    }
}

/// Encodes a directory and what is below it, as far as it is not as it was. That is put into `kept`.
fn encode(
    folder: &Folder,
    directories: &mut BTreeMap<BlobDigest, Bytes>,
    kept: &mut Vec<BlobDigest>,
) -> BlobDigest {
    let entries = match folder {
        Folder::Same(digest) => {
            kept.push(*digest);
            return *digest;
        }
        Folder::Open(entries) => entries,
    };
    let mut directory = proto::Directory::default();
    // The map is in the order that REAPI asks for: by name, as bytes.
    for (name, node) in entries {
        let name = name.clone();
        match node {
            Node::File(digest, executable) => directory.files.push(proto::FileNode {
                name,
                digest: Some((*digest).into()),
                is_executable: *executable,
                ..proto::FileNode::default()
            }),
            Node::Symlink(target) => directory.symlinks.push(proto::SymlinkNode {
                name,
                target: target.clone(),
                ..proto::SymlinkNode::default()
            }),
            Node::Folder(folder) => directory.directories.push(proto::DirectoryNode {
                name,
                digest: Some(encode(folder, directories, kept).into()),
            }),
        }
    }
    let bytes = Bytes::from(directory.encode_to_vec());
    let digest = BlobDigest::of(&bytes);
    directories.insert(digest, bytes);
    digest
}
