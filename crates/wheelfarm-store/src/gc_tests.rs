//! What a collection keeps and removes, and what readers see meanwhile.

use serde_json::json;

use super::*;
use crate::Created;

const DAY: u64 = 24 * 3600;

fn in_days(days: u64, needed: &[Digest]) -> Collection {
    #[expect(
        clippy::disallowed_methods,
        reason = "objects get their times from the system"
    )]
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    Collection {
        now: now + days * DAY,
        older_than: 30 * DAY,
        trash_age: DAY,
        needed: needed.iter().copied().collect(),
        dry_run: false,
    }
}

async fn stores() -> (tempfile::TempDir, [Store; 2]) {
    let directory = tempfile::tempdir().unwrap();
    let local = Store::open(directory.path().to_str().unwrap())
        .await
        .unwrap();
    (directory, [local, Store::open("memory:").await.unwrap()])
}

#[tokio::test]
async fn what_is_young_or_needed_stays_and_the_rest_goes_in_two_steps() {
    for store in stores().await.1 {
        let published = store.put("published".into()).await.unwrap();
        let log = store.put("its log".into()).await.unwrap();
        let unneeded = store.put("unneeded".into()).await.unwrap();
        let record = json!({"wheel": published, "log": log});
        store
            .create_record("repair", &Digest::of("a"), &record)
            .await
            .unwrap();
        let other = json!({"wheel": unneeded});
        store
            .create_record("repair", &Digest::of("b"), &other)
            .await
            .unwrap();

        let done = store.collect(&in_days(0, &[])).await.unwrap();
        assert_eq!((done.kept.objects, done.moved.objects), (3, 0));

        let mut dry = in_days(31, &[published]);
        dry.dry_run = true;
        let told = store.collect(&dry).await.unwrap();
        let done = store.collect(&in_days(31, &[published])).await.unwrap();
        assert_eq!(told, done);
        assert_eq!((done.kept.objects, done.records.objects), (2, 1));
        assert_eq!(
            done.moved,
            Amount {
                objects: 1,
                bytes: 8
            }
        );
        assert_eq!(store.records("repair").await.unwrap(), [Digest::of("a")]);
        // Not yet: it has to lie there for a day.
        let done = store.collect(&in_days(31, &[published])).await.unwrap();
        assert_eq!((done.moved.objects, done.removed.objects), (0, 0));
        let done = store.collect(&in_days(33, &[published])).await.unwrap();
        assert_eq!(
            done.removed,
            Amount {
                objects: 1,
                bytes: 8
            }
        );
        assert!(!store.contains(&unneeded).await.unwrap());
        assert_eq!(store.get(&log).await.unwrap(), "its log");
        let done = store.collect(&in_days(34, &[published])).await.unwrap();
        assert_eq!((done.kept.objects, done.removed.objects), (2, 0));
    }
}

#[tokio::test]
async fn what_is_found_while_it_is_collected_is_not_lost() {
    for store in stores().await.1 {
        let [asked, read, named] = ["asked", "read", "named"].map(Digest::of);
        for bytes in ["asked", "read", "named"] {
            store.put(bytes.into()).await.unwrap();
        }
        let done = store.collect(&in_days(31, &[])).await.unwrap();
        assert_eq!(done.moved.objects, 3);
        // Who looks for one, in whatever way, has it back.
        assert!(store.contains(&asked).await.unwrap());
        assert_eq!(store.get(&read).await.unwrap(), "read");
        // Who had found one before it was moved names it now.
        store
            .create_record("raw", &Digest::of("key"), &json!({"wheel": named}))
            .await
            .unwrap();
        let mut later = in_days(33, &[]);
        later.older_than = 40 * DAY;
        let done = store.collect(&later).await.unwrap();
        assert_eq!((done.restored.objects, done.removed.objects), (1, 0));
        for digest in [asked, read, named] {
            assert!(store.contains(&digest).await.unwrap());
        }
    }
}

#[tokio::test]
async fn what_a_young_lock_lists_stays_with_all_that_was_made_of_it() {
    let (directory, [store, _]) = stores().await;
    let source = store.put("source".into()).await.unwrap();
    let wheel = store.put("wheel".into()).await.unwrap();
    let raw_key = Digest::of("raw");
    let raw = json!({"source": source, "wheel": wheel});
    store.create_record("raw", &raw_key, &raw).await.unwrap();
    let repaired = store.put("repaired".into()).await.unwrap();
    let repair = json!({"raw_key": raw_key, "wheel": repaired});
    store
        .create_record("repair", &Digest::of("r"), &repair)
        .await
        .unwrap();
    let list = store
        .put(format!("hashes = {{sha256 = \"{source}\"}}").into())
        .await
        .unwrap();
    // All of that is old, the lock is not.
    let old = std::fs::FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH);
    for folder in ["blobs", "records"] {
        let mut folders = vec![directory.path().join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs_err::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    fs_err::File::open(path)
                        .unwrap()
                        .file()
                        .set_times(old)
                        .unwrap();
                }
            }
        }
    }
    let gone = in_days(0, &[]);
    let lock = json!({"lock": list});
    assert_eq!(
        store
            .append("lock", &Digest::of("l"), 1, &lock)
            .await
            .unwrap(),
        Created::New
    );
    let done = store.collect(&gone).await.unwrap();
    assert_eq!(
        (done.kept.objects, done.moved.objects, done.records.objects),
        (4, 0, 0)
    );
}

#[tokio::test]
async fn leftovers_of_killed_writes_go_after_a_day() {
    let (directory, [store, _]) = stores().await;
    let blob = store.put("whole".into()).await.unwrap();
    let half = directory.path().join("blobs/sha256/ab/abc#1");
    fs_err::create_dir_all(half.parent().unwrap()).unwrap();
    fs_err::write(&half, "hal").unwrap();
    let spool = store.spool().unwrap();
    let done = store.collect(&in_days(0, &[])).await.unwrap();
    assert_eq!(done.leftovers, Amount::default());
    let done = store.collect(&in_days(2, &[])).await.unwrap();
    assert_eq!(
        done.leftovers,
        Amount {
            objects: 2,
            bytes: 3
        }
    );
    assert!(!half.exists() && !spool.path().exists());
    assert!(store.contains(&blob).await.unwrap());
}
