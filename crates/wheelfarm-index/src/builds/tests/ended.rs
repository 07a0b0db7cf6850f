//! What is said of jobs once a build is over.

use wheelfarm_build::{Event, Stage};

use super::*;
use crate::builds::build::{BuildId, BuildState, Ending, JobPhase, Ticket};
use crate::builds::request::BuildRequest;
use crate::registry::Actor;

/// The phases of jobs after a build that ended with `state`: one that was through, one that was at it, and one that had
/// not begun.
fn phases(state: BuildState) -> Vec<JobPhase> {
    let ticket = Ticket::new(
        BuildId::of([0; 8]),
        BuildRequest::default(),
        "somebody".to_owned(),
        Actor::Operator,
        DateTime::UNIX_EPOCH,
        CancellationToken::new(),
    );
    let job = |name: &str| name.to_owned();
    for event in [
        // The resolution of a cell has no end of its own.
        Event::Stage {
            job: job("cell"),
            stage: Stage::Resolve,
        },
        Event::Took {
            job: job("cell"),
            stage: Stage::Resolve,
            seconds: 1.0,
        },
        Event::Stage {
            job: job("demo"),
            stage: Stage::Build,
        },
        Event::Planned { job: job("later") },
    ] {
        ticket.on(event, 1.0);
    }
    let ending = Ending {
        state,
        published: Vec::new(),
        failures: Vec::new(),
        hint: None,
        exit: 0,
    };
    ticket.end(ending, DateTime::UNIX_EPOCH);
    let view = ticket.view(true);
    view.jobs.iter().map(|job| job.phase).collect()
}

#[test]
fn nothing_runs_when_a_build_is_over() {
    use JobPhase::{Done, Failed, Planned};
    assert_eq!(phases(BuildState::Cancelled), [Done, Failed, Planned]);
    assert_eq!(phases(BuildState::Failed), [Done, Failed, Planned]);
    assert_eq!(phases(BuildState::Done), [Done, Done, Planned]);
}
