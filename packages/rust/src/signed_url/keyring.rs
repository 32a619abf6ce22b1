//! The keyring: selects the key that signs now, and finds the key that made a signature.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use subtle::{Choice, ConditionallySelectable};

use super::keyring_error::KeyringError;
use crate::secret::{MAC_LEN, SecretKey};
use crate::time::UnixSeconds;

/// A key's public name, as logs and `keys list` show it.
pub type KeyId = Arc<str>;

/// One key and its validity period.
#[derive(Debug, Clone)]
pub struct SigningKey {
    id: KeyId,
    secret: SecretKey,
    starts: UnixSeconds,
    ends: Option<UnixSeconds>,
}

impl SigningKey {
    /// A key that signs from `starts` on and neither signs nor verifies from `ends` on.
    #[must_use]
    pub fn new(
        id: impl Into<KeyId>,
        secret: SecretKey,
        starts: UnixSeconds,
        ends: Option<UnixSeconds>,
    ) -> Self {
        Self { id: id.into(), secret, starts, ends }
    }

    /// The key's id.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The second from which the key signs. It verifies earlier too, so that every replica accepts the links of a
    /// replica whose clock is ahead.
    #[must_use]
    pub fn starts(&self) -> UnixSeconds {
        self.starts
    }

    /// The second from which the key neither signs nor verifies.
    #[must_use]
    pub fn ends(&self) -> Option<UnixSeconds> {
        self.ends
    }

    fn has_ended(&self, now: UnixSeconds) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }

    /// Whether the key remains valid until a link expires.
    fn lasts_until(&self, expires: UnixSeconds) -> bool {
        self.ends.is_none_or(|ends| ends >= expires)
    }

    /// The HMAC-SHA256 of `message` by this key. Links and other uses of a keyring must not be mistaken for each other: the
    /// message of a link begins with `webhook-assets/v1`, so let yours begin with something else.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; MAC_LEN] {
        self.secret.sign(message)
    }
}

/// A set of keys: of the keys that have started, the newest signs; every key that has not ended verifies. Never empty.
#[derive(Debug, Clone)]
pub struct Keyring {
    keys: Vec<SigningKey>,
}

impl Keyring {
    /// A keyring of `keys`.
    ///
    /// # Errors
    /// [`KeyringError`] if there is no key, or two share an id.
    pub fn new(keys: Vec<SigningKey>) -> Result<Self, KeyringError> {
        if keys.is_empty() {
            return Err(KeyringError::Empty);
        }
        for (at, key) in keys.iter().enumerate() {
            if keys.iter().skip(at + 1).any(|other| other.id == key.id) {
                return Err(KeyringError::RepeatedId(key.id.to_string()));
            }
        }
        Ok(Self { keys })
    }

    /// A keyring with one key that is always valid.
    #[must_use]
    pub fn of_one(id: impl Into<KeyId>, secret: SecretKey) -> Self {
        Self { keys: vec![SigningKey::new(id, secret, UnixSeconds(0), None)] }
    }

    /// The keys, in the file's order.
    #[must_use]
    pub fn keys(&self) -> &[SigningKey] {
        &self.keys
    }

    /// The key that signs a link with this expiry: of the keys that have started and last as long as the link, the one
    /// that started last (the later in the file if two started together). A link whose key ends first would stop
    /// working early.
    #[must_use]
    pub fn signing_key(&self, now: UnixSeconds, expires: UnixSeconds) -> Option<&SigningKey> {
        self.keys
            .iter()
            .filter(|key| key.starts <= now && !key.has_ended(now) && key.lasts_until(expires))
            .max_by_key(|key| key.starts)
    }

    /// The first moment from `now` on at which no key can sign a link of `lifetime`; `None` if there is no such moment.
    #[must_use]
    pub fn first_gap(&self, now: UnixSeconds, lifetime: Duration) -> Option<UnixSeconds> {
        let last_use = |ends: UnixSeconds| UnixSeconds(ends.0.saturating_sub(lifetime.as_secs()));
        // The signing key changes only when a key starts, or when it comes too close to its end.
        let mut changes: Vec<UnixSeconds> = self
            .keys
            .iter()
            .flat_map(|key| {
                [
                    Some(key.starts),
                    key.ends,
                    key.ends.map(last_use),
                    key.ends.map(|e| UnixSeconds(last_use(e).0 + 1)),
                ]
            })
            .flatten()
            .filter(|change| *change > now)
            .chain([now])
            .collect();
        changes.sort_unstable();
        changes.into_iter().find(|at| self.signing_key(*at, at.plus(lifetime)).is_none())
    }

    /// Finds the key whose MAC of `message` is `mac`. Tries every key in constant time, without stopping at a match, so
    /// that the duration reveals nothing. Ignores keys that have ended.
    #[must_use]
    pub fn signer_of(&self, message: &[u8], mac: &[u8; MAC_LEN], now: UnixSeconds) -> Option<&SigningKey> {
        let mut found = u64::MAX;
        for (at, key) in (0_u64..).zip(&self.keys) {
            let fits = key.secret.signed(message, mac) & Choice::from(u8::from(!key.has_ended(now)));
            found.conditional_assign(&at, fits);
        }
        usize::try_from(found).ok().and_then(|at| self.keys.get(at))
    }

    /// Finds the key whose MAC matches, even if it has ended: for explanations, never for access.
    pub(super) fn find_ever(&self, message: &[u8], mac: &[u8; MAC_LEN]) -> Option<&SigningKey> {
        self.keys.iter().find(|key| bool::from(key.secret.signed(message, mac)))
    }
}

impl fmt::Display for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&str> = self.keys.iter().map(|key| key.id.as_ref()).collect();
        f.write_str(&ids.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, starts: u64, ends: Option<u64>) -> SigningKey {
        let secret = SecretKey::from_bytes(id.repeat(32).as_bytes()).unwrap();
        SigningKey::new(id, secret, UnixSeconds(starts), ends.map(UnixSeconds))
    }

    fn signer(keys: &[SigningKey], now: u64, expires: u64) -> Option<String> {
        let ring = Keyring::new(keys.to_vec()).unwrap();
        ring.signing_key(UnixSeconds(now), UnixSeconds(expires)).map(|key| key.id().to_string())
    }

    #[test]
    fn the_newest_key_whose_start_has_come_signs() {
        let keys = [key("b", 200, None), key("a", 100, None), key("c", 300, None)];
        assert_eq!(signer(&keys, 99, 100), None);
        assert_eq!(signer(&keys, 100, 150), Some("a".into()));
        assert_eq!(signer(&keys, 299, 350), Some("b".into()));
        assert_eq!(signer(&keys, 300, 350), Some("c".into()));
    }

    #[test]
    fn a_key_that_ends_before_the_link_does_not_sign_it() {
        let keys = [key("a", 100, None), key("b", 200, Some(400))];
        assert_eq!(signer(&keys, 250, 400), Some("b".into()));
        assert_eq!(signer(&keys, 250, 401), Some("a".into()));
    }

    #[test]
    fn a_gap_is_where_no_key_can_sign() {
        let gap = |keys: &[SigningKey]| {
            Keyring::new(keys.to_vec())
                .unwrap()
                .first_gap(UnixSeconds(1_000), Duration::from_secs(100))
                .map(|at| at.0)
        };
        assert_eq!(gap(&[key("a", 0, None)]), None);
        assert_eq!(gap(&[key("a", 2_000, None)]), Some(1_000));
        assert_eq!(gap(&[key("a", 0, Some(1_500))]), Some(1_401));
        assert_eq!(gap(&[key("a", 0, Some(1_500)), key("b", 1_401, None)]), None);
        assert_eq!(gap(&[key("a", 0, Some(1_500)), key("b", 1_450, None)]), Some(1_401));
    }

    #[test]
    fn all_keys_verify_until_they_end() {
        let keys = vec![key("a", 100, Some(300)), key("b", 900, None)];
        let macs: Vec<_> = keys.iter().map(|key| key.sign(b"m")).collect();
        let ring = Keyring::new(keys).unwrap();
        let fits = |mac, now| ring.signer_of(b"m", mac, UnixSeconds(now)).map(|key| key.id().to_string());
        assert_eq!(fits(&macs[0], 299), Some("a".into()));
        assert_eq!(fits(&macs[0], 300), None);
        assert_eq!(fits(&macs[1], 0), Some("b".into()), "before its start too");
        assert_eq!(fits(&[0; MAC_LEN], 0), None);
    }

    #[test]
    fn a_keyring_is_never_empty_and_its_ids_differ() {
        assert!(matches!(Keyring::new(vec![]), Err(KeyringError::Empty)));
        let twins = vec![key("a", 0, None), key("a", 1, None)];
        assert!(matches!(Keyring::new(twins), Err(KeyringError::RepeatedId(id)) if id == "a"));
    }
}
