//! How many are here: the caps on connections, in all and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts who is here. Clones count together.
#[derive(Debug, Clone)]
pub(super) struct Crowd(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    most: AtomicUsize,
    most_each: AtomicUsize,
    here: Mutex<Here>,
}

#[derive(Debug, Default)]
struct Here {
    all: usize,
    each: HashMap<IpAddr, usize>,
}

/// Which cap is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Everywhere,
    AtAddress,
}

/// One who is here, until dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Crowd,
    /// The address that is counted, or the total.
    of: Option<IpAddr>,
}

impl Crowd {
    pub(super) fn new(most: usize, most_each: usize) -> Self {
        let (most, most_each) = (most.into(), most_each.into());
        Self(Arc::new(Counts { most, most_each, here: Mutex::default() }))
    }

    /// So many from now on. Whoever is here stays.
    pub(super) fn resize(&self, most: usize, most_each: usize) {
        self.0.most.store(most, Ordering::Relaxed);
        self.0.most_each.store(most_each, Ordering::Relaxed);
    }

    /// One more, of whomever.
    pub(super) fn enter(&self) -> Result<Place, Full> {
        let mut here = self.here();
        if here.all >= self.0.most.load(Ordering::Relaxed) {
            return Err(Full::Everywhere);
        }
        here.all += 1;
        Ok(Place { crowd: self.clone(), of: None })
    }

    /// One more of this address.
    pub(super) fn enter_from(&self, address: IpAddr) -> Result<Place, Full> {
        let address = household(address);
        let mut here = self.here();
        let count = here.each.entry(address).or_default();
        if *count >= self.0.most_each.load(Ordering::Relaxed) {
            return Err(Full::AtAddress);
        }
        *count += 1;
        Ok(Place { crowd: self.clone(), of: Some(address) })
    }

    fn here(&self) -> MutexGuard<'_, Here> {
        self.0.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut here = self.crowd.here();
        let Some(address) = self.of else {
            here.all -= 1;
            return;
        };
        if let Some(count) = here.each.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                here.each.remove(&address);
            }
        }
    }
}

/// Whoever has an IPv6 address has at least the 2^64 of its /64.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_makes_room() {
        let crowd = Crowd::new(2, 1);
        let (first, second) = (crowd.enter().unwrap(), crowd.enter().unwrap());
        assert_eq!(crowd.enter().unwrap_err(), Full::Everywhere);
        drop(first);
        let third = crowd.enter().unwrap();
        assert!(crowd.enter().is_err());
        drop((second, third));
        assert_eq!(crowd.here().all, 0);
    }

    #[test]
    fn a_cap_that_is_lowered_sends_nobody_away() {
        let crowd = Crowd::new(2, 9);
        let here = [crowd.enter().unwrap(), crowd.enter().unwrap()];
        crowd.resize(1, 9);
        let [first, _second] = here;
        drop(first);
        assert_eq!(crowd.enter().unwrap_err(), Full::Everywhere);
        crowd.resize(2, 9);
        assert!(crowd.enter().is_ok());
    }

    #[test]
    fn each_address_has_its_own_room_and_leaves_nothing_behind() {
        let crowd = Crowd::new(9, 1);
        let enter = |address: &str| crowd.enter_from(address.parse().unwrap());
        let here = [enter("192.0.2.1").unwrap(), enter("192.0.2.2").unwrap(), enter("2001:db8::1").unwrap()];
        for taken in ["192.0.2.1", "::ffff:192.0.2.2", "2001:db8::ffff:1"] {
            assert_eq!(enter(taken).unwrap_err(), Full::AtAddress, "{taken}");
        }
        assert!(enter("2001:db8:0:1::1").is_ok());
        drop(here);
        assert!(crowd.here().each.is_empty());
    }
}
