//! Stores on a real S3 server.

use std::io::{Read as _, Write as _};
use std::sync::{Arc, Barrier, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use tempfile::TempDir;
use wheelfarm_store::{CacheSettings, Created, Settings, Store, StoreErrorKind};
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::process::wait_for;
use wheelfarm_tests::s3::S3;
use wheelfarm_tests::server::Server;
use wheelfarm_tests::shelf::SmallWheel;
use wheelfarm_tests::uploaders::{Upload, listed, whole};
use wheelfarm_types::Digest;

use crate::support::needs_docker;
use crate::uploads::writing;

/// Servers on a bucket look at its log every second; a busy machine takes longer.
const SOON: Duration = Duration::from_secs(20);

/// The server of the tests that run now: it ends with the last of them.
static SERVER: Mutex<Weak<S3>> = Mutex::new(Weak::new());

fn server() -> Arc<S3> {
    let mut running = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    running.upgrade().unwrap_or_else(|| {
        let server = Arc::new(S3::start().unwrap());
        *running = Arc::downgrade(&server);
        server
    })
}

/// A new bucket's address, and settings with which it is opened. It is there as long as the server is held.
pub(crate) fn bucket(name: &str) -> (Arc<S3>, String, Settings) {
    let server = server();
    server.make_bucket(name).unwrap();
    let settings = settings(&server);
    (server, format!("s3://{name}/some/prefix"), settings)
}

/// A machine whose store is the bucket at `address`, with a cache of its own.
pub(crate) fn machine(server: &S3, address: &str) -> Farm {
    let farm = Farm::new().unwrap().with("WHEELFARM_STORE", address);
    let settings = server.environment();
    settings
        .iter()
        .fold(farm, |farm, (name, value)| farm.with(name, value))
}

fn settings(server: &S3) -> Settings {
    let options = server.environment();
    Settings {
        options: options
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .to_vec(),
        ..Settings::default()
    }
}

async fn spooled(store: &Store, bytes: &[u8]) -> Created {
    let mut spool = store.spool().unwrap();
    spool.write_all(bytes).unwrap();
    store.put_spooled(spool, &Digest::of(bytes)).await.unwrap()
}

/// As many bytes as one wants, of which no two parts are alike.
fn noise(length: u64) -> Vec<u8> {
    (0..length / 8)
        .flat_map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect()
}

#[tokio::test]
async fn one_of_many_writers_wins() {
    needs_docker!();
    let (_server, address, settings) = bucket("writers");
    let stores: Vec<Store> =
        futures::future::try_join_all((0..8).map(|_| Store::open_with(&address, settings.clone())))
            .await
            .unwrap();
    let key = Digest::of("key");
    for round in 0..5 {
        let kind = format!("round-{round}");
        let created =
            futures::future::try_join_all((0_u8..).zip(&stores).map(|(number, store)| {
                let kind = &kind;
                async move { store.create_record(kind, &key, &number).await }
            }))
            .await
            .unwrap();
        let winners: Vec<_> = (0_u8..)
            .zip(created)
            .filter(|(_, created)| *created == Created::New)
            .collect();
        assert_eq!(winners.len(), 1, "{winners:?}");
        for store in &stores {
            let read = store.record::<u8>(&kind, &key).await.unwrap();
            assert_eq!(read, winners.first().map(|(number, _)| *number));
        }
        assert_eq!(stores[0].records(&kind).await.unwrap(), [key]);
    }
}

#[tokio::test]
async fn large_blobs_travel_in_parts() {
    needs_docker!();
    let (_server, address, settings) = bucket("parts");
    let store = Store::open_with(&address, settings).await.unwrap();
    let bytes = noise(17 << 20);
    let digest = Digest::of(&bytes);
    assert_eq!(spooled(&store, &bytes).await, Created::New);
    assert_eq!(spooled(&store, &bytes).await, Created::Existed);
    assert_eq!(store.size(&digest).await.unwrap(), bytes.len() as u64);
    let (start, end) = (9 << 20, (9 << 20) + 100_000);
    let pieces: Vec<Bytes> = store
        .stream(&digest, start..end)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let range = usize::try_from(start).unwrap()..usize::try_from(end).unwrap();
    assert!(pieces.concat() == bytes[range]);
    assert!(store.get(&digest).await.unwrap() == bytes);
    let absent = store.get(&Digest::of("absent")).await.unwrap_err();
    assert_eq!(absent.kind(), StoreErrorKind::NotFound);
}

#[tokio::test]
async fn a_cache_answers_when_the_server_is_not_asked() {
    needs_docker!();
    let (_server, address, settings) = bucket("tiers");
    let directory = TempDir::new().unwrap();
    let cached = Settings {
        cache: Some(CacheSettings {
            directory: directory.path().to_owned(),
            limit: 8 << 20,
        }),
        ..settings.clone()
    };
    let far = Store::open_with(&address, settings).await.unwrap();
    let near = Store::open_with(&address, cached).await.unwrap();
    let bytes = noise(1 << 20);
    let digest = Digest::of(&bytes);
    spooled(&far, &bytes).await;
    assert!(near.open_file(&digest).unwrap().is_none());
    assert!(near.get(&digest).await.unwrap() == bytes);
    let (_file, size) = near.open_file(&digest).unwrap().unwrap();
    assert_eq!(size, bytes.len() as u64);
    // Its copy is what is read: it is found to be damaged, and read from the server again.
    let copy = near.cache_directory().unwrap();
    let copy = copy.join(format!(
        "blobs/sha256/{}/{digest}",
        &digest.to_string()[..2]
    ));
    fs_err::write(&copy, "damaged").unwrap();
    assert!(near.get(&digest).await.unwrap() == bytes);
    assert!(fs_err::read(&copy).unwrap() == bytes);
    fs_err::write(&copy, "damaged again").unwrap();
    let mut read = Vec::new();
    let mut file = near.file(&digest).await.unwrap();
    file.read_to_end(&mut read).unwrap();
    assert!(read == bytes && fs_err::read(&copy).unwrap() == bytes);
    // There is never much more than the limit.
    for number in 0_u64..20 {
        let mut bytes = noise(1 << 20);
        bytes.extend(number.to_le_bytes());
        spooled(&far, &bytes).await;
        assert!(near.get(&Digest::of(&bytes)).await.unwrap() == bytes);
        assert!(size_of(directory.path()) <= (8 << 20) + (2 << 20));
    }
}

#[tokio::test]
async fn a_damaged_blob_never_comes_complete_and_is_not_kept() {
    needs_docker!();
    let (_server, address, settings) = bucket("damaged");
    let directory = TempDir::new().unwrap();
    let cached = Settings {
        cache: Some(CacheSettings {
            directory: directory.path().to_owned(),
            limit: 64 << 20,
        }),
        ..settings.clone()
    };
    let far = Store::open_with(&address, settings).await.unwrap();
    let near = Store::open_with(&address, cached).await.unwrap();
    let right = noise(9 << 20);
    let mut changed = right.clone();
    changed[100] ^= 1;
    let short = right[..right.len() - 8].to_vec();
    let longer = [right.as_slice(), &[7; 8]].concat();
    for (number, bytes) in (0_u64..).zip([changed, short, longer]) {
        // No two of them are under one name: nothing in a store is written twice.
        let digest = Digest::of([right.as_slice(), &number.to_le_bytes()].concat());
        let mut spool = far.spool().unwrap();
        spool.write_all(&bytes).unwrap();
        far.put_spooled(spool, &digest).await.unwrap();
        for store in [&far, &near] {
            let whole = store.whole(&digest).await.unwrap();
            assert_eq!(whole.size(), bytes.len() as u64);
            let mut chunks = whole.into_stream();
            let mut came = 0;
            let error = loop {
                match chunks.try_next().await {
                    Ok(Some(chunk)) => came += chunk.len(),
                    Ok(None) => panic!("it came complete"),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), StoreErrorKind::Corrupt);
            assert!(came < bytes.len());
            let all = store.stream(&digest, 0..bytes.len() as u64).await.unwrap();
            let all: Result<Vec<Bytes>, _> = all.try_collect().await;
            assert_eq!(all.unwrap_err().kind(), StoreErrorKind::Corrupt);
            for error in [
                store.get(&digest).await.unwrap_err(),
                store.file(&digest).await.unwrap_err(),
            ] {
                assert_eq!(error.kind(), StoreErrorKind::Corrupt);
            }
        }
        assert!(near.open_file(&digest).unwrap().is_none());
    }
}

fn size_of(directory: &std::path::Path) -> u64 {
    fs_err::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            if path.is_dir() {
                size_of(&path)
            } else {
                path.metadata().unwrap().len()
            }
        })
        .sum()
}

#[tokio::test]
async fn a_lease_has_one_owner_until_it_expires() {
    use std::sync::atomic::{AtomicU64, Ordering};
    needs_docker!();
    let (_server, address, settings) = bucket("leases");
    let time = Arc::new(AtomicU64::new(1_000_000));
    let clock = Arc::clone(&time);
    let settings = Settings {
        clock: Arc::new(move || clock.load(Ordering::Relaxed)),
        ..settings
    };
    let one = Store::open_with(&address, settings.clone()).await.unwrap();
    let two = Store::open_with(&address, settings).await.unwrap();
    let what = Digest::of("what");
    let lease = one.try_lease(&what).await.unwrap();
    assert!(lease.is_some());
    assert!(two.try_lease(&what).await.unwrap().is_none());
    assert!(two.try_lease(&Digest::of("other")).await.unwrap().is_some());
    // Its owner is gone and has renewed nothing: somebody else has it, and only one.
    std::mem::forget(lease);
    time.fetch_add(61, Ordering::Relaxed);
    let (first, second) = tokio::join!(one.try_lease(&what), two.try_lease(&what));
    let owners = [first.unwrap(), second.unwrap()];
    assert_eq!(owners.iter().flatten().count(), 1);
    // Given up, it can be had at once: when the deletion has arrived.
    drop(owners);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while two.try_lease(&what).await.unwrap().is_none() {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Two servers' registries share nothing but the bucket.
#[tokio::test(flavor = "multi_thread")]
async fn two_registries_on_one_bucket_lose_nothing() {
    use wheelfarm_index::registry::{Actor, Event, Registry, Token};
    needs_docker!();
    let (_server, address, settings) = bucket("registries");
    let mut registries = Vec::new();
    for _ in 0..2 {
        let store = Store::open_with(&address, settings.clone()).await.unwrap();
        registries.push(Arc::new(Registry::open(store).await.unwrap()));
    }
    let now = chrono::DateTime::UNIX_EPOCH;
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..24 {
        let registry = Arc::clone(&registries[number % 2]);
        writers.spawn(async move {
            // Every name is wanted at both.
            let name = format!("token-{}", number / 2);
            let none = || [].into();
            let mut token = Token::generate(name.clone(), [].into(), none(), now, None)
                .unwrap()
                .0;
            token.id = name.as_str().into();
            let made = registry.commit(&Actor::Operator, now, |state| {
                if state.token(&token.id).is_some() {
                    return Err(());
                }
                let token = token.clone();
                Ok((vec![Event::TokenCreated { token }], ()))
            });
            usize::from(made.await.is_ok())
        });
    }
    assert_eq!(writers.join_all().await.iter().sum::<usize>(), 12);
    for registry in &registries {
        registry.refresh().await.unwrap();
        registry.read(|state| assert_eq!((state.number, state.tokens().count()), (12, 12)));
    }
}

#[test]
fn two_servers_on_one_bucket_are_one_index() {
    needs_docker!();
    let (s3, address, _) = bucket("servers");
    let machines = [machine(&s3, &address), machine(&s3, &address)];
    let secret = writing(&machines[0]);
    let servers = machines
        .each_ref()
        .map(|farm| Server::start(farm, &[]).unwrap());
    let [here, there] = servers.each_ref().map(Server::address);
    let send = |upload: &Upload, address: &str| {
        let answer = upload.send(address, "/legacy/", &secret).unwrap();
        (
            answer.status,
            String::from_utf8_lossy(&answer.body).into_owned(),
        )
    };
    // What one has taken, the other one lists soon.
    for round in 0..5 {
        let upload = Upload::of(&SmallWheel::new("wfboth", &format!("{round}.0"))).unwrap();
        let (to, from) = if round % 2 == 0 {
            (here, there)
        } else {
            (there, here)
        };
        let (status, text) = send(&upload, to);
        assert_eq!(status, 200, "{text}");
        wait_for("the other server to see it", SOON, || {
            let there = listed(from, "wfboth")?;
            Ok(there.contains_key(upload.filename()).then_some(()))
        })
        .unwrap();
    }
    for address in [here, there] {
        assert_eq!(whole(address, "wfboth").unwrap().len(), 5);
    }
    // Of two files with one name, at the same time, one is published.
    for round in 0..5 {
        let wheel = SmallWheel::new("wfrace", &format!("{round}.0"));
        let uploads = [wheel.clone(), wheel.weighing(1)].map(|wheel| Upload::of(&wheel).unwrap());
        let start = Barrier::new(2);
        let mut statuses = std::thread::scope(|scope| {
            let both = [(&uploads[0], here), (&uploads[1], there)].map(|(upload, address)| {
                let (start, send) = (&start, &send);
                scope.spawn(move || {
                    start.wait();
                    send(upload, address)
                })
            });
            both.map(|thread| thread.join().unwrap())
        });
        statuses.sort();
        assert_eq!(
            statuses.each_ref().map(|(status, _)| *status),
            [200, 409],
            "{statuses:?}"
        );
        assert_eq!(
            listed(here, "wfrace").unwrap(),
            listed(there, "wfrace").unwrap()
        );
    }
    // A token that was revoked beside one is not taken by the other: known within seconds, as the documentation says.
    let list = machines[0].run(["token", "list"]).unwrap();
    let id = list.stdout.split_whitespace().next().unwrap().to_owned();
    let run = machines[0].run(["token", "revoke", &id]).unwrap();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    for server in &servers {
        wait_for("the end of a token", SOON, || {
            let (status, _) = server.ask("POST", "/legacy/", &secret, "")?;
            Ok((status == 401).then_some(()))
        })
        .unwrap();
    }
}

#[tokio::test]
async fn a_collection_moves_gives_back_and_removes() {
    needs_docker!();
    let (_server, address, settings) = bucket("garbage");
    let store = Store::open_with(&address, settings).await.unwrap();
    let asked = store.put("asked for again".into()).await.unwrap();
    let gone = store.put("never again".into()).await.unwrap();
    let needed = store.put("published".into()).await.unwrap();
    let latest = store.objects_below("blobs").await.unwrap();
    let now = latest.iter().map(|object| object.written).max().unwrap();
    let day = 24 * 3600;
    let collection = |days: u64| wheelfarm_store::Collection {
        now: now + days * day,
        older_than: 30 * day,
        trash_age: day,
        needed: [needed].into(),
        dry_run: false,
    };
    let done = store.collect(&collection(31)).await.unwrap();
    assert_eq!((done.kept.objects, done.moved.objects), (1, 2));
    assert_eq!(store.get(&asked).await.unwrap(), "asked for again");
    let done = store.collect(&collection(33)).await.unwrap();
    assert_eq!(done.removed.objects, 1);
    assert!(!store.contains(&gone).await.unwrap());
    assert!(store.contains(&needed).await.unwrap());
}

#[test]
fn wrong_addresses_are_told_from_each_other() {
    needs_docker!();
    let server = server();
    let farm = server
        .environment()
        .iter()
        .fold(Farm::new().unwrap(), |farm, (name, value)| {
            farm.with(name, value)
        });
    let fails = |farm: &Farm, address: &str, word: &str| {
        let run = farm.run(["store", "verify", "--store", address]).unwrap();
        assert_eq!(run.code, Some(4), "{address}: {}", run.stderr);
        assert!(run.stderr.contains(word), "{address}: {}", run.stderr);
    };
    fails(&farm, "s3://there-is-none/x", "no such bucket");
    fails(&farm, "s3://a/b/../c", "prefix");
    fails(&farm, "ftp://a/b", "s3://");
    server.make_bucket("addresses").unwrap();
    let farm = farm.with("AWS_SECRET_ACCESS_KEY", "guessed");
    fails(&farm, "s3://addresses/x", "AWS_SECRET_ACCESS_KEY");
    let farm = farm.with("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    fails(&farm, "s3://addresses/x", "does not answer");
}
