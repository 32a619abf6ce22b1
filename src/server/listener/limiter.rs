//! Limits that all clients share (connections, requests in flight, memory), with a fair share per address. No crate
//! offers this: tokio's `Semaphore` grants all permits to a single address.
//!
//! An address may hold as many permits as are free at that moment, like dynamic thresholds in the shared buffers of
//! switches. A single address gets half of all permits, and n addresses leave room for one more. A new address
//! therefore gets a permit even if the others hold all they may, without a configured limit per address. Such a limit
//! can be set in addition.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Grants permits. Clones share the limits.
#[derive(Debug, Clone)]
pub struct Limiter(Arc<State>);

#[derive(Debug)]
struct State {
    capacity: AtomicUsize,
    used: AtomicUsize,
    shares: Mutex<Shares>,
}

#[derive(Debug)]
struct Shares {
    /// The limit per address. A limit as large as the capacity turns shares off.
    per_address: Option<usize>,
    /// The number of permits that each network holds.
    held: HashMap<IpAddr, usize>,
}

/// The limit that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitReached {
    /// The capacity.
    Total,
    /// The share of one address.
    Address,
}

/// A permit, held until dropped.
#[derive(Debug)]
pub struct Permit {
    limiter: Limiter,
    /// The network whose share the permit counts towards.
    network: Option<IpAddr>,
    /// The weight in the network's share, and in the capacity.
    weight: usize,
    total_weight: usize,
}

impl Limiter {
    /// Creates a limiter with `capacity` permits. Without `per_address`, an address may hold as many as are free.
    #[must_use]
    pub fn new(capacity: usize, per_address: Option<usize>) -> Self {
        let shares = Mutex::new(Shares { per_address, held: HashMap::new() });
        Self(Arc::new(State { capacity: capacity.into(), used: 0.into(), shares }))
    }

    /// Changes the limits. Granted permits stay valid.
    pub(crate) fn resize(&self, capacity: usize, per_address: Option<usize>) {
        self.0.capacity.store(capacity, Ordering::Relaxed);
        self.shares().per_address = per_address;
    }

    /// Whether a permit is free.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.free() > 0
    }

    /// Grants a permit to `address`. Without an address, the permit counts towards the capacity only.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn acquire(&self, address: Option<IpAddr>) -> Result<Permit, LimitReached> {
        self.acquire_weighted(address, 1)
    }

    /// Grants a permit that counts `weight` times.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn acquire_weighted(&self, address: Option<IpAddr>, weight: usize) -> Result<Permit, LimitReached> {
        let Some(address) = address else {
            self.take(weight)?;
            return Ok(Permit { limiter: self.clone(), network: None, weight, total_weight: weight });
        };
        let (network, mut shares) = (network_of(address), self.shares());
        if self.free() < weight {
            return Err(LimitReached::Total);
        }
        shares.hold(network, weight, self)?;
        if let Err(limit) = self.take(weight) {
            shares.release(network, weight);
            return Err(limit);
        }
        Ok(Permit { limiter: self.clone(), network: Some(network), weight, total_weight: weight })
    }

    /// Grants a permit that counts only towards the share of `address`. The caller holds another one that counts
    /// towards the capacity.
    pub(crate) fn acquire_share(&self, address: IpAddr) -> Result<Permit, LimitReached> {
        let network = network_of(address);
        self.shares().hold(network, 1, self)?;
        Ok(Permit { limiter: self.clone(), network: Some(network), weight: 1, total_weight: 0 })
    }

    fn take(&self, weight: usize) -> Result<(), LimitReached> {
        let capacity = self.0.capacity.load(Ordering::Relaxed);
        let more = |used: usize| used.checked_add(weight).filter(|used| *used <= capacity);
        let taken = self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.map(drop).map_err(|_| LimitReached::Total)
    }

    fn free(&self) -> usize {
        self.0.capacity.load(Ordering::Relaxed).saturating_sub(self.0.used.load(Ordering::Relaxed))
    }

    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.0.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shares {
    fn hold(&mut self, network: IpAddr, weight: usize, limiter: &Limiter) -> Result<(), LimitReached> {
        let capacity = limiter.0.capacity.load(Ordering::Relaxed);
        // A limit as large as the capacity turns shares off: all clients come through one proxy.
        let share = match self.per_address {
            Some(each) if each >= capacity => each,
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
    /// Lowers the weight to `weight`, and gives back the difference.
    pub fn shrink(&mut self, weight: usize) {
        let given_back = self.weight.saturating_sub(weight);
        self.weight -= given_back;
        let of_capacity = given_back.min(self.total_weight);
        self.total_weight -= of_capacity;
        self.limiter.0.used.fetch_sub(of_capacity, Ordering::Relaxed);
        if let Some(network) = self.network {
            self.limiter.shares().release(network, given_back);
        }
    }

    /// The network whose share the permit counts towards: an IPv4 address, or the /64 of an IPv6 address.
    #[must_use]
    pub fn network(&self) -> Option<IpAddr> {
        self.network
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limiter.0.used.fetch_sub(self.total_weight, Ordering::Relaxed);
        if let Some(network) = self.network {
            self.limiter.shares().release(network, self.weight);
        }
    }
}

/// Returns the network that counts as one address. A client with an IPv6 address usually has its whole /64.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Acquires permits for one address until the limiter refuses.
    fn all_for(limiter: &Limiter, address: &str) -> Vec<Permit> {
        std::iter::from_fn(|| limiter.acquire(address.parse().ok()).ok()).collect()
    }

    #[test]
    fn a_permit_that_shrinks_gives_back_the_difference_in_all_and_for_its_address() {
        let limiter = Limiter::new(100, None);
        let mut permit = limiter.acquire_weighted("192.0.2.1".parse().ok(), 50).unwrap();
        assert!(limiter.acquire(Some("192.0.2.1".parse().unwrap())).is_err(), "it has its share");
        permit.shrink(10);
        assert_eq!(limiter.free(), 90);
        let others = limiter.acquire_weighted("192.0.2.1".parse().ok(), 40).unwrap();
        permit.shrink(60);
        assert_eq!(limiter.free(), 50);
        drop((permit, others));
        assert_eq!((limiter.free(), limiter.shares().held.len()), (100, 0));
    }

    #[test]
    fn a_permit_that_is_dropped_makes_room() {
        let limiter = Limiter::new(2, None);
        let (first, second) = (limiter.acquire(None).unwrap(), limiter.acquire(None).unwrap());
        assert_eq!(limiter.acquire(None).unwrap_err(), LimitReached::Total);
        assert!(!limiter.has_room());
        drop(first);
        let third = limiter.acquire(None).unwrap();
        assert!(limiter.acquire(None).is_err());
        drop((second, third));
        assert_eq!(limiter.free(), 2);
    }

    #[test]
    fn lowering_a_limit_revokes_no_permit() {
        let limiter = Limiter::new(2, Some(9));
        let held = [limiter.acquire(None).unwrap(), limiter.acquire(None).unwrap()];
        limiter.resize(1, Some(9));
        let [first, _second] = held;
        drop(first);
        assert_eq!(limiter.acquire(None).unwrap_err(), LimitReached::Total);
        limiter.resize(2, Some(9));
        assert!(limiter.acquire(None).is_ok());
    }

    #[test]
    fn each_address_has_its_own_share_and_releases_all_of_it() {
        let limiter = Limiter::new(9, Some(1));
        let acquire = |address: &str| limiter.acquire(address.parse().ok());
        let held =
            [acquire("192.0.2.1").unwrap(), acquire("192.0.2.2").unwrap(), acquire("2001:db8::1").unwrap()];
        for taken in ["192.0.2.1", "::ffff:192.0.2.2", "2001:db8::ffff:1"] {
            assert_eq!(acquire(taken).unwrap_err(), LimitReached::Address, "{taken}");
            assert_eq!(limiter.acquire_share(taken.parse().unwrap()).unwrap_err(), LimitReached::Address);
        }
        assert!(acquire("2001:db8:0:1::1").is_ok());
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
        assert!(!all_for(&limiter, "192.0.2.11").is_empty(), "the last address gets a permit");
        drop(first);
        assert!(all_for(&limiter, "192.0.2.12").len() > 1_000, "released permits are free again");
    }

    #[test]
    fn a_share_is_never_larger_than_what_is_free() {
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
        assert_eq!(limiter.acquire("192.0.2.2".parse().ok()).unwrap_err(), LimitReached::Total);
    }

    #[test]
    fn the_last_permit_goes_to_an_address_that_holds_none() {
        let limiter = Limiter::new(1, None);
        let held = limiter.acquire("192.0.2.1".parse().ok()).unwrap();
        assert_eq!(limiter.acquire("192.0.2.2".parse().ok()).unwrap_err(), LimitReached::Total);
        drop(held);
        assert!(limiter.acquire("192.0.2.2".parse().ok()).is_ok());
    }

    #[test]
    fn a_weighted_permit_takes_its_weight_of_the_share() {
        let limiter = Limiter::new(100, None);
        let address = "192.0.2.1".parse().ok();
        let held = limiter.acquire_weighted(address, 40).unwrap();
        assert_eq!(limiter.acquire_weighted(address, 30).unwrap_err(), LimitReached::Address);
        assert_eq!(limiter.acquire_weighted("192.0.2.2".parse().ok(), 61).unwrap_err(), LimitReached::Total);
        assert!(limiter.acquire_weighted(address, 20).is_ok());
        drop(held);
        assert_eq!(limiter.free(), 100);
    }
}
