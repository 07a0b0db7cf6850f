//! Actions that are not waited for until they are done.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{connected, execute, patient, until};
use crate::fake::messages as proto;
use crate::fake::{Options, Step, completed};
use crate::{BlobDigest, ErrorKind, ExecuteOptions};

fn action() -> BlobDigest {
    BlobDigest::of("action")
}

#[tokio::test]
async fn what_is_queued_too_long_is_cancelled() {
    let (fake, client) = connected(Options::default()).await;
    fake.state().work(|_, _| vec![Step::Queued, Step::Wait]);
    let options = ExecuteOptions {
        deadline_in_queue: Duration::from_millis(100),
        ..patient()
    };
    let error = execute(&client, &action(), &options).await.0.unwrap_err();
    assert_eq!(error.kind, ErrorKind::QueueTimeout);
    assert!(error.hint.unwrap().contains("properties"));
    assert_eq!(fake.state().cancelled().len(), 1);
    // Time with a worker does not count.
    fake.state().work(|_, _| {
        let mut steps = vec![Step::Queued, Step::Executing("slow"), Step::Wait];
        steps.extend(completed(proto::ActionResult::default()));
        steps
    });
    let state = std::sync::Arc::clone(fake.state());
    let action = action();
    let outcome = tokio::join!(execute(&client, &action, &options), async {
        until("a worker has it", || state.said("operations/1") == 2).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        state.proceed();
    });
    assert_eq!(outcome.0.0.unwrap().result.exit_code, 0);
}

#[tokio::test]
async fn an_action_that_goes_on_for_ever_is_given_up() {
    let (fake, client) = connected(Options::default()).await;
    fake.state()
        .work(|_, _| vec![Step::Executing("stuck"), Step::Wait]);
    let options = ExecuteOptions {
        deadline: Duration::from_millis(200),
        ..patient()
    };
    let error = execute(&client, &action(), &options).await.0.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Overdue);
    assert_eq!(fake.state().cancelled().len(), 1);
}

#[tokio::test]
async fn who_stops_waiting_cancels_the_action() {
    let (fake, client) = connected(Options::default()).await;
    fake.state()
        .work(|_, _| vec![Step::Executing("w"), Step::Wait]);
    let heard = CancellationToken::new();
    let hear = heard.clone();
    let task = tokio::spawn(async move {
        let observe = |_| hear.cancel();
        client
            .execute(&action(), &patient(), &observe, &CancellationToken::new())
            .await
    });
    heard.cancelled().await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    until("it is cancelled", || {
        fake.state().cancelled() == ["operations/0"]
    })
    .await;
}
