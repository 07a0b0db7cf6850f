//! Storage that forgets: inputs are sent again, and what was made without them counts for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wheelfarm_build::action::{ExecutorErrorKind, Exit};
use wheelfarm_reapi::BlobDigest;

use crate::support::{Cluster, INPUT, broken, success};

fn input() -> BlobDigest {
    BlobDigest::of(INPUT)
}

#[tokio::test]
async fn an_engine_that_fails_for_want_of_inputs_gets_them_again_whatever_it_says() {
    for (code, message) in [
        (
            5,
            "The tree is not available in the local CAS or incomplete",
        ),
        (9, "inputs are gone"),
        (13, "execute() threw: Error staging"),
    ] {
        let cluster = Cluster::start().await;
        let state = cluster.fake.state();
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&tries);
        state.work(move |state, _| {
            if counted.fetch_add(1, Ordering::SeqCst) > 0 {
                assert!(state.blob(&input()).is_some(), "it was not sent again");
                return success(state);
            }
            state.expire(&input());
            broken(code, message)
        });
        let action = cluster.action().await;
        let result = cluster.run(&action).await.unwrap();
        assert_eq!(result.exit, Exit::Code(0), "{code}");
        assert_eq!(tries.load(Ordering::SeqCst), 2, "{code}");
    }
}

#[tokio::test]
async fn a_success_whose_inputs_were_forgotten_meanwhile_is_void() {
    let cluster = Cluster::start().await;
    let state = cluster.fake.state();
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    state.work(move |state, _| {
        if counted.fetch_add(1, Ordering::SeqCst) == 0 {
            state.expire(&input());
        }
        success(state)
    });
    let action = cluster.action().await;
    cluster.run(&action).await.unwrap();
    assert_eq!(tries.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn storage_that_forgets_each_time_is_an_error_that_says_so() {
    let cluster = Cluster::start().await;
    cluster.fake.state().work(|state, _| {
        state.expire(&input());
        success(state)
    });
    let action = cluster.action().await;
    let error = cluster.run(&action).await.unwrap_err();
    assert!(error.message.contains("forgot"), "{error}");
    assert_eq!(error.kind, ExecutorErrorKind::Engine);
    assert_eq!(cluster.fake.state().count("Execute"), 3);
}

#[tokio::test]
async fn an_engine_that_is_broken_is_not_asked_for_the_same_for_ever() {
    let cluster = Cluster::start().await;
    let state = cluster.fake.state();
    state.work(|_, _| broken(13, "the runner died"));
    let action = cluster.action().await;
    let error = cluster.run(&action).await.unwrap_err();
    // Who asked decides whether to ask again.
    assert_eq!(error.kind, ExecutorErrorKind::Lost);
    assert!(error.kind.passes());
    assert!(error.message.contains("the runner died"), "{error}");
    assert_eq!(state.count("Execute"), 1);
}
