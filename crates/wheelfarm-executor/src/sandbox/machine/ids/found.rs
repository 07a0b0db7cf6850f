//! The ids that whoever runs this may use: what `/etc/subuid` and `/etc/subgid` say.

use super::{Extent, Ids};
use crate::sandbox::machine::runtime::tool;

/// How many ids an image may use: 65534 is `nobody`.
const WANTED: u32 = 65_536;
/// Where root's ids begin if `/etc/subuid` does not say: above what distributions give to users.
const BASE: u32 = 1_879_048_192;
/// The kernel's own bound is 340 lines; nobody has that many.
const MAX_EXTENTS: usize = 100;

/// What to try in order, and why what would be better is not in it.
#[derive(Debug)]
pub(in crate::sandbox::machine) struct Candidates {
    pub(in crate::sandbox::machine) ids: Vec<Ids>,
    pub(in crate::sandbox::machine) note: Option<String>,
}

/// The candidates for whoever runs this.
pub(in crate::sandbox::machine) fn candidates() -> Candidates {
    let user = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    let read = |path: &str| fs_err::read_to_string(path).unwrap_or_default();
    let names = names(user, &read("/etc/passwd"));
    let subordinate = |path: &str| subordinate(&read(path), &names);
    let (users, groups) = (subordinate("/etc/subuid"), subordinate("/etc/subgid"));
    if user == 0 {
        let single = Ids::Single { user, group };
        let (all_users, all_groups) = (
            mapped(&read("/proc/self/uid_map")),
            mapped(&read("/proc/self/gid_map")),
        );
        let first = if all_users.min(all_groups) == u32::MAX {
            Ids::Range {
                users: range(None, &users).unwrap_or_else(|| whole(BASE)),
                groups: range(None, &groups).unwrap_or_else(|| whole(BASE)),
            }
        } else if all_users.min(all_groups) >= WANTED {
            // This is root of a container, and what it has is its own already.
            Ids::Range {
                users: whole(0),
                groups: whole(0),
            }
        } else {
            return Candidates {
                ids: vec![single],
                note: Some("this container has too few ids itself".to_owned()),
            };
        };
        return Candidates {
            // The last is for root of a container that may do little more than others.
            ids: vec![first, Ids::Identity, single],
            note: None,
        };
    }
    let mut ids = Vec::new();
    let mut note = None;
    let name = names.first().cloned().unwrap_or_default();
    match (range(Some(user), &users), range(Some(group), &groups)) {
        (Some(users), Some(groups)) if tool("newuidmap").is_some() => {
            ids.push(Ids::Range { users, groups });
        }
        (Some(_), Some(_)) => {
            note = Some("newuidmap is not installed: Debian's package uidmap has it".to_owned());
        }
        _ => {
            note = Some(format!(
                "/etc/subuid and /etc/subgid have no {WANTED} ids for {name}: \
                 `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}` as root gives some"
            ));
        }
    }
    ids.push(Ids::Single { user, group });
    Candidates { ids, note }
}

/// Under which names `/etc/subuid` may have the user: by name and by number.
fn names(user: u32, passwd: &str) -> Vec<String> {
    let number = user.to_string();
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    named.into_iter().chain([number]).collect()
}

/// First id and count of each line of `/etc/subuid` or `/etc/subgid` that is for one of `names`.
fn subordinate(text: &str, names: &[String]) -> Vec<(u32, u32)> {
    let line = |line: &str| {
        let mut fields = line.trim().split(':');
        let name = fields.next()?;
        if !names.iter().any(|wanted| wanted == name) {
            return None;
        }
        let first: u32 = fields.next()?.parse().ok()?;
        let count: u32 = fields.next()?.parse().ok()?;
        first.checked_add(count)?;
        (count > 0).then_some((first, count))
    };
    text.lines().filter_map(line).take(MAX_EXTENTS).collect()
}

/// How many ids from 0 on exist here, from the text of `/proc/self/uid_map`.
fn mapped(map: &str) -> u32 {
    let mut numbers = map.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.nth(1)) {
        (Some(Ok(0)), Some(Ok(count))) => {
            let lines = map.lines().skip(1).filter_map(|line| {
                let mut numbers = line.split_whitespace().map(str::parse::<u32>);
                Some((numbers.next()?.ok()?, numbers.nth(1)?.ok()?))
            });
            lines.fold(count, |end, (inside, count)| {
                if inside == end {
                    end.saturating_add(count)
                } else {
                    end
                }
            })
        }
        _ => 0,
    }
}

/// As many ids as wanted, from `outside` on.
fn whole(outside: u32) -> Vec<Extent> {
    vec![Extent {
        inside: 0,
        outside,
        count: WANTED,
    }]
}

/// Maps ids from 0 on: the first to `own`, if given. None if they are too few.
fn range(own: Option<u32>, found: &[(u32, u32)]) -> Option<Vec<Extent>> {
    let mut extents = Vec::new();
    let mut inside = 0;
    for (outside, count) in own
        .map(|own| (own, 1))
        .into_iter()
        .chain(found.iter().copied())
    {
        let count = count.min(WANTED - inside);
        if count > 0 {
            extents.push(Extent {
                inside,
                outside,
                count,
            });
        }
        inside += count;
    }
    (inside == WANTED).then_some(extents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_by_name_and_by_number() {
        let passwd = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n";
        let names = names(1000, passwd);
        assert_eq!(names, ["ann", "1000"]);
        let text = "bob:1:2\nann:100000:65536\n1000:300000:10\nann:x:1\nann:5\nann:4294967295:2\nann:7:0\n";
        assert_eq!(
            subordinate(text, &names),
            [(100_000, 65_536), (300_000, 10)]
        );
    }

    #[test]
    fn somebody_unknown_has_a_number_still() {
        assert_eq!(names(7, "broken\n\n"), ["7"]);
    }

    #[test]
    fn a_containers_own_ids_are_counted() {
        assert_eq!(mapped("         0          0 4294967295\n"), u32::MAX);
        assert_eq!(mapped("0 1000 1\n1 100000 65536\n"), 65_537);
        assert_eq!(mapped("0 1000 1\n5 100000 65536\n"), 1);
        assert_eq!(mapped("5 0 10\n"), 0);
        assert_eq!(mapped(""), 0);
    }

    #[test]
    fn ranges_are_put_together_from_0_on() {
        let extent = |inside, outside, count| Extent {
            inside,
            outside,
            count,
        };
        assert_eq!(
            range(Some(1000), &[(100_000, 65_536)]).unwrap(),
            [extent(0, 1000, 1), extent(1, 100_000, 65_535)]
        );
        assert_eq!(
            range(None, &[(5, 65_000), (90_000, 9_000)]).unwrap(),
            [extent(0, 5, 65_000), extent(65_000, 90_000, 536)]
        );
        assert_eq!(range(Some(1000), &[(100_000, 65_534)]), None);
        assert_eq!(range(Some(1000), &[]), None);
    }
}
