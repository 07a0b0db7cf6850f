//! What a root has that is no matter of its image: what engines put into every container, and where actions expect
//! things. With it out of the way the same image is the same tree, whatever engine exported it.

use std::io;

use wheelfarm_build::action::{INPUT_DIR, TOOL_DIR, WORK_DIR};
use wheelfarm_reapi::BlobDigest;
use wheelfarm_types::Digest;

use super::read::{Contents, Node};
use super::spool::Spool;

/// Directories whose content nobody sees while an action runs: other file systems are mounted there.
const HIDDEN: [&str; 7] = ["/dev", "/proc", "/run", "/sys", "/tmp", INPUT_DIR, WORK_DIR];
/// Directories that are there beside them.
const PRESENT: [&str; 1] = [TOOL_DIR];
/// What engines put into containers, and no image.
const ENGINES: &str = ".dockerenv";
/// Files that engines write anew for every container. The host name is the one that containers of actions get;
/// without a network there is nobody else to find.
const WRITTEN: [(&str, &str); 3] = [
    ("etc/hostname", "wheelfarm\n"),
    (
        "etc/hosts",
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n",
    ),
    ("etc/resolv.conf", ""),
];
/// A link that engines make.
const MOUNTED: (&str, &str) = ("etc/mtab", "/proc/mounts");

/// Makes the root of an image out of the file system of a container.
pub(super) fn settle(contents: &mut Contents, spool: &Spool) -> io::Result<()> {
    let hidden = HIDDEN.map(|path| path.trim_start_matches('/'));
    let nodes = &mut contents.nodes;
    nodes.retain(|path, _| {
        let first = path.split('/').next().unwrap_or_default();
        !hidden.contains(&first) && path != ENGINES
    });
    for path in HIDDEN {
        nodes.insert(path.trim_start_matches('/').to_owned(), Node::Directory);
    }
    for path in PRESENT {
        let path = path.trim_start_matches('/').to_owned();
        nodes.entry(path).or_insert(Node::Directory);
    }
    for (path, text) in WRITTEN {
        let digest = BlobDigest {
            hash: Digest::of(text),
            size: text.len() as u64,
        };
        let offset = spool.append(text.as_bytes())?;
        contents.offsets.entry(digest).or_insert(offset);
        let executable = false;
        nodes.insert(path.to_owned(), Node::File { digest, executable });
    }
    nodes.insert(MOUNTED.0.to_owned(), Node::Link(MOUNTED.1.to_owned()));
    Ok(())
}
