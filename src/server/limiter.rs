//! Limits that all clients share, with a share for each address: connections, requests in flight, and what else one client
//! could take from all the others.
//!
//! An address may hold as many as are free at that moment (the dynamic thresholds of switches' shared buffers): one alone
//! gets half of all, n of them leave an (n+1)th free. So an address that comes anew is served however many others hold all
//! that they may, and no number has to be guessed. A limit for each address can be set beside that.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Gives permits out. Clones share them.
#[derive(Debug, Clone)]
pub struct Limiter(Arc<State>);

#[derive(Debug)]
struct State {
    most: AtomicUsize,
    used: AtomicUsize,
    shares: Mutex<Shares>,
}

#[derive(Debug)]
struct Shares {
    /// Not set, or as large as the whole: an address may have all.
    per_address: Option<usize>,
    /// What each network holds.
    held: HashMap<IpAddr, usize>,
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitReached {
    /// That of all together.
    Total,
    /// The share of one address.
    Address,
}

/// What a client holds, until dropped.
#[derive(Debug)]
pub struct Permit {
    limiter: Limiter,
    /// Whose share it is part of.
    network: Option<IpAddr>,
    /// How much of the share, and of the whole.
    weight: usize,
    of_all: usize,
}

impl Limiter {
    /// At most so many in all, and for each address; without the latter, an address may hold as many as are free.
    #[must_use]
    pub fn new(most: usize, per_address: Option<usize>) -> Self {
        let shares = Mutex::new(Shares { per_address, held: HashMap::new() });
        Self(Arc::new(State { most: most.into(), used: 0.into(), shares }))
    }

    /// So many from now on. What is held stays held.
    pub(super) fn resize(&self, most: usize, per_address: Option<usize>) {
        self.0.most.store(most, Ordering::Relaxed);
        self.shares().per_address = per_address;
    }

    /// Whether anything is free.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.free() > 0
    }

    /// One more, for `address`; without an address, no share counts.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn enter(&self, address: Option<IpAddr>) -> Result<Permit, LimitReached> {
        self.enter_with(address, 1)
    }

    /// The same for one that counts as many.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn enter_with(&self, address: Option<IpAddr>, weight: usize) -> Result<Permit, LimitReached> {
        let Some(address) = address else {
            self.take(weight)?;
            return Ok(Permit { limiter: self.clone(), network: None, weight, of_all: weight });
        };
        let (network, mut shares) = (network_of(address), self.shares());
        if self.free() < weight {
            return Err(LimitReached::Total);
        }
        shares.hold(network, weight, self)?;
        if let Err(full) = self.take(weight) {
            shares.release(network, weight);
            return Err(full);
        }
        Ok(Permit { limiter: self.clone(), network: Some(network), weight, of_all: weight })
    }

    /// One more of the share of `address`, of which the whole is counted elsewhere.
    pub(super) fn enter_share(&self, address: IpAddr) -> Result<Permit, LimitReached> {
        let network = network_of(address);
        self.shares().hold(network, 1, self)?;
        Ok(Permit { limiter: self.clone(), network: Some(network), weight: 1, of_all: 0 })
    }

    fn take(&self, weight: usize) -> Result<(), LimitReached> {
        let most = self.0.most.load(Ordering::Relaxed);
        let more = |used: usize| used.checked_add(weight).filter(|used| *used <= most);
        let taken = self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.map(drop).map_err(|_| LimitReached::Total)
    }

    fn free(&self) -> usize {
        self.0.most.load(Ordering::Relaxed).saturating_sub(self.0.used.load(Ordering::Relaxed))
    }

    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.0.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shares {
    fn hold(&mut self, network: IpAddr, weight: usize, limiter: &Limiter) -> Result<(), LimitReached> {
        let most = limiter.0.most.load(Ordering::Relaxed);
        // Who sets as many for one as for all wants no shares: everybody comes through one proxy.
        let share = match self.per_address {
            Some(each) if each >= most => each,
            Some(each) => each.min(limiter.free()),
            None => limiter.free(),
        };
        let held = self.held.get(&network).copied().unwrap_or_default();
        if held.saturating_add(weight) > share {
            return Err(LimitReached::Address);
        }
        self.held.insert(network, held + weight);
        Ok(())
    }

    fn release(&mut self, network: IpAddr, weight: usize) {
        if let Some(held) = self.held.get_mut(&network) {
            *held = held.saturating_sub(weight);
            if *held == 0 {
                self.held.remove(&network);
            }
        }
    }
}

impl Permit {
    /// What is counted as one address, if it is part of a share: an IPv6 address stands for its /64.
    #[must_use]
    pub fn network(&self) -> Option<IpAddr> {
        self.network
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limiter.0.used.fetch_sub(self.of_all, Ordering::Relaxed);
        if let Some(network) = self.network {
            self.limiter.shares().release(network, self.weight);
        }
    }
}

/// What is counted as one address: who has an IPv6 address has at least the 2^64 of its /64.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many permits for one address as it gets.
    fn all_for(limiter: &Limiter, address: &str) -> Vec<Permit> {
        std::iter::from_fn(|| limiter.enter(address.parse().ok()).ok()).collect()
    }

    #[test]
    fn a_permit_that_is_dropped_makes_room() {
        let limiter = Limiter::new(2, None);
        let (first, second) = (limiter.enter(None).unwrap(), limiter.enter(None).unwrap());
        assert_eq!(limiter.enter(None).unwrap_err(), LimitReached::Total);
        assert!(!limiter.has_room());
        drop(first);
        let third = limiter.enter(None).unwrap();
        assert!(limiter.enter(None).is_err());
        drop((second, third));
        assert_eq!(limiter.free(), 2);
    }

    #[test]
    fn a_limit_that_is_lowered_takes_nothing_away() {
        let limiter = Limiter::new(2, Some(9));
        let held = [limiter.enter(None).unwrap(), limiter.enter(None).unwrap()];
        limiter.resize(1, Some(9));
        let [first, _second] = held;
        drop(first);
        assert_eq!(limiter.enter(None).unwrap_err(), LimitReached::Total);
        limiter.resize(2, Some(9));
        assert!(limiter.enter(None).is_ok());
    }

    #[test]
    fn each_address_has_its_own_share_and_leaves_nothing_behind() {
        let limiter = Limiter::new(9, Some(1));
        let enter = |address: &str| limiter.enter(address.parse().ok());
        let held = [enter("192.0.2.1").unwrap(), enter("192.0.2.2").unwrap(), enter("2001:db8::1").unwrap()];
        for taken in ["192.0.2.1", "::ffff:192.0.2.2", "2001:db8::ffff:1"] {
            assert_eq!(enter(taken).unwrap_err(), LimitReached::Address, "{taken}");
            assert_eq!(limiter.enter_share(taken.parse().unwrap()).unwrap_err(), LimitReached::Address);
        }
        assert!(enter("2001:db8:0:1::1").is_ok());
        drop(held);
        assert!(limiter.shares().held.is_empty());
        assert_eq!(limiter.free(), 9);
    }

    #[test]
    fn one_address_takes_half_and_ten_leave_room_for_an_eleventh() {
        let limiter = Limiter::new(4_096, None);
        let first = all_for(&limiter, "192.0.2.1");
        assert_eq!(first.len(), 2_048);
        let others: Vec<_> = (2..=10).map(|at| all_for(&limiter, &format!("192.0.2.{at}"))).collect();
        assert!(others.iter().all(|held| !held.is_empty()));
        assert!(!all_for(&limiter, "192.0.2.11").is_empty(), "there is room for who comes last");
        drop(first);
        assert!(all_for(&limiter, "192.0.2.12").len() > 1_000, "what comes free can be had");
    }

    #[test]
    fn a_small_share_that_is_set_shrinks_when_little_is_free() {
        let limiter = Limiter::new(100, Some(60));
        let first = all_for(&limiter, "192.0.2.1");
        assert_eq!(first.len(), 50, "never more than are free");
        drop(first);
        let limiter = Limiter::new(100, Some(10));
        assert_eq!(all_for(&limiter, "192.0.2.1").len(), 10);
    }

    #[test]
    fn a_share_as_large_as_the_whole_is_no_share() {
        let limiter = Limiter::new(100, Some(100));
        let held = all_for(&limiter, "192.0.2.1");
        assert_eq!(held.len(), 100);
        assert_eq!(limiter.enter("192.0.2.2".parse().ok()).unwrap_err(), LimitReached::Total);
    }

    #[test]
    fn the_last_free_one_is_had_by_who_holds_none() {
        let limiter = Limiter::new(1, None);
        let held = limiter.enter("192.0.2.1".parse().ok()).unwrap();
        assert_eq!(limiter.enter("192.0.2.2".parse().ok()).unwrap_err(), LimitReached::Total);
        drop(held);
        assert!(limiter.enter("192.0.2.2".parse().ok()).is_ok());
    }

    #[test]
    fn what_counts_as_many_takes_as_many_of_its_share() {
        let limiter = Limiter::new(100, None);
        let address = "192.0.2.1".parse().ok();
        let held = limiter.enter_with(address, 40).unwrap();
        assert_eq!(limiter.enter_with(address, 30).unwrap_err(), LimitReached::Address);
        assert_eq!(limiter.enter_with("192.0.2.2".parse().ok(), 61).unwrap_err(), LimitReached::Total);
        assert!(limiter.enter_with(address, 20).is_ok());
        drop(held);
        assert_eq!(limiter.free(), 100);
    }
}
