//! What an archive says of an entry beside its content: owner, permissions, time, extended attributes.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat, fchmod, fchown,
    fsetxattr, futimens, utimensat,
};
use rustix::io::Errno;
use tar::Entry;

/// Before the name of an extended attribute in a PAX header.
const XATTR: &str = "SCHILY.xattr.";

/// Whether owners are what the archive says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owners {
    /// Yes.
    AsGiven,
    /// No, there is only one user here, and everything is his.
    Ours,
}

impl Owners {
    /// What is possible for this process.
    pub(super) fn here() -> Self {
        let map = fs_err::read_to_string("/proc/self/uid_map").unwrap_or_default();
        Self::of_map(&map)
    }

    /// By the map of users: a line `inside outside length` for each range.
    fn of_map(map: &str) -> Self {
        let lengths = map
            .lines()
            .filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok());
        if lengths.sum::<u64>() == 1 {
            Self::Ours
        } else {
            Self::AsGiven
        }
    }
}

/// What is set on an entry once it is there.
#[derive(Debug, Clone)]
pub(super) struct Meta {
    mode: u32,
    user: u32,
    group: u32,
    time: i64,
    xattrs: Vec<(String, Vec<u8>)>,
}

impl Meta {
    pub(super) fn of<R: Read>(entry: &mut Entry<'_, R>) -> io::Result<Self> {
        let id = |id: u64| {
            // The highest one means "no change" to the kernel.
            let id = u32::try_from(id).ok().filter(|id| *id != u32::MAX);
            id.ok_or_else(|| io::Error::other("it has an owner that cannot be"))
        };
        let header = entry.header();
        let old = header.as_old();
        let mut meta = Self {
            mode: header.mode()? & 0o7777,
            user: id(number(header.uid(), &old.uid)?)?,
            group: id(number(header.gid(), &old.gid)?)?,
            time: i64::try_from(number(header.mtime(), &old.mtime)?).unwrap_or(0),
            xattrs: Vec::new(),
        };
        if let Some(extensions) = entry.pax_extensions()? {
            for extension in extensions {
                let extension = extension?;
                if let Some(name) = extension.key().ok().and_then(|key| key.strip_prefix(XATTR))
                    && is_wanted(name)
                {
                    let value = extension.value_bytes().to_owned();
                    meta.xattrs.push((name.to_owned(), value));
                }
            }
        }
        Ok(meta)
    }

    /// Sets everything on an open file or directory. Owners first: setting them clears bits of the mode and attributes.
    pub(super) fn set(&self, file: &OwnedFd, owners: Owners) -> io::Result<()> {
        if owners == Owners::AsGiven {
            fchown(file, Some(self.user()), Some(self.group())).map_err(unmapped)?;
        }
        for (name, value) in &self.xattrs {
            match fsetxattr(file, name.as_str(), value, XattrFlags::empty()) {
                // Not every file system has them, and not every one may be set by a user of a namespace.
                Ok(()) | Err(Errno::PERM | Errno::OPNOTSUPP | Errno::ACCESS | Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
        fchmod(file, Mode::from_raw_mode(self.mode))?;
        Ok(futimens(file, &self.times())?)
    }

    /// Sets what can be set by name on what is no file and no directory.
    pub(super) fn set_by_name(
        &self,
        parent: impl AsFd,
        name: &OsStr,
        is_link: bool,
        owners: Owners,
    ) -> io::Result<()> {
        let (parent, name) = (parent.as_fd(), name.as_bytes());
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        if owners == Owners::AsGiven {
            let (user, group) = (Some(self.user()), Some(self.group()));
            chownat(parent, name, user, group, flags).map_err(unmapped)?;
        }
        if !is_link {
            chmodat(
                parent,
                name,
                Mode::from_raw_mode(self.mode),
                AtFlags::empty(),
            )?;
        }
        Ok(utimensat(parent, name, &self.times(), flags)?)
    }

    fn user(&self) -> Uid {
        Uid::from_raw(self.user)
    }

    fn group(&self) -> Gid {
        Gid::from_raw(self.group)
    }

    fn times(&self) -> Timestamps {
        let time = Timespec {
            tv_sec: self.time,
            tv_nsec: 0,
        };
        Timestamps {
            last_access: time,
            last_modification: time,
        }
    }
}

/// What is read of a field, where one that was left empty stands for nothing.
fn number(read: io::Result<u64>, field: &[u8]) -> io::Result<u64> {
    match read {
        Err(_) if field.iter().all(|byte| matches!(byte, 0 | b' ')) => Ok(0),
        read => read,
    }
}

/// An owner that the sandbox has no number for.
fn unmapped(error: Errno) -> io::Error {
    if error == Errno::INVAL {
        io::Error::other(
            "its owner's number is higher than those that this user has in /etc/subuid and /etc/subgid",
        )
    } else {
        error.into()
    }
}

/// Whether an extended attribute belongs to the file: `trusted.` ones are the host's, and those of overlay file systems
/// would tell ours to show something else than what is there.
fn is_wanted(name: &str) -> bool {
    !name.starts_with("trusted.") && !name.contains("overlay.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_cannot_give_anything_to_another() {
        assert_eq!(Owners::of_map("0 1000 1\n"), Owners::Ours);
        assert_eq!(
            Owners::of_map("         0          0 4294967295\n"),
            Owners::AsGiven
        );
        assert_eq!(
            Owners::of_map("0 1000 1\n1 100000 65536\n"),
            Owners::AsGiven
        );
    }

    #[test]
    fn attributes_that_change_what_others_see_are_left_out() {
        assert!(is_wanted("user.mine"));
        assert!(is_wanted("security.capability"));
        assert!(!is_wanted("user.overlay.opaque"));
        assert!(!is_wanted("trusted.overlay.redirect"));
    }
}
