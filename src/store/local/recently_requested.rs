//! Notes which assets were requested a short time ago, so that the cache of open files keeps only a file that is
//! requested again: most recordings and transcripts are fetched once (row *miss-8k* of the benchmark).

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::asset::AssetRef;

/// How many assets are noted: four times as many as the cache keeps open, so that few of these share a slot.
const SLOTS: usize = 4 * 1_024;

/// The low bits of a slot hold the period of the request, the others a hash of the asset.
const PERIODS: u64 = 0xffff;

/// The last requested asset of each slot. A newer one replaces it.
#[derive(Debug)]
pub(super) struct RecentlyRequested {
    slots: Box<[AtomicU64]>,
    hasher: RandomState,
    began: Instant,
    period: Duration,
}

impl RecentlyRequested {
    /// Remembers a request for at least one `period`, and for at most two.
    pub(super) fn new(period: Duration) -> Self {
        let slots = (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Self { slots, hasher: RandomState::new(), began: Instant::now(), period }
    }

    /// Notes a request. Returns whether there was another one a short time ago.
    pub(super) fn note(&self, asset: AssetRef, now: Instant) -> bool {
        let hash = self.hasher.hash_one(asset);
        let periods = now.saturating_duration_since(self.began).as_secs() / self.period.as_secs().max(1);
        let period = periods & PERIODS;
        let slot = usize::try_from(hash).ok().and_then(|hash| self.slots.get(hash % SLOTS));
        let Some(slot) = slot else { return false };
        let before = slot.swap((hash & !PERIODS) | period, Ordering::Relaxed);
        let since = period.wrapping_sub(before & PERIODS) & PERIODS;
        before & !PERIODS == hash & !PERIODS && since <= 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asset(number: u64) -> AssetRef {
        AssetRef::recording(uuid::Uuid::from_u64_pair(1, number))
    }

    #[test]
    fn an_asset_is_known_at_its_second_request_within_a_period() {
        let period = Duration::from_secs(10);
        let (requested, now) = (RecentlyRequested::new(period), Instant::now());
        assert!(!requested.note(asset(1), now));
        assert!(requested.note(asset(1), now));
        assert!(requested.note(asset(1), now + period));
        assert!(!requested.note(asset(1), now + 3 * period), "that was long ago");
    }

    #[test]
    fn more_assets_in_turn_than_there_are_slots_are_mostly_unknown() {
        let known_at_second_requests = |count: u64| {
            let (requested, now) = (RecentlyRequested::new(Duration::from_secs(10)), Instant::now());
            let known = || (0..count).filter(|number| requested.note(asset(*number), now)).count();
            assert_eq!(known(), 0);
            known()
        };
        assert!(known_at_second_requests(20_000) < 1_000);
        assert!(known_at_second_requests(400) > 300, "few share a slot");
    }
}
