//! Mints links.

use std::fmt;
use std::time::Duration;

use uuid::fmt::Hyphenated;

use super::format::{BaseUrl, BaseUrlError, Message};
use super::key_source::KeySource;
use super::verify::{DEFAULT_LONGEST_LIFETIME, Grant};
use crate::asset::{AssetRef, ROUTE_ROOT, TranscriptFormat};
use crate::time::{UnixSeconds, format_exact};

/// Mints signed URLs for one public base URL. Cheap to clone; one minter serves any number of threads.
///
/// ```
/// use std::time::Duration;
/// use webhook_assets_links::{AssetRef, Keyring, Minter, SecretKey, Uuid};
///
/// # let keyring = Keyring::of_one("demo", SecretKey::from_bytes(&[7; 32])?);
/// // From the keyring file: ReloadingKeyring::read("/etc/webhook-assets/keys.json")?
/// let minter = Minter::new("https://app.example.com/api", keyring)?;
/// let call = Uuid::parse_str("550e8400-e29b-41d4-a716-446655440000")?;
/// let link = minter.mint(AssetRef::recording(call), Duration::from_secs(24 * 60 * 60))?;
/// assert!(link.as_str().starts_with("https://app.example.com/api/webhook-assets/recording/550e8400-"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Minter {
    base: BaseUrl,
    keys: KeySource,
    longest_lifetime: Duration,
}

impl Minter {
    /// A minter for links below `base_url` with a lifetime of at most 24 hours. `keys` is a [`Keyring`](crate::Keyring), or a
    /// [`ReloadingKeyring`](crate::ReloadingKeyring) for a process that outlives its keys.
    ///
    /// # Errors
    /// [`BaseUrlError`] if `base_url` is not a scheme, host and path.
    pub fn new(base_url: &str, keys: impl Into<KeySource>) -> Result<Self, BaseUrlError> {
        Ok(Self::for_base(BaseUrl::parse(base_url)?, keys))
    }

    /// A minter for a parsed base URL.
    pub fn for_base(base: BaseUrl, keys: impl Into<KeySource>) -> Self {
        Self { base, keys: keys.into(), longest_lifetime: DEFAULT_LONGEST_LIFETIME }
    }

    /// Allows lifetimes up to `longest`. The gateway must be configured to accept them.
    #[must_use]
    pub fn with_longest_lifetime(mut self, longest: Duration) -> Self {
        self.longest_lifetime = longest;
        self
    }

    /// Mints a link that is valid for `lifetime` (whole seconds) from now.
    ///
    /// # Errors
    /// [`MintError`] if the lifetime is not allowed, or no key can sign now.
    pub fn mint(&self, asset: AssetRef, lifetime: Duration) -> Result<SignedUrl, MintError> {
        self.mint_at(asset, lifetime, now())
    }

    /// Mints a link as [`Minter::mint`] does at `now`.
    ///
    /// # Errors
    /// As [`Minter::mint`].
    pub fn mint_at(
        &self,
        asset: AssetRef,
        lifetime: Duration,
        now: UnixSeconds,
    ) -> Result<SignedUrl, MintError> {
        if lifetime > self.longest_lifetime {
            return Err(MintError::TooLong { asked: lifetime, longest: self.longest_lifetime });
        }
        if lifetime.as_secs() == 0 {
            return Err(MintError::TooShort);
        }
        let expires = now.plus(lifetime);
        let keyring = self.keys.current(now);
        let key = keyring.signing_key(now, expires).ok_or(MintError::NoKey)?;
        Ok(SignedUrl::new(&self.base, Grant::new(asset, expires, key.id().clone()), |message| {
            key.sign(message)
        }))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the machine's clock, for callers without one"
)]
fn now() -> UnixSeconds {
    UnixSeconds::from_system_time(std::time::SystemTime::now())
}

/// A signed URL. Displays as the link; its `Debug` hides the signature.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedUrl {
    url: String,
    grant: Grant,
}

impl SignedUrl {
    pub(super) fn new(base: &BaseUrl, grant: Grant, sign: impl FnOnce(&[u8]) -> [u8; 32]) -> Self {
        let asset = grant.asset();
        let mut id = [0; Hyphenated::LENGTH];
        let mut digits = [0; 64];
        let id = &*asset.id.as_hyphenated().encode_lower(&mut id);
        let mut decimal = itoa::Buffer::new();
        let expires = decimal.format(grant.expires().0);
        let mac = sign(Message::of_texts(asset.kind, id, expires).as_bytes());
        // 64 digits for 32 bytes: the lengths match, so this cannot fail.
        let _ = hex::encode_to_slice(mac, &mut digits);
        let mut url = String::with_capacity(base.as_str().len() + 160);
        let parts = [base.as_str(), "/", ROUTE_ROOT, "/", asset.kind.name(), "/"];
        parts.iter().for_each(|part| url.push_str(part));
        for part in [id, "?expires=", expires, "&sig=", std::str::from_utf8(&digits).unwrap_or_default()] {
            url.push_str(part);
        }
        Self { url, grant }
    }

    /// The link.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// The link to a transcript as text, subtitles or Markdown. The signature stays the same: it is the same asset. The
    /// gateway ignores the format on a link to a recording.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use webhook_assets_links::{AssetRef, Keyring, Minter, SecretKey, TranscriptFormat};
    /// # let id = uuid::uuid!("550e8400-e29b-41d4-a716-446655440000");
    /// # let minter = Minter::new("https://a.example", Keyring::of_one("demo", SecretKey::from_bytes(&[7; 32])?))?;
    /// let link = minter.mint(AssetRef::transcript(id), Duration::from_secs(3_600))?;
    /// assert!(link.in_format(TranscriptFormat::WebVtt).as_str().ends_with("&format=vtt"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn in_format(mut self, format: TranscriptFormat) -> Self {
        self.url.push_str("&format=");
        self.url.push_str(format.name());
        self
    }

    /// The second from which the link has expired.
    #[must_use]
    pub fn expires_at(&self) -> UnixSeconds {
        self.grant.expires()
    }

    /// The permission that the link grants, with its signing key.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        &self.grant
    }
}

impl From<SignedUrl> for String {
    fn from(link: SignedUrl) -> Self {
        link.url
    }
}

impl fmt::Display for SignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl fmt::Debug for SignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedUrl").field("grant", &self.grant).finish_non_exhaustive()
    }
}

/// Why no link was minted. [`MintError::fault`] says who can change that.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MintError {
    /// The lifetime is longer than allowed.
    TooLong {
        /// The requested lifetime.
        asked: Duration,
        /// The longest allowed lifetime.
        longest: Duration,
    },
    /// The lifetime is less than a second.
    TooShort,
    /// No key has started, or every key ends before the link does.
    NoKey,
}

/// Who can change the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The code that asks for the link: for a service, most often the request that it handles.
    Caller,
    /// The person who looks after the keyring. The same call works when that is mended.
    Operator,
}

impl MintError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::TooLong { .. } | Self::TooShort => Fault::Caller,
            Self::NoKey => Fault::Operator,
        }
    }
}

impl fmt::Display for MintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { asked, longest } => {
                write!(f, "a link may live at most {}, not {}", format_exact(*longest), format_exact(*asked))
            }
            Self::TooShort => f.write_str("a link lives at least one second"),
            Self::NoKey => f.write_str(
                "no key of the ring may sign this: each has not started yet or ends before the link would; \
                 see `webhook-assets keys list`, then `keys rotate`",
            ),
        }
    }
}

impl std::error::Error for MintError {}
