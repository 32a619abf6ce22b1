//! Evicts connections of a full listener. For each new connection it closes the one whose last response is the oldest.
//! A connection is protected only while the server handles a request that has arrived completely and is authorized, and
//! an eighth of the slots is never protected.
//!
//! The server cannot reserve slots for health checks, because it does not know the purpose of a connection when it
//! accepts it. Limits per address do not help if all clients come through one proxy. A new connection is safe for 100
//! ms, and further ones wait that long in the kernel's backlog, so a burst does not evict itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::server::metrics::ConnectionMetrics;

/// How long a new connection is safe: much longer than most requests take.
const MIN_LIFETIME: Duration = Duration::from_millis(100);

/// The slots of one listener. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Slots(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    table: Mutex<Table>,
    /// Notified when a slot becomes free or a connection is no longer protected.
    freed: Notify,
    counts: Option<ConnectionMetrics>,
}

#[derive(Debug)]
struct Table {
    capacity: usize,
    last_id: u64,
    connections: HashMap<u64, Entry>,
    /// The number of requests that protect their connection.
    protected: usize,
}

#[derive(Debug)]
struct Entry {
    began: Instant,
    /// When the last response ended; before the first one, when the connection began.
    last_answer: Instant,
    /// The number of this connection's requests that protect it.
    protected: usize,
    evicted: Arc<Notify>,
}

impl Table {
    /// The maximum number of requests that may protect their connection. The other slots are for new connections.
    fn max_protected(&self) -> usize {
        self.capacity - (self.capacity / 8).max(1).min(self.capacity)
    }

    /// Returns when a new connection may enter; `None` if every connection is protected.
    fn room(&self, now: Instant) -> Option<Instant> {
        if self.connections.len() < self.capacity {
            return Some(now);
        }
        let waiting = self.connections.values().filter(|entry| entry.protected == 0);
        waiting.map(|entry| entry.began + MIN_LIFETIME).min()
    }

    fn evict(&mut self, now: Instant) -> bool {
        let waiting = self
            .connections
            .iter()
            .filter(|(_, entry)| entry.protected == 0 && entry.began + MIN_LIFETIME <= now);
        let Some(id) = waiting.min_by_key(|(id, entry)| (entry.last_answer, **id)).map(|(id, _)| *id) else {
            return false;
        };
        if let Some(entry) = self.connections.remove(&id) {
            entry.evicted.notify_one();
        }
        true
    }
}

impl Slots {
    pub(crate) fn new(capacity: usize, counts: Option<ConnectionMetrics>) -> Self {
        let table = Table { capacity, last_id: 0, connections: HashMap::new(), protected: 0 };
        Self(Arc::new(Shared { table: Mutex::new(table), freed: Notify::new(), counts }))
    }

    pub(crate) fn resize(&self, capacity: usize) {
        self.table().capacity = capacity;
    }

    /// Waits until a new connection may enter.
    pub(crate) async fn wait_for_room(&self) {
        loop {
            let freed = self.0.freed.notified();
            let now = Instant::now();
            let room = self.table().room(now);
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

    /// Takes a slot for a new connection; `None` if there is no [room](Self::wait_for_room).
    pub(crate) fn acquire(&self) -> Option<Slot> {
        let (mut table, now) = (self.table(), Instant::now());
        while table.connections.len() >= table.capacity {
            if !table.evict(now) {
                return None;
            }
        }
        table.last_id += 1;
        let (id, evicted) = (table.last_id, Arc::new(Notify::new()));
        let entry = Entry { began: now, last_answer: now, protected: 0, evicted: Arc::clone(&evicted) };
        table.connections.insert(id, entry);
        Some(Slot(Arc::new(Inner { slots: self.clone(), id, evicted })))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slot of a connection. Dropping the last clone frees it.
#[derive(Debug, Clone)]
pub(crate) struct Slot(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    slots: Slots,
    id: u64,
    evicted: Arc<Notify>,
}

impl Slot {
    /// Waits until a new connection takes the slot.
    pub(crate) async fn evicted(&self) {
        self.0.evicted.notified().await;
    }

    /// Records that a request was answered.
    pub(crate) fn answered(&self) {
        if let Some(entry) = self.0.slots.table().connections.get_mut(&self.0.id) {
            entry.last_answer = Instant::now();
        }
    }

    /// Protects the connection for a request that has arrived completely; `None` if too many connections are protected.
    pub(crate) fn protect(&self) -> Option<EvictionGuard> {
        let mut table = self.0.slots.table();
        if table.protected >= table.max_protected() {
            return None;
        }
        // A connection that was just evicted is closed even if it is protected now.
        table.connections.get_mut(&self.0.id)?.protected += 1;
        table.protected += 1;
        Some(EvictionGuard(Some(self.clone())))
    }

    pub(crate) fn counts(&self) -> Option<&ConnectionMetrics> {
        self.0.slots.0.counts.as_ref()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.slots.table().connections.remove(&self.id);
        self.slots.0.freed.notify_one();
    }
}

/// Protects a connection from eviction until dropped. No effect on a listener without eviction.
#[derive(Debug)]
pub struct EvictionGuard(Option<Slot>);

impl EvictionGuard {
    pub(crate) fn noop() -> Self {
        Self(None)
    }
}

impl Drop for EvictionGuard {
    fn drop(&mut self) {
        let Some(slot) = &self.0 else { return };
        let mut table = slot.0.slots.table();
        table.protected -= 1;
        if let Some(entry) = table.connections.get_mut(&slot.0.id) {
            entry.protected -= 1;
        }
        drop(table);
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
    async fn the_connection_that_was_answered_longest_ago_is_evicted() {
        let slots = Slots::new(3, None);
        let enter = async || {
            tokio::time::advance(std::time::Duration::from_secs(1)).await;
            slots.acquire().unwrap()
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
    async fn a_protected_connection_stays_and_an_eighth_of_the_slots_cannot_be_protected() {
        let slots = Slots::new(8, None);
        let open: Vec<Slot> = (0..8).map(|_| slots.acquire().unwrap()).collect();
        tokio::time::advance(MIN_LIFETIME).await;
        let mut held: Vec<EvictionGuard> = open.iter().take(7).map(|slot| slot.protect().unwrap()).collect();
        assert!(open[7].protect().is_none());
        let newcomer = slots.acquire().unwrap();
        assert!(is_evicted(&open[7]) && !open[..7].iter().any(is_evicted));
        assert!(newcomer.protect().is_none());
        held.pop();
        assert!(newcomer.protect().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_waits_until_another_one_may_be_evicted_or_ends() {
        let slots = Slots::new(2, None);
        let (first, began) = (slots.acquire().unwrap(), Instant::now());
        let second = slots.acquire().unwrap();
        assert!(slots.acquire().is_none());
        slots.wait_for_room().await;
        assert_eq!(began.elapsed(), MIN_LIFETIME);
        let third = slots.acquire().unwrap();
        assert!(is_evicted(&first) && !is_evicted(&second));
        let held = (second.protect(), slots.acquire());
        assert!(held.1.is_none(), "one is protected, the other is new");
        drop(third);
        slots.wait_for_room().now_or_never().expect("the third has ended");
    }

    #[tokio::test(start_paused = true)]
    async fn slots_and_protections_are_all_released() {
        let slots = Slots::new(2, None);
        for _ in 0..10 {
            let slot = slots.acquire().unwrap();
            let held = slot.protect();
            drop((slot, held));
        }
        assert!(slots.table().connections.is_empty() && slots.table().protected == 0);
        let first = slots.acquire().unwrap();
        tokio::time::advance(MIN_LIFETIME).await;
        let _others = (slots.acquire().unwrap(), slots.acquire().unwrap());
        assert!(is_evicted(&first) && first.protect().is_none());
        drop(first);
        assert_eq!(slots.table().connections.len(), 2);
        slots.resize(1);
        tokio::time::advance(MIN_LIFETIME).await;
        let _last = slots.acquire().unwrap();
        assert_eq!(slots.table().connections.len(), 1);
    }
}
