//! Slots: how much runs at a time, and how many cores each job may fill.
//!
//! A job holds a slot only around work that costs (a container, an environment in the making, audit and repair),
//! and never while it waits for another job: so jobs that need each other cannot block each other, however few
//! slots there are. A slot is taken last, after every other wait is over.
//!
//! What is expected to take longest goes first, since a long job that begins last runs alone at the end; else the
//! order is that of asking. A job that does not fit yet holds back those behind it: or one that needs much would wait
//! until nothing else is left.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// What is to be shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// How many slots there are: what `-j` says, else one per core.
    pub slots: u32,
    /// Processor cores of the engine.
    pub cores: u32,
    /// Memory of the engine in bytes.
    pub memory: u64,
    /// What each job may fill where it runs, however many run: elsewhere they do not share cores.
    pub each: Option<u32>,
}

/// What a piece of work needs, as far as that is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Claim {
    /// Cores that it fills; it takes as many slots. One where nothing is known.
    pub cores: Option<u32>,
    /// Memory in bytes; [`ORDINARY_MEMORY`] where nothing is known.
    pub memory: Option<u64>,
    /// How long it is expected to take.
    pub expected: Duration,
}

/// What an ordinary build is taken to need, in bytes. That is not its limit, which is higher: nearly all extension
/// modules are compiled within a few hundred megabytes, sources and objects in memory included, and a farm that
/// reserved the limit for each would leave most of the machine idle.
pub const ORDINARY_MEMORY: u64 = 1 << 30;

/// Hands out slots.
#[derive(Debug)]
pub struct Slots(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    capacity: Capacity,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Slots and memory that are taken, and by how many.
    slots: u32,
    memory: u64,
    running: u32,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    slots: u32,
    cores: Option<u32>,
    memory: u64,
    expected: Duration,
    ready: oneshot::Sender<Slot>,
}

/// The right to work; given back when it is dropped.
#[derive(Debug)]
pub struct Slot {
    inner: Arc<Inner>,
    slots: u32,
    memory: u64,
    share: u32,
}

impl Slots {
    /// Slots over `capacity`.
    pub fn new(capacity: Capacity) -> Self {
        let capacity = Capacity {
            slots: capacity.slots.max(1),
            cores: capacity.cores.max(1),
            // The engine, the system and the coordinator need some.
            memory: capacity.memory - capacity.memory / 8,
            each: capacity.each,
        };
        Self(Arc::new(Inner {
            capacity,
            state: Mutex::default(),
        }))
    }

    /// Waits until there is room for `claim`. One that is larger than everything there is gets everything, alone.
    pub async fn take(&self, claim: Claim) -> Slot {
        let capacity = self.0.capacity;
        let (ready, slot) = oneshot::channel();
        let new = Waiting {
            slots: match capacity.each {
                // Where it runs it has its cores to itself.
                Some(_) => 1,
                None => claim.cores.unwrap_or(1).clamp(1, capacity.slots),
            },
            cores: claim.cores,
            memory: claim.memory.unwrap_or(ORDINARY_MEMORY),
            expected: claim.expected,
            ready,
        };
        {
            let waiting = &mut self.0.lock().waiting;
            let place = waiting.partition_point(|other| other.expected >= new.expected);
            waiting.insert(place, new);
        }
        Inner::grant(&self.0);
        match slot.await {
            Ok(slot) => slot,
            // A waiter is dropped only after its receiver is.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives slots to those who wait, as far as there is room.
    fn grant(self: &Arc<Self>) {
        loop {
            let mut state = self.lock();
            state.waiting.retain(|waiting| !waiting.ready.is_closed());
            let fits = state.waiting.front().is_some_and(|next| {
                state.running == 0
                    || (state.slots.saturating_add(next.slots) <= self.capacity.slots
                        && state.memory.saturating_add(next.memory) <= self.capacity.memory)
            });
            if !fits {
                return;
            }
            let Some(next) = state.waiting.pop_front() else {
                return;
            };
            state.slots = state.slots.saturating_add(next.slots);
            state.memory = state.memory.saturating_add(next.memory);
            state.running += 1;
            let slot = Slot {
                inner: Arc::clone(self),
                slots: next.slots,
                memory: next.memory,
                share: self.capacity.share(next.cores, &state),
            };
            drop(state);
            // Whoever stopped waiting just now gives it back: a slot that cannot be delivered is dropped here.
            drop(next.ready.send(slot));
        }
    }
}

impl Capacity {
    /// How many processes a job may run at a time: its part of the cores among those that run and wait now.
    ///
    /// It is fixed when the job starts, and containers have no hard quota: what one leaves idle another uses. So
    /// the shares are right while many jobs wait, and the last ones, which are often the long ones, may fill the
    /// machine; the price is a few processes too many for a while.
    fn share(self, cores: Option<u32>, state: &State) -> u32 {
        if let Some(each) = self.each {
            return cores.unwrap_or(each).max(1);
        }
        let waiting = u32::try_from(state.waiting.len()).unwrap_or(u32::MAX);
        let rivals = state.running.saturating_add(waiting).clamp(1, self.slots);
        cores
            .unwrap_or_else(|| self.cores.div_ceil(rivals))
            .clamp(1, self.cores)
    }
}

impl Slot {
    /// How many processes its work may run at a time.
    pub fn share(&self) -> u32 {
        self.share
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        state.slots = state.slots.saturating_sub(self.slots);
        state.memory = state.memory.saturating_sub(self.memory);
        state.running = state.running.saturating_sub(1);
        drop(state);
        Inner::grant(&self.inner);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const GIB: u64 = 1 << 30;

    fn slots(slots: u32, cores: u32) -> Slots {
        let memory = 8 * GIB;
        Slots::new(Capacity {
            slots,
            cores,
            memory,
            each: None,
        })
    }

    fn claim(cores: u32, memory: u64) -> Claim {
        Claim {
            cores: Some(cores),
            memory: Some(memory * GIB),
            expected: Duration::ZERO,
        }
    }

    #[tokio::test]
    async fn there_are_no_more_than_there_are() {
        let slots = slots(2, 2);
        let one = slots.take(Claim::default()).await;
        let _two = slots.take(Claim::default()).await;
        let mut three = Box::pin(slots.take(Claim::default()));
        assert!(three.as_mut().now_or_never().is_none());
        drop(one);
        assert!(three.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn memory_bounds_too_and_what_needs_everything_gets_it_alone() {
        let slots = slots(8, 8);
        let large = slots.take(claim(1, 100)).await;
        let mut small = Box::pin(slots.take(claim(1, 1)));
        assert!(small.as_mut().now_or_never().is_none());
        drop(large);
        let small = small.await;
        let mut large = Box::pin(slots.take(claim(99, 0)));
        assert!(large.as_mut().now_or_never().is_none());
        drop(small);
        assert_eq!(large.await.share(), 8);
    }

    #[tokio::test]
    async fn who_needs_much_is_not_passed_by_those_behind() {
        let slots = slots(2, 2);
        let one = slots.take(claim(1, 1)).await;
        let mut both = Box::pin(slots.take(claim(2, 1)));
        assert!(both.as_mut().now_or_never().is_none());
        let mut behind = Box::pin(slots.take(claim(1, 1)));
        assert!(
            behind.as_mut().now_or_never().is_none(),
            "it passed the one before it"
        );
        drop(one);
        let both = both.as_mut().now_or_never().unwrap();
        assert!(behind.as_mut().now_or_never().is_none());
        drop(both);
        assert!(behind.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_stops_waiting_takes_nothing() {
        let slots = slots(1, 1);
        let one = slots.take(Claim::default()).await;
        let mut given_up = Box::pin(slots.take(Claim::default()));
        assert!(given_up.as_mut().now_or_never().is_none());
        let mut granted_unseen = Box::pin(slots.take(Claim::default()));
        assert!(granted_unseen.as_mut().now_or_never().is_none());
        let mut last = Box::pin(slots.take(Claim::default()));
        assert!(last.as_mut().now_or_never().is_none());
        drop(given_up);
        drop(one);
        // It has a slot in its channel, and never looks.
        drop(granted_unseen);
        assert!(last.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn what_takes_longest_goes_first_and_equals_in_their_order() {
        let slots = slots(1, 1);
        let mut running = slots.take(Claim::default()).await;
        let expect = |seconds| Claim {
            expected: Duration::from_secs(seconds),
            ..Claim::default()
        };
        let mut waiting: Vec<_> = [1, 5, 1, 9]
            .map(|seconds| Box::pin(slots.take(expect(seconds))))
            .into();
        for waiting in &mut waiting {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        for next in [3, 1, 0, 2] {
            drop(running);
            running = waiting[next].as_mut().now_or_never().unwrap();
        }
    }

    #[tokio::test]
    async fn cores_are_shared_among_those_who_run_and_wait() {
        let slots = slots(4, 8);
        let first = slots.take(Claim::default()).await;
        assert_eq!(first.share(), 8, "nobody else wants any");
        let second = slots.take(Claim::default()).await;
        assert_eq!(second.share(), 4);
        let _third = slots.take(claim(2, 1)).await;
        let mut waiting: Vec<_> = (0..9)
            .map(|_| Box::pin(slots.take(Claim::default())))
            .collect();
        for waiting in &mut waiting {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        drop((first, second));
        let next = waiting.remove(0).now_or_never().unwrap();
        assert_eq!(next.share(), 2, "a fourth: as many as there are slots");
    }

    #[tokio::test]
    async fn elsewhere_a_job_may_fill_the_same_cores_however_many_run() {
        let slots = Slots::new(Capacity {
            slots: 3,
            cores: 3,
            memory: u64::MAX,
            each: Some(4),
        });
        let first = slots.take(Claim::default()).await;
        let second = slots.take(claim(8, 100)).await;
        let third = slots.take(Claim::default()).await;
        let shares = [&first, &second, &third].map(Slot::share);
        assert_eq!(shares, [4, 8, 4]);
    }
}
