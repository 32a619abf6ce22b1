//! A full listener closes, for each newcomer, the connection that has gone longest without an answer. A connection is held
//! only while a request is worked on that arrived whole and with permission, and an eighth of the slots cannot be held.
//! (What a connection will be used for is not known when it is accepted, so no slots can be set aside for health; and a
//! share for each address would not help where all come through one proxy.) Everybody has a moment to be served in, and
//! newcomers wait for that long in the kernel's queue, so that a burst does not close those who were just let in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::telemetry::connections::ConnectionMetrics;

/// How long nobody is closed for a newcomer: much longer than most requests take.
const MOMENT: Duration = Duration::from_millis(100);

/// The slots of one listener. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Slots(Arc<Listener>);

#[derive(Debug)]
struct Listener {
    taken: Mutex<Taken>,
    /// Told when a slot or a connection that was held is free.
    freed: Notify,
    counts: Option<ConnectionMetrics>,
}

#[derive(Debug)]
struct Taken {
    most: usize,
    last: u64,
    connections: HashMap<u64, Entry>,
    /// How many requests hold their connection.
    held: usize,
}

#[derive(Debug)]
struct Entry {
    began: Instant,
    /// When it began, or was last answered.
    since: Instant,
    held: usize,
    evicted: Arc<Notify>,
}

impl Taken {
    /// Requests may hold no more than this: the rest is for newcomers.
    fn most_held(&self) -> usize {
        self.most - (self.most / 8).max(1).min(self.most)
    }

    /// From when on there is room for a newcomer; `None` if every connection is held.
    fn room(&self, now: Instant) -> Option<Instant> {
        if self.connections.len() < self.most {
            return Some(now);
        }
        let waiting = self.connections.values().filter(|entry| entry.held == 0);
        waiting.map(|entry| entry.began + MOMENT).min()
    }

    fn evict(&mut self, now: Instant) -> bool {
        let waiting =
            self.connections.iter().filter(|(_, entry)| entry.held == 0 && entry.began + MOMENT <= now);
        let Some(id) = waiting.min_by_key(|(id, entry)| (entry.since, **id)).map(|(id, _)| *id) else {
            return false;
        };
        if let Some(entry) = self.connections.remove(&id) {
            entry.evicted.notify_one();
        }
        true
    }
}

impl Slots {
    pub(super) fn new(most: usize, counts: Option<ConnectionMetrics>) -> Self {
        let taken = Taken { most, last: 0, connections: HashMap::new(), held: 0 };
        Self(Arc::new(Listener { taken: Mutex::new(taken), freed: Notify::new(), counts }))
    }

    pub(super) fn resize(&self, most: usize) {
        self.taken().most = most;
    }

    /// Waits until there is room for a newcomer.
    pub(super) async fn room(&self) {
        loop {
            let freed = self.0.freed.notified();
            let now = Instant::now();
            let room = self.taken().room(now);
            match room {
                Some(from) if from <= now => return,
                Some(from) => tokio::select! {
                    () = freed => {}
                    () = sleep_until(from) => {}
                },
                None => freed.await,
            }
        }
    }

    /// A slot for a newcomer; `None` if there is no [room](Self::room).
    pub(super) fn enter(&self) -> Option<Slot> {
        let (mut taken, now) = (self.taken(), Instant::now());
        while taken.connections.len() >= taken.most {
            if !taken.evict(now) {
                return None;
            }
        }
        taken.last += 1;
        let (id, evicted) = (taken.last, Arc::new(Notify::new()));
        let entry = Entry { began: now, since: now, held: 0, evicted: Arc::clone(&evicted) };
        taken.connections.insert(id, entry);
        Some(Slot(Arc::new(Inner { slots: self.clone(), id, evicted })))
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slot of a connection, free again when the last clone is dropped.
#[derive(Debug, Clone)]
pub(super) struct Slot(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    slots: Slots,
    id: u64,
    evicted: Arc<Notify>,
}

impl Slot {
    /// Waits until a newcomer gets the slot.
    pub(super) async fn evicted(&self) {
        self.0.evicted.notified().await;
    }

    /// A request was answered.
    pub(super) fn answered(&self) {
        if let Some(entry) = self.0.slots.taken().connections.get_mut(&self.0.id) {
            entry.since = Instant::now();
        }
    }

    /// Holds the connection for a request that has arrived whole; `None` if too many are held.
    pub(super) fn hold(&self) -> Option<Held> {
        let mut taken = self.0.slots.taken();
        if taken.held >= taken.most_held() {
            return None;
        }
        // One that was evicted in this moment ends all the same.
        taken.connections.get_mut(&self.0.id)?.held += 1;
        taken.held += 1;
        Some(Held(Some(self.clone())))
    }

    pub(super) fn counts(&self) -> Option<&ConnectionMetrics> {
        self.0.slots.0.counts.as_ref()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.slots.taken().connections.remove(&self.id);
        self.slots.0.freed.notify_one();
    }
}

/// A connection that is not closed for a newcomer, until this is dropped. On a listener that evicts nobody it holds nothing.
#[derive(Debug)]
pub struct Held(Option<Slot>);

impl Held {
    pub(super) fn nothing() -> Self {
        Self(None)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(slot) = &self.0 else { return };
        let mut taken = slot.0.slots.taken();
        taken.held -= 1;
        if let Some(entry) = taken.connections.get_mut(&slot.0.id) {
            entry.held -= 1;
        }
        drop(taken);
        slot.0.slots.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn is_evicted(slot: &Slot) -> bool {
        slot.evicted().now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_was_answered_longest_ago_makes_room() {
        let slots = Slots::new(3, None);
        let enter = async || {
            tokio::time::advance(std::time::Duration::from_secs(1)).await;
            slots.enter().unwrap()
        };
        let open = [enter().await, enter().await, enter().await];
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        open[0].answered();
        let mut newcomers = Vec::new();
        for victim in [1, 2, 0] {
            assert!(!is_evicted(&open[victim]));
            newcomers.push(enter().await);
            assert!(is_evicted(&open[victim]));
        }
        let _last = enter().await;
        assert_eq!(newcomers.iter().map(is_evicted).collect::<Vec<_>>(), [true, false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_stays_and_leaves_an_eighth_for_newcomers() {
        let slots = Slots::new(8, None);
        let open: Vec<Slot> = (0..8).map(|_| slots.enter().unwrap()).collect();
        tokio::time::advance(MOMENT).await;
        let mut held: Vec<Held> = open.iter().take(7).map(|slot| slot.hold().unwrap()).collect();
        assert!(open[7].hold().is_none());
        let newcomer = slots.enter().unwrap();
        assert!(is_evicted(&open[7]) && !open[..7].iter().any(is_evicted));
        assert!(newcomer.hold().is_none());
        held.pop();
        assert!(newcomer.hold().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_waits_until_somebody_has_had_a_moment_or_leaves() {
        let slots = Slots::new(2, None);
        let (first, began) = (slots.enter().unwrap(), Instant::now());
        let second = slots.enter().unwrap();
        assert!(slots.enter().is_none());
        slots.room().await;
        assert_eq!(began.elapsed(), MOMENT);
        let third = slots.enter().unwrap();
        assert!(is_evicted(&first) && !is_evicted(&second));
        let held = (second.hold(), slots.enter());
        assert!(held.1.is_none(), "the one is held, the other has just come");
        drop(third);
        slots.room().now_or_never().expect("the third has left");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_left_behind() {
        let slots = Slots::new(2, None);
        for _ in 0..10 {
            let slot = slots.enter().unwrap();
            let held = slot.hold();
            drop((slot, held));
        }
        assert!(slots.taken().connections.is_empty() && slots.taken().held == 0);
        let first = slots.enter().unwrap();
        tokio::time::advance(MOMENT).await;
        let _others = (slots.enter().unwrap(), slots.enter().unwrap());
        assert!(is_evicted(&first) && first.hold().is_none());
        drop(first);
        assert_eq!(slots.taken().connections.len(), 2);
        slots.resize(1);
        tokio::time::advance(MOMENT).await;
        let _last = slots.enter().unwrap();
        assert_eq!(slots.taken().connections.len(), 1);
    }
}
