//! Uploads that come many at once, and while the server is killed: into a directory, and into a bucket.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, Mutex, mpsc};

use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::server::Server;
use wheelfarm_tests::shelf::SmallWheel;
use wheelfarm_tests::uploaders::{Upload, listed, whole};

use crate::crashes::Random;
use crate::s3::{bucket, machine};
use crate::support::{needs_docker, store_is_whole};
use crate::uploads::writing;

/// How often a server is killed.
const KILLS: usize = 20;

#[test]
fn two_hundred_uploads_at_once_are_all_taken() {
    all_are_taken(&Farm::new().unwrap());
}

#[test]
fn two_hundred_uploads_at_once_are_all_taken_on_a_bucket() {
    needs_docker!();
    let (s3, address, _) = bucket("crowd");
    all_are_taken(&machine(&s3, &address));
}

#[test]
fn after_kill_nine_what_was_acknowledged_is_whole() {
    what_was_acknowledged_is_whole(&Farm::new().unwrap());
}

#[test]
fn after_kill_nine_what_was_acknowledged_is_whole_on_a_bucket() {
    needs_docker!();
    let (s3, address, _) = bucket("killed");
    what_was_acknowledged_is_whole(&machine(&s3, &address));
}

fn all_are_taken(farm: &Farm) {
    let token = writing(farm);
    let server = Server::start(farm, &[]).unwrap();
    // The last one comes fifty times.
    let uploads: Vec<_> = (0..200)
        .map(|number| SmallWheel::new("wfmany", &format!("{}.0", number.min(150))).weighing(50_000))
        .map(|wheel| Upload::of(&wheel).unwrap())
        .collect();
    let start = Barrier::new(uploads.len());
    std::thread::scope(|scope| {
        for upload in &uploads {
            scope.spawn(|| {
                start.wait();
                let answer = upload.send(server.address(), "/legacy/", &token).unwrap();
                let text = String::from_utf8_lossy(&answer.body);
                assert_eq!(answer.status, 200, "{}: {text}", upload.filename());
            });
        }
    });
    let wanted: BTreeSet<_> = uploads.iter().map(Upload::filename).collect();
    let there = whole(server.address(), "wfmany").unwrap();
    assert_eq!(there.len(), 151);
    assert_eq!(wanted, there.iter().map(String::as_str).collect());
    drop(server);
    store_is_whole(farm);
}

/// Sends uploads, four at a time, until they are done or the server has got `point` bytes and is killed. Those that it
/// said it has taken.
fn upload_until(server: Server, token: &str, uploads: &[Upload], point: u64) -> Vec<String> {
    let address = server.address().to_owned();
    let (sent, waiting) = (AtomicU64::new(0), Mutex::new(uploads.iter()));
    let acknowledged = Mutex::new(Vec::new());
    let (reached, when) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let reached = reached.clone();
            let (address, sent, waiting, acknowledged) = (&address, &sent, &waiting, &acknowledged);
            scope.spawn(move || {
                let count = |bytes| {
                    let before = sent.fetch_add(bytes, Ordering::SeqCst);
                    if before <= point && point < before + bytes {
                        reached.send(()).unwrap();
                    }
                };
                loop {
                    let next = waiting.lock().unwrap().next();
                    let Some(upload) = next else { break };
                    let Ok(answer) = upload.send_counting(address, "/legacy/", token, count) else {
                        // The server is gone.
                        continue;
                    };
                    let text = String::from_utf8_lossy(&answer.body);
                    assert_eq!(answer.status, 200, "{text}");
                    let name = upload.filename().to_owned();
                    acknowledged.lock().unwrap().push(name);
                }
            });
        }
        // Nobody waits for what nobody will send.
        drop(reached);
        when.recv().unwrap();
        server.kill().unwrap();
    });
    acknowledged.into_inner().unwrap()
}

fn what_was_acknowledged_is_whole(farm: &Farm) {
    let token = writing(farm);
    let mut random = Random::new();
    let (mut acknowledged, mut lost) = (BTreeSet::new(), Vec::new());
    for round in 0..KILLS {
        let uploads: Vec<_> = (0..10)
            .map(|number| {
                SmallWheel::new("wfkill", &format!("{round}.{number}"))
                    .weighing(100_000 + number * 200_000)
            })
            .map(|wheel| Upload::of(&wheel).unwrap())
            .collect();
        let point = random.below(uploads.iter().map(Upload::size).sum());
        let server = Server::start(farm, &[]).unwrap();
        let there = listed(server.address(), "wfkill").unwrap();
        let missing = acknowledged.iter().find(|name| !there.contains_key(*name));
        assert_eq!(missing, None, "round {round}");
        let taken = upload_until(server, &token, &uploads, point);
        acknowledged.extend(taken);
        let unheard = |upload: &Upload| !acknowledged.contains(upload.filename());
        lost.extend(uploads.into_iter().filter(unheard));
    }
    // Some were, some were not: else nothing was tried.
    assert!(!acknowledged.is_empty() && lost.len() > KILLS / 2);
    let server = Server::start(farm, &[]).unwrap();
    let there = whole(server.address(), "wfkill").unwrap();
    let missing = acknowledged.iter().find(|name| !there.contains(name));
    assert_eq!(missing, None);
    // Whoever was not told tries again.
    for upload in &lost {
        let answer = upload.send(server.address(), "/legacy/", &token).unwrap();
        assert_eq!(answer.status, 200, "{}", upload.filename());
    }
    assert_eq!(whole(server.address(), "wfkill").unwrap().len(), 10 * KILLS);
    drop(server);
    store_is_whole(farm);
}
