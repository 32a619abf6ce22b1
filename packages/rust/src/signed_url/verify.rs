//! Verifies a link before anything is read from storage: its form, then its signature, then its time (contract §1).

use std::fmt;
use std::time::Duration;

use super::format::{Message, Parameter, as_minted, parameters, parse_expires, parse_sig};
use super::keyring::{KeyId, Keyring};
use crate::asset::{AssetKind, AssetRef, parse_canonical_id};
use crate::secret::MAC_LEN;
use crate::time::UnixSeconds;

/// The longest default lifetime of a link: 24 hours, as the public help page promises.
pub const DEFAULT_LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// How far the clocks of minter and gateway may differ before the gateway refuses a new link of the longest lifetime.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// The permission to read one asset. Only verifying or minting a link makes a grant, and the store accepts nothing
/// else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    asset: AssetRef,
    expires: UnixSeconds,
    key_id: KeyId,
}

impl Grant {
    pub(super) fn new(asset: AssetRef, expires: UnixSeconds, key_id: KeyId) -> Self {
        Self { asset, expires, key_id }
    }

    /// The asset that may be read.
    #[must_use]
    pub fn asset(&self) -> AssetRef {
        self.asset
    }

    /// The second from which the link has expired.
    #[must_use]
    pub fn expires(&self) -> UnixSeconds {
        self.expires
    }

    /// The id of the signing key.
    #[must_use]
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// How long the link remains valid.
    #[must_use]
    pub fn remaining(&self, now: UnixSeconds) -> Duration {
        self.expires.since(now)
    }
}

/// Why a link was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// The signature is valid, but the link has expired.
    Expired {
        /// The asset that the link named.
        asset: AssetRef,
        /// When the link expired.
        at: UnixSeconds,
        /// The id of the signing key.
        key_id: KeyId,
    },
    /// Any other reason. The response does not reveal it; the log does.
    Invalid(Refusal),
}

impl Denial {
    /// The stable code of the response: `expired` or `invalid_signature`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "expired",
            Self::Invalid(_) => "invalid_signature",
        }
    }

    /// The reason for logs and metrics, from a fixed set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "expired",
            Self::Invalid(refusal) => refusal.reason(),
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { at, .. } => write!(f, "the link expired at {at}"),
            Self::Invalid(refusal) => refusal.fmt(f),
        }
    }
}

impl std::error::Error for Denial {}

/// Why a link is invalid, apart from its expiry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The id is not a UUID in canonical spelling.
    MalformedId,
    /// `expires` is missing.
    MissingExpires,
    /// `expires` occurs more than once.
    RepeatedExpires,
    /// `expires` is not a decimal number in canonical spelling.
    MalformedExpires,
    /// `sig` is missing.
    MissingSig,
    /// `sig` occurs more than once.
    RepeatedSig,
    /// `sig` is not 64 lower-case hexadecimal digits.
    MalformedSig,
    /// No key of the keyring made this signature.
    NoKeyFits,
    /// The signature is valid, but the lifetime is longer than allowed.
    TooFarAhead {
        /// When the link would expire.
        expires: UnixSeconds,
    },
}

impl Refusal {
    /// The reason for logs and metrics, from a fixed set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.words().0
    }

    /// The reason, and a sentence that explains it.
    fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::MalformedId => ("malformed_id", "the id is not a lower-case hyphenated UUID"),
            Self::MissingExpires => ("missing_expires", "`expires` is missing"),
            Self::RepeatedExpires => ("repeated_expires", "`expires` stands more than once"),
            Self::MalformedExpires => ("malformed_expires", "`expires` is not a plain decimal number"),
            Self::MissingSig => ("missing_sig", "`sig` is missing"),
            Self::RepeatedSig => ("repeated_sig", "`sig` stands more than once"),
            Self::MalformedSig => ("malformed_sig", "`sig` is not 64 lower-case hexadecimal digits"),
            Self::NoKeyFits => ("no_key_fits", "the sig fits no key of the keyring"),
            Self::TooFarAhead { .. } => ("too_far_ahead", "it would be good for longer than links may live"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFarAhead { expires } => {
                write!(f, "it would be good until {expires}, longer than links may live")
            }
            other => f.write_str(other.words().1),
        }
    }
}

/// Verifies links. It needs only the parts of a link and the keys: host and path prefix are not signed.
#[derive(Debug, Clone, Copy)]
pub struct Verifier {
    longest_lifetime: Duration,
}

impl Default for Verifier {
    fn default() -> Self {
        Self::new(DEFAULT_LONGEST_LIFETIME)
    }
}

impl Verifier {
    /// A verifier that refuses links that expire later than `longest_lifetime` plus [`CLOCK_SKEW`] from now.
    #[must_use]
    pub fn new(longest_lifetime: Duration) -> Self {
        Self { longest_lifetime }
    }

    /// Verifies the link `/webhook-assets/{kind}/{id}?{query}` as received, without decoding. [`split_route`] splits the
    /// path; `query` is what follows the question mark. Parameters other than `expires` and `sig` do not matter.
    ///
    /// [`split_route`]: super::split_route
    ///
    /// # Errors
    /// [`Denial`]; the checks run in the order of the contract: form, signature, time.
    pub fn verify(
        &self,
        keyring: &Keyring,
        kind: AssetKind,
        id: &str,
        query: &str,
        now: UnixSeconds,
    ) -> Result<Grant, Denial> {
        let link = ParsedLink::parse(kind, id, query).map_err(Denial::Invalid)?;
        let message = &link.message;
        let Some(key) = keyring.signer_of(message.as_bytes(), &link.mac, now) else {
            return Err(Denial::Invalid(Refusal::NoKeyFits));
        };
        self.check_time(&link, key.id().clone(), now)
    }

    fn check_time(&self, link: &ParsedLink, key_id: KeyId, now: UnixSeconds) -> Result<Grant, Denial> {
        let ParsedLink { asset, expires, .. } = *link;
        if expires <= now {
            return Err(Denial::Expired { asset, at: expires, key_id });
        }
        if expires > now.plus(self.longest_lifetime).plus(CLOCK_SKEW) {
            return Err(Denial::Invalid(Refusal::TooFarAhead { expires }));
        }
        Ok(Grant::new(asset, expires, key_id))
    }
}

/// The parts of a well-formed link that is not verified yet.
pub(super) struct ParsedLink {
    pub(super) asset: AssetRef,
    pub(super) expires: UnixSeconds,
    pub(super) mac: [u8; MAC_LEN],
    /// The signed bytes.
    pub(super) message: Message,
}

impl ParsedLink {
    pub(super) fn parse(kind: AssetKind, id: &str, query: &str) -> Result<Self, Refusal> {
        // Nearly every query has exactly the minted form. Any other query is parsed in full.
        let minted = as_minted(query)
            .and_then(|(expires, sig)| Some((parse_expires(expires)?, expires, parse_sig(sig)?)));
        let (expires, number, mac) = minted.map_or_else(|| Self::parse_query(query), Ok)?;
        let asset = AssetRef { kind, id: parse_canonical_id(id).ok_or(Refusal::MalformedId)? };
        // Both are in canonical spelling, which the key signed.
        Ok(Self { asset, expires, mac, message: Message::of_texts(kind, id, number) })
    }

    fn parse_query(query: &str) -> Result<(UnixSeconds, &str, [u8; MAC_LEN]), Refusal> {
        let [expires, sig] = parameters(query, ["expires", "sig"]);
        let (expires, number) = match expires {
            Parameter::Missing => return Err(Refusal::MissingExpires),
            Parameter::Repeated => return Err(Refusal::RepeatedExpires),
            Parameter::Once(text) => (parse_expires(text).ok_or(Refusal::MalformedExpires)?, text),
        };
        let mac = match sig {
            Parameter::Missing => return Err(Refusal::MissingSig),
            Parameter::Repeated => return Err(Refusal::RepeatedSig),
            Parameter::Once(text) => parse_sig(text).ok_or(Refusal::MalformedSig)?,
        };
        Ok((expires, number, mac))
    }
}
