//! Executing actions, with connections that break and servers that restart.

use std::sync::Arc;
use std::time::Duration;

use tonic::Status;

use super::{connected, execute, patient, until};
use crate::fake::messages as proto;
use crate::fake::{Break, Options, Step, completed};
use crate::{BlobDigest, Client, ErrorKind, ExecuteOptions, Progress};

fn action() -> BlobDigest {
    BlobDigest::of("action")
}

#[tokio::test]
async fn a_broken_stream_is_followed_again() {
    for how in [
        Break::End,
        Break::Status(Status::unavailable("going away")),
        Break::Status(Status::cancelled("shutting down")),
    ] {
        for after in [1, 2] {
            let (fake, client) = connected(Options::default()).await;
            fake.state().work(|_, _| {
                let mut steps = vec![Step::Queued, Step::Executing("w"), Step::Wait];
                steps.extend(completed(proto::ActionResult::default()).pop());
                steps
            });
            fake.state().break_stream(after, how.clone());
            fake.state().break_stream(1, how.clone());
            let (action, options) = (action(), patient());
            let ((executed, told), ()) = tokio::join!(execute(&client, &action, &options), async {
                until("it is followed again", || {
                    fake.state().count("WaitExecution") == 2
                })
                .await;
                fake.state().proceed();
            });
            let executed = executed.unwrap();
            assert_eq!(
                (executed.attempts, executed.reconnections),
                (1, 2),
                "{how:?} {after}"
            );
            assert_eq!(fake.state().count("WaitExecution"), 2);
            // Nobody hears of it twice.
            assert!(told.windows(2).all(|pair| pair[0] != pair[1]), "{told:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_before_its_first_message_is_opened_again() {
    let (fake, client) = connected(Options::default()).await;
    fake.state().break_stream(0, Break::End);
    fake.state()
        .fail_next("Execute", Status::unavailable("not yet"));
    let executed = execute(&client, &action(), &patient()).await.0.unwrap();
    assert_eq!((executed.attempts, executed.reconnections), (3, 2));
    assert_eq!(fake.state().count("WaitExecution"), 0);
}

#[tokio::test]
async fn an_action_survives_a_restart_of_the_server() {
    let (mut fake, client) = connected(Options::default()).await;
    fake.state().work(|_, _| {
        let mut steps = vec![Step::Executing("w"), Step::Wait];
        steps.extend(completed(proto::ActionResult::default()));
        steps
    });
    let task = tokio::spawn(async move { execute(&client, &action(), &patient()).await });
    let state = Arc::clone(fake.state());
    until("it is under way", || state.said("operations/0") == 1).await;
    fake.stop();
    fake.resume();
    until("it is followed again", || state.count("WaitExecution") > 0).await;
    fake.state().proceed();
    let executed = task.await.unwrap().0.unwrap();
    assert_eq!((executed.attempts, executed.cached), (1, false));
    assert_eq!(executed.operation, "operations/0");
}

#[tokio::test]
async fn an_action_that_the_server_forgot_is_handed_in_again() {
    let (mut fake, client) = connected(Options::default()).await;
    fake.state()
        .work(|_, _| vec![Step::Executing("w"), Step::Wait]);
    let task = tokio::spawn(async move { execute(&client, &action(), &patient()).await });
    let state = Arc::clone(fake.state());
    until("it is under way", || state.said("operations/0") == 1).await;
    fake.stop();
    state.forget_operations();
    state.work(|_, _| completed(proto::ActionResult::default()));
    fake.resume();
    let executed = task.await.unwrap().0.unwrap();
    assert_eq!(executed.attempts, 2);
    // It is not the old one that would be cancelled.
    assert_eq!(state.count("CancelOperation"), 0);
}

#[tokio::test]
async fn a_result_that_is_not_to_be_taken_is_not_taken_by_who_hands_in_again() {
    let (fake, client) = connected(Options::default()).await;
    let void = proto::ActionResult {
        exit_code: 7,
        ..proto::ActionResult::default()
    };
    fake.state().put_result(&action(), void);
    fake.state().break_stream(1, Break::End);
    fake.state()
        .fail_next("WaitExecution", Status::not_found("what is that"));
    let options = ExecuteOptions {
        skip_cache_lookup: true,
        ..patient()
    };
    let executed = execute(&client, &action(), &options).await.0.unwrap();
    assert_eq!((executed.attempts, executed.cached), (2, false));
    assert_eq!(executed.result.exit_code, 0);
}

#[tokio::test]
async fn a_server_without_wait_execution_is_asked_to_execute_again() {
    let (fake, client) = connected(Options::default()).await;
    fake.state().break_stream(1, Break::End);
    fake.state()
        .fail_next("WaitExecution", Status::unimplemented("what is that"));
    let executed = execute(&client, &action(), &patient()).await.0.unwrap();
    assert_eq!(executed.attempts, 2);
}

#[tokio::test]
async fn a_server_that_forgets_every_time_is_given_up() {
    let (fake, client) = connected(Options::default()).await;
    fake.state()
        .work(|_, _| vec![Step::Executing("w"), Step::Wait]);
    for _ in 0..30 {
        fake.state().break_stream(1, Break::End);
        fake.state()
            .fail_next("WaitExecution", Status::not_found("what was that"));
    }
    let error = execute(&client, &action(), &patient()).await.0.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Infrastructure);
}

#[tokio::test]
async fn patience_with_a_server_that_is_away_ends() {
    let (mut fake, _) = connected(Options::default()).await;
    let mut settings = fake.settings();
    settings.patience = Duration::from_millis(300);
    let client = Client::connect(settings).await.unwrap();
    fake.stop();
    let error = execute(&client, &action(), &patient()).await.0.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
    assert!(error.message.contains(&fake.address()), "{error}");
    let error = client.find_missing(&[action()]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
    // And begins again, when it is back.
    fake.resume();
    assert_eq!(client.find_missing(&[action()]).await.unwrap(), [action()]);
}

#[tokio::test]
async fn more_actions_than_a_connection_has_streams_wait_at_once() {
    let (fake, client) = connected(Options::default()).await;
    fake.state().work(|_, _| {
        let mut steps = vec![Step::Executing("w"), Step::Wait];
        steps.extend(completed(proto::ActionResult::default()));
        steps
    });
    let tasks: Vec<_> = (0..160)
        .map(|number| {
            let client = client.clone();
            let action = BlobDigest::of(format!("action {number}"));
            tokio::spawn(async move { execute(&client, &action, &patient()).await.0 })
        })
        .collect();
    until("all are under way", || fake.state().count("Execute") == 160).await;
    // Other calls do not wait for them.
    client.find_missing(&[action()]).await.unwrap();
    (0..160).for_each(|_| fake.state().proceed());
    for task in tasks {
        let executed = task.await.unwrap().unwrap();
        assert_eq!((executed.attempts, executed.reconnections), (1, 0));
    }
}

#[tokio::test]
async fn the_queue_deadline_goes_on_while_the_connection_breaks() {
    let (fake, client) = connected(Options::default()).await;
    fake.state().work(|_, _| vec![Step::Queued, Step::Wait]);
    fake.state().break_stream(1, Break::End);
    fake.state().break_stream(1, Break::End);
    let options = ExecuteOptions {
        deadline_in_queue: Duration::from_millis(400),
        ..patient()
    };
    let (outcome, told) = execute(&client, &action(), &options).await;
    assert_eq!(outcome.unwrap_err().kind, ErrorKind::QueueTimeout);
    assert_eq!(told, [Progress::Queued]);
    assert_eq!(fake.state().cancelled().len(), 1);
}
