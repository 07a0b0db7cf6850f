//! Following the log, and adding to it.

use std::sync::{PoisonError, RwLock};

use chrono::{DateTime, Utc};
use tokio::sync::{Mutex, watch};
use wheelfarm_store::{Created, Log, Store, StoreError};

use crate::registry::{Actor, Event, Record, State};

/// The log's name in the store.
const LOG: &str = "index";
/// A snapshot is kept after so many entries: who starts reads at most so many.
const SNAPSHOT_EVERY: u64 = 1000;
/// A snapshot is kept by who opens it, if so many entries were read.
const SNAPSHOT_TAIL: u64 = 250;
/// Compression level of snapshots.
const SNAPSHOT_LEVEL: i32 = 3;

/// The index: its state, and the way to change it.
pub struct Registry {
    store: Store,
    log: Log,
    state: RwLock<State>,
    /// Held by who reads or writes the log: entries are applied in order.
    turn: Mutex<()>,
    /// The last entry that is applied.
    number: watch::Sender<u64>,
}

/// A change that was not made.
#[derive(Debug, thiserror::Error)]
pub enum CommitError<E> {
    /// It must not be made: the state says so.
    #[error(transparent)]
    Refused(E),
    /// It could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registry({:?})", self.log)
    }
}

impl Registry {
    /// Reads the latest snapshot that can be read, and the entries after it.
    pub async fn open(store: Store) -> Result<Self, StoreError> {
        let log = store.log(LOG);
        let mut state = State::default();
        for number in log.snapshots().await? {
            let Some(bytes) = log.snapshot(number).await? else {
                continue;
            };
            // One that cannot be read is no loss: the entries are all there.
            if let Some(read) = unpack(&bytes).filter(|read| read.number == number) {
                state = read;
                state.index_blobs();
                break;
            }
        }
        let snapshot = state.number;
        let registry = Self {
            store,
            log,
            number: watch::channel(state.number).0,
            state: RwLock::new(state),
            turn: Mutex::new(()),
        };
        registry.refresh().await?;
        // Who opens it next reads fewer entries.
        if registry.read(|state| state.number) >= snapshot + SNAPSHOT_TAIL {
            registry.snapshot().await;
        }
        Ok(registry)
    }

    /// The store it is in.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Looks at the state. `look` must be short: nothing is applied while it runs.
    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells when entries were applied: the number of the last one.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.number.subscribe()
    }

    /// What happened after entry `number` of the log, with numbers. Reads all of it.
    pub async fn history(&self, number: u64) -> Result<Vec<(u64, Record)>, StoreError> {
        self.log.after(number).await
    }

    /// Applies what others have added since. Cheap if there is nothing.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let turn = self.turn.lock().await;
        self.catch_up(&turn).await
    }

    /// Makes a change: `decide` sees a state to which nothing is added before its events are; it is asked again if
    /// somebody else was faster. Without events nothing is written.
    pub async fn commit<T, E>(
        &self,
        by: &Actor,
        now: DateTime<Utc>,
        mut decide: impl FnMut(&State) -> Result<(Vec<Event>, T), E>,
    ) -> Result<T, CommitError<E>> {
        let turn = self.turn.lock().await;
        loop {
            let (number, decided) = self.read(|state| (state.number + 1, decide(state)));
            let (events, value) = decided.map_err(CommitError::Refused)?;
            if events.is_empty() {
                return Ok(value);
            }
            let record = Record {
                at: now,
                by: by.clone(),
                events,
            };
            if self.log.append(number, &record).await? == Created::New {
                self.apply(vec![(number, record)]);
                if number.is_multiple_of(SNAPSHOT_EVERY) {
                    self.snapshot().await;
                }
                return Ok(value);
            }
            self.catch_up(&turn).await?;
        }
    }

    async fn catch_up(&self, _turn: &tokio::sync::MutexGuard<'_, ()>) -> Result<(), StoreError> {
        loop {
            let number = self.read(|state| state.number);
            let entries = self.log.after(number).await?;
            if entries.is_empty() {
                return Ok(());
            }
            self.apply(entries);
        }
    }

    fn apply(&self, entries: Vec<(u64, Record)>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        for (number, record) in entries {
            state.apply(number, record);
        }
        let number = state.number;
        drop(state);
        self.number.send_replace(number);
    }

    /// Keeps a snapshot of the state. Nothing depends on it but the time that starting takes.
    async fn snapshot(&self) {
        let Some((number, bytes)) = self.read(|state| Some((state.number, pack(state)?))) else {
            return;
        };
        if let Err(error) = self.log.put_snapshot(number, bytes.into()).await {
            tracing::warn!(%error, "a snapshot of the index could not be written");
        }
    }
}

fn pack(state: &State) -> Option<Vec<u8>> {
    let json = serde_json::to_vec(state).ok()?;
    zstd::bulk::compress(&json, SNAPSHOT_LEVEL).ok()
}

fn unpack(bytes: &[u8]) -> Option<State> {
    // Parsing a slice is much faster than parsing a stream.
    let json = zstd::stream::decode_all(bytes).ok()?;
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use wheelfarm_types::Digest;

    use super::*;
    use crate::registry::testing::{commit, publish};
    use crate::registry::{Channel, Token, Yank};

    const WHEEL: &str = "x-1.0-py3-none-any.whl";

    #[tokio::test]
    async fn who_opens_it_again_finds_what_was_written() {
        let store = Store::open("memory:").await.unwrap();
        let registry = Registry::open(store.clone()).await.unwrap();
        let main = Channel::main();
        let file = publish(&registry, &main, WHEEL, b"bytes").await;
        let yank = Some(Yank {
            reason: Some("broken".into()),
        });
        commit(
            &registry,
            Event::Yanked {
                channel: main.clone(),
                project: file.project.clone(),
                filename: WHEEL.into(),
                yank: yank.clone(),
            },
        )
        .await;
        let again = Registry::open(store).await.unwrap();
        for registry in [registry, again] {
            registry.read(|state| {
                let found = state.file(&main, &file.project, WHEEL).unwrap();
                assert_eq!((&*found.published, &found.yanked), (&file, &yank));
                assert_eq!(state.project(&main, &file.project).unwrap().revision, 2);
                assert!(state.channels_of(&file.blob).unwrap().contains(&main));
            });
        }
    }

    #[tokio::test]
    async fn two_servers_decide_one_after_the_other() {
        let store = Store::open("memory:").await.unwrap();
        let one = Registry::open(store.clone()).await.unwrap();
        let two = Registry::open(store).await.unwrap();
        let file = publish(&one, &Channel::main(), WHEEL, b"one").await;
        // The second has not looked since; the decision is made on what is there all the same.
        let mut asked = 0;
        let refused = two
            .commit(&Actor::Operator, DateTime::UNIX_EPOCH, |state| {
                asked += 1;
                match state.file(&Channel::main(), &file.project, WHEEL) {
                    Some(there) => Err(there.published.blob),
                    None => Ok((vec![Event::TokenRevoked { id: "x".into() }], ())),
                }
            })
            .await;
        assert_eq!(asked, 2);
        match refused {
            Err(CommitError::Refused(blob)) => assert_eq!(blob, Digest::of("one")),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_snapshot_is_as_good_as_the_entries() {
        let store = Store::open("memory:").await.unwrap();
        let registry = Registry::open(store.clone()).await.unwrap();
        let file = publish(&registry, &Channel::main(), WHEEL, b"bytes").await;
        for _ in 1..SNAPSHOT_EVERY {
            let revoked = Event::TokenRevoked { id: "x".into() };
            commit(&registry, revoked).await;
        }
        assert_eq!(store.log(LOG).snapshots().await.unwrap(), [SNAPSHOT_EVERY]);
        publish(&registry, &Channel::main(), "y-1-py3-none-any.whl", b"y").await;
        // A later one that cannot be read is passed over.
        let log = store.log(LOG);
        log.put_snapshot(SNAPSHOT_EVERY + 1, "no snapshot".into())
            .await
            .unwrap();
        let again = Registry::open(store).await.unwrap();
        again.read(|state| {
            assert_eq!(state.number, SNAPSHOT_EVERY + 1);
            assert!(state.file(&Channel::main(), &file.project, WHEEL).is_some());
            assert!(state.channels_of(&file.blob).is_some());
            assert_eq!(state.channel(&Channel::main()).unwrap().projects.len(), 2);
        });
    }

    #[tokio::test]
    async fn deciding_nothing_writes_nothing() {
        let store = Store::open("memory:").await.unwrap();
        let registry = Registry::open(store).await.unwrap();
        let now = DateTime::UNIX_EPOCH;
        let answer = registry
            .commit(&Actor::Server, now, |state| {
                Ok::<_, Infallible>((Vec::new(), state.number))
            })
            .await;
        assert_eq!(answer.unwrap(), 0);
        assert!(!registry.log.has(1).await.unwrap());
    }

    #[tokio::test]
    async fn who_reads_many_entries_keeps_a_snapshot_of_them() {
        let store = Store::open("memory:").await.unwrap();
        let log = store.log(LOG);
        let entries = 2 * SNAPSHOT_EVERY + 3;
        for number in 1..=entries {
            let record = Record {
                at: DateTime::UNIX_EPOCH,
                by: Actor::Operator,
                events: vec![Event::TokenRevoked { id: "x".into() }],
            };
            log.append(number, &record).await.unwrap();
        }
        let registry = Registry::open(store.clone()).await.unwrap();
        assert_eq!(registry.read(|state| state.number), entries);
        assert_eq!(log.snapshots().await.unwrap(), [entries]);
        publish(&registry, &Channel::main(), WHEEL, b"bytes").await;
        let again = Registry::open(store).await.unwrap();
        assert_eq!(again.read(|state| state.number), entries + 1);
        assert_eq!(log.snapshots().await.unwrap(), [entries]);
    }

    /// Servers in one process are as much strangers to each other as those of two: they share the store alone.
    #[tokio::test(flavor = "multi_thread")]
    async fn many_writers_of_many_servers_lose_nothing_and_publish_a_name_once() {
        let directory = tempfile::tempdir().unwrap();
        let address = directory.path().to_str().unwrap();
        let mut servers = Vec::new();
        for _ in 0..4 {
            let store = Store::open(address).await.unwrap();
            servers.push(std::sync::Arc::new(Registry::open(store).await.unwrap()));
        }
        let mut writers = tokio::task::JoinSet::new();
        for number in 0..40 {
            let server = std::sync::Arc::clone(&servers[number % 4]);
            // Every name is wanted by four writers, each at another server.
            let id = format!("name-{}", number / 4);
            writers.spawn(async move {
                let mut token =
                    Token::generate(id.clone(), [].into(), [].into(), DateTime::UNIX_EPOCH, None)
                        .unwrap()
                        .0;
                token.id = id.as_str().into();
                let made = server.commit(&Actor::Operator, DateTime::UNIX_EPOCH, |state| {
                    if state.token(&token.id).is_some() {
                        return Err(());
                    }
                    let token = token.clone();
                    Ok((vec![Event::TokenCreated { token }], ()))
                });
                usize::from(made.await.is_ok())
            });
        }
        assert_eq!(writers.join_all().await.iter().sum::<usize>(), 10);
        for server in &servers {
            server.refresh().await.unwrap();
            server.read(|state| {
                assert_eq!((state.number, state.tokens().count()), (10, 10));
            });
        }
    }
}
