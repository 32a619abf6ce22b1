//! Passes: signed tokens of the settings page, each valid for one purpose and until it expires. The same keys sign
//! links and passes. The signed bytes begin with the purpose, so no pass is valid as a link or for another purpose.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::clock::UnixSeconds;
use crate::secret::MAC_LEN;
use crate::signed_url::Keyring;

/// The longest pass that is accepted, in bytes: with its name and attributes, a cookie holds no more.
const LONGEST: usize = 3_800;

/// The purpose of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A sign-in link.
    PortalLink,
    /// The session cookie.
    Session,
    /// The CSRF token of a form.
    Form,
    /// A page that briefly shows a secret or links.
    Reveal,
}

impl Purpose {
    /// The first signed line. A link's first line is `webhook-assets/v1`.
    fn domain(self) -> &'static str {
        match self {
            Self::PortalLink => "webhook-assets/portal-link/v1",
            Self::Session => "webhook-assets/session/v1",
            Self::Form => "webhook-assets/form/v1",
            Self::Reveal => "webhook-assets/reveal/v1",
        }
    }
}

/// Why a pass is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PassError {
    /// The pass expired at this time.
    Expired(UnixSeconds),
    /// No key signed the pass for this purpose.
    Invalid,
}

impl Purpose {
    /// Signs `content` until `expires`: `{content}.{expires}.{signature}`, in characters that need no escapes in URLs
    /// and cookies. `None` if no key lasts until `expires`.
    #[must_use]
    pub(super) fn sign(
        self,
        keyring: &Keyring,
        content: &[u8],
        now: UnixSeconds,
        expires: UnixSeconds,
    ) -> Option<String> {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(content), expires.0);
        let mac = keyring.signing_key(now, expires)?.sign(&self.message(&signed));
        Some(format!("{signed}.{}", hex::encode(mac)))
    }

    /// Returns the content and expiry of a valid pass.
    ///
    /// # Errors
    /// [`PassError`]; the expiry is checked only after the signature.
    pub(super) fn read(
        self,
        keyring: &Keyring,
        pass: &str,
        now: UnixSeconds,
    ) -> Result<(Vec<u8>, UnixSeconds), PassError> {
        let (content, expires) = self.read_expired(keyring, pass, now)?;
        if now < expires { Ok((content, expires)) } else { Err(PassError::Expired(expires)) }
    }

    /// Returns the content and expiry of a pass that was valid once. It grants nothing any more, but says what it was for.
    ///
    /// # Errors
    /// [`PassError::Invalid`] if no key signed it for this purpose.
    pub(super) fn read_expired(
        self,
        keyring: &Keyring,
        pass: &str,
        now: UnixSeconds,
    ) -> Result<(Vec<u8>, UnixSeconds), PassError> {
        let (signed, sig) =
            pass.rsplit_once('.').filter(|_| pass.len() <= LONGEST).ok_or(PassError::Invalid)?;
        let mut mac = [0; MAC_LEN];
        if sig.contains(char::is_uppercase) || hex::decode_to_slice(sig, &mut mac).is_err() {
            return Err(PassError::Invalid);
        }
        keyring.signer_of(&self.message(signed), &mac, now).ok_or(PassError::Invalid)?;
        let (content, expires) = signed.split_once('.').ok_or(PassError::Invalid)?;
        let expires = expires.parse().map(UnixSeconds).map_err(|_| PassError::Invalid)?;
        let content = URL_SAFE_NO_PAD.decode(content).map_err(|_| PassError::Invalid)?;
        Ok((content, expires))
    }

    fn message(self, signed: &str) -> Vec<u8> {
        format!("{}\n{signed}", self.domain()).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::secret::SecretKey;
    use crate::{AssetRef, Minter};

    const NOW: UnixSeconds = UnixSeconds(4_000_000_000);
    const THEN: UnixSeconds = UnixSeconds(4_000_000_900);

    fn ring() -> Keyring {
        Keyring::of_one("k1", SecretKey::from_bytes(&[7; 32]).unwrap())
    }

    #[test]
    fn a_pass_has_the_signed_content_until_it_expires() {
        let pass = Purpose::Session.sign(&ring(), "{\"w\":\"é\"}".as_bytes(), NOW, THEN).unwrap();
        assert!(pass.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)), "{pass}");
        let read = |now| Purpose::Session.read(&ring(), &pass, UnixSeconds(now));
        assert_eq!(read(THEN.0 - 1), Ok(("{\"w\":\"é\"}".as_bytes().to_vec(), THEN)));
        assert_eq!(read(THEN.0), Err(PassError::Expired(THEN)));
        let expired = Purpose::Session.read_expired(&ring(), &pass, THEN);
        assert_eq!(expired, Ok(("{\"w\":\"é\"}".as_bytes().to_vec(), THEN)));
        assert!(Purpose::Form.read_expired(&ring(), &pass, THEN).is_err());
    }

    #[test]
    fn a_pass_is_good_for_its_purpose_only_and_no_link_is_a_pass() {
        let purposes = [Purpose::PortalLink, Purpose::Session, Purpose::Form, Purpose::Reveal];
        for made in purposes {
            let pass = made.sign(&ring(), b"x", NOW, THEN).unwrap();
            for read in purposes {
                assert_eq!(read.read(&ring(), &pass, NOW).is_ok(), made == read, "{made:?} {read:?}");
            }
        }
        let minter = Minter::new("https://app.example.com", ring()).unwrap();
        let link =
            minter.mint_at(AssetRef::recording(uuid::Uuid::nil()), Duration::from_secs(60), NOW).unwrap();
        let sig = link.as_str().rsplit_once('=').unwrap().1;
        for signed in
            ["recording.4000000060", "v1\nrecording\n00000000-0000-0000-0000-000000000000\n4000000060"]
        {
            for purpose in purposes {
                assert_eq!(purpose.read(&ring(), &format!("{signed}.{sig}"), NOW), Err(PassError::Invalid));
            }
        }
    }

    #[test]
    fn a_changed_pass_is_invalid() {
        let pass = Purpose::PortalLink.sign(&ring(), b"acme", NOW, THEN).unwrap();
        for at in 0..pass.len() {
            let mut changed = pass.clone().into_bytes();
            changed[at] = if changed[at] == b'a' { b'b' } else { b'a' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(Purpose::PortalLink.read(&ring(), &changed, NOW), Err(PassError::Invalid), "{at}");
        }
        for bad in ["", ".", "..", "a.b.c", &pass.to_uppercase(), &"a".repeat(5_000)] {
            assert_eq!(Purpose::PortalLink.read(&ring(), bad, NOW), Err(PassError::Invalid), "{bad}");
        }
    }
}
