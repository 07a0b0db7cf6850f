//! Which build requirement is wanted for what: so that a cycle is told from work.

use wheelfarm_types::{ProjectName, Version};

use super::Job;
use crate::error::{JobError, JobErrorKind};

/// No build needs so many builds one after the other; an index that says so has no end.
const LONGEST: usize = 40;

/// A job, and the jobs whose build requirement it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chain<'a> {
    job: &'a Job,
    outer: Option<&'a Chain<'a>>,
}

impl<'a> Chain<'a> {
    /// `job` at the end of `outer`.
    pub(super) fn new(job: &'a Job, outer: Option<&'a Chain<'a>>) -> Self {
        Self { job, outer }
    }

    /// An error if `project` cannot be built for the end of the chain: since it waits for that itself.
    pub(super) fn check(&self, project: &ProjectName, version: &Version) -> Result<(), JobError> {
        let mut links: Vec<_> = std::iter::successors(Some(self), |chain| chain.outer)
            .map(|chain| (&chain.job.package.name, &chain.job.package.version))
            .collect();
        links.reverse();
        let length = links.len();
        let begin = links.iter().position(|link| *link == (project, version));
        let (begin, what, hint) = match begin {
            Some(begin) => (
                begin,
                "build requirements that have no wheel lead back to where they began",
                "one of them must come as a wheel: put one into an index that is asked, or find a version that has one and pin it with `build-requires`",
            ),
            None if length >= LONGEST => (0, "build requirements that have no wheel never end", ""),
            None => return Ok(()),
        };
        let chain: Vec<_> = links
            .iter()
            .skip(begin)
            .chain(std::iter::once(&(project, version)))
            .map(|(project, version)| format!("{project} {version}"))
            .collect();
        let error = JobError::new(
            JobErrorKind::Package,
            format!("{}: {what}: {}", self.job.id(), chain.join(" -> ")),
        );
        Err(error.with_hint((!hint.is_empty()).then(|| hint.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wheelfarm_resolve::LockedPackage;
    use wheelfarm_types::Arch;

    use super::*;
    use crate::catalogue::Catalogue;
    use crate::matrix::{Selection, select};
    use crate::pipeline::{Choice, Purpose};

    fn job(name: &str) -> Job {
        let catalogue = Catalogue::builtin(Arch::X86_64);
        let images = ["debian-12".to_owned()].to_vec();
        let selection = Selection {
            images,
            ..Selection::default()
        };
        let cell = select(&catalogue, &[], &selection).unwrap().remove(0);
        Job {
            package: LockedPackage {
                name: name.parse().unwrap(),
                version: "1".parse().unwrap(),
                sdist: None,
                wheels: Vec::new(),
                source: None,
            },
            cell: Arc::new(cell),
            choice: Choice::Reuse,
            purpose: Purpose::Wanted,
        }
    }

    fn check(jobs: &[Job], next: &Job) -> Result<(), JobError> {
        fn link(jobs: &[Job], outer: Option<&Chain<'_>>, next: &Job) -> Result<(), JobError> {
            match (jobs, outer) {
                ([job, rest @ ..], _) => link(rest, Some(&Chain::new(job, outer)), next),
                ([], Some(chain)) => chain.check(&next.package.name, &next.package.version),
                ([], None) => Ok(()),
            }
        }
        link(jobs, None, next)
    }

    #[test]
    fn a_cycle_is_named_from_where_it_begins() {
        let jobs = ["wanted", "a", "b"].map(job);
        check(&jobs, &job("c")).unwrap();
        let error = check(&jobs, &job("a")).unwrap_err();
        assert!(
            error.message.ends_with(": a 1 -> b 1 -> a 1"),
            "{}",
            error.message
        );
        assert!(error.hint.is_some());
        let other = Job {
            package: LockedPackage {
                version: "2".parse().unwrap(),
                ..job("a").package
            },
            ..job("a")
        };
        // An older version may well build a newer one, as back ends do.
        check(&jobs, &other).unwrap();
    }

    #[test]
    fn a_chain_without_end_is_one() {
        let jobs: Vec<_> = (0..LONGEST).map(|n| job(&format!("p{n}"))).collect();
        check(jobs.get(1..).unwrap(), &job("next")).unwrap();
        let error = check(&jobs, &job("next")).unwrap_err();
        assert!(error.message.contains("never end"), "{}", error.message);
    }
}
