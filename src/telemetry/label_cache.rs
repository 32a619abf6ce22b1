//! Finds the metrics of a label set without hashing: a process uses few label sets.

use std::sync::{PoisonError, RwLock};

/// Values by key, for a small number of keys.
#[derive(Debug)]
pub(crate) struct LabelCache<K, V>(RwLock<Vec<(K, V)>>);

impl<K, V> Default for LabelCache<K, V> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: PartialEq, V> LabelCache<K, V> {
    /// Calls `act` with the value of `key`; the first use of a key creates its value with `make`.
    pub(crate) fn with(&self, key: K, make: impl FnOnce(&K) -> V, act: impl FnOnce(&V)) {
        let met = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, value)) = met.iter().find(|(met, _)| *met == key) {
            return act(value);
        }
        drop(met);
        let value = make(&key);
        act(&value);
        // Another thread may have added the same key: then there are two entries, and either will do.
        self.0.write().unwrap_or_else(PoisonError::into_inner).push((key, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_value_is_made_once_for_each_key() {
        let (known, made) = (LabelCache::default(), Cell::new(0));
        let make = |key: &u8| {
            made.set(made.get() + 1);
            u32::from(*key) * 10
        };
        for (key, value) in [(1, 10), (2, 20), (1, 10)] {
            known.with(key, make, |found| assert_eq!(*found, value));
        }
        assert_eq!(made.get(), 2);
    }
}
