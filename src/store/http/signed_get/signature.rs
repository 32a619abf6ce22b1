//! Signs requests with AWS Signature Version 4. Written by hand, because the signing crates derive the key for each
//! request, and take a request apart that is already here in pieces.

use std::cell::RefCell;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use object_store::aws::AwsCredential;
use sha2::{Digest, Sha256};

use crate::clock::UnixSeconds;

/// A time as `20261129T093000Z`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Date(String);

impl Date {
    pub(super) fn of(now: UnixSeconds) -> Self {
        let mut text = now.to_string();
        text.retain(|c| !matches!(c, '-' | ':'));
        Self(text)
    }

    /// The same. Each thread formats a date once per second.
    pub(super) fn cached(now: UnixSeconds) -> Self {
        thread_local! {
            static CACHED: RefCell<(UnixSeconds, Date)> = const { RefCell::new((UnixSeconds(0), Date(String::new()))) };
        }
        CACHED.with_borrow_mut(|(then, date)| {
            if *then != now || date.0.is_empty() {
                (*then, *date) = (now, Self::of(now));
            }
            date.clone()
        })
    }

    /// The date of a field that object_store wrote.
    pub(super) fn read(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    fn day(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

/// A key that signs the requests of a day.
pub(super) struct SigningKey {
    pub(super) credential: Arc<AwsCredential>,
    /// Day, region and service, as every signature names them.
    pub(super) scope: String,
    key: Hmac<Sha256>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Derives the key. `None` if the credential has characters that no header field may have.
    pub(super) fn derive(credential: Arc<AwsCredential>, date: &Date, region: &str) -> Option<Self> {
        let texts = [&credential.key_id].into_iter().chain(&credential.token);
        if !texts.into_iter().all(|text| text.bytes().all(|byte| byte.is_ascii_graphic())) {
            return None;
        }
        let secret = hmac(format!("AWS4{}", credential.secret_key).as_bytes())?;
        let mut key = secret;
        for part in [date.day(), region, "s3", "aws4_request"] {
            key = hmac(&key.chain_update(part).finalize().into_bytes())?;
        }
        let scope = format!("{}/{region}/s3/aws4_request", date.day());
        Some(Self { credential, scope, key })
    }

    /// Whether this key signs with this credential on this day.
    pub(super) fn fits(&self, credential: &Arc<AwsCredential>, date: &Date) -> bool {
        Arc::ptr_eq(&self.credential, credential) && self.scope.starts_with(date.day())
    }

    /// The signature of a canonical request with this hash, as hexadecimal digits.
    pub(super) fn sign(&self, date: &Date, canonical_request: Sha256) -> String {
        let mut digits = [0; 64];
        let hash = canonical_request.finalize();
        let _ = hex::encode_to_slice(hash, &mut digits);
        let mut mac = self.key.clone();
        for part in [b"AWS4-HMAC-SHA256\n", date.0.as_bytes(), b"\n", self.scope.as_bytes(), b"\n", &digits] {
            mac.update(part);
        }
        let _ = hex::encode_to_slice(mac.finalize().into_bytes(), &mut digits);
        String::from_utf8_lossy(&digits).into_owned()
    }
}

fn hmac(key: &[u8]) -> Option<Hmac<Sha256>> {
    Hmac::new_from_slice(key).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example "GET Object" of Amazon's documentation of Signature Version 4.
    #[test]
    fn a_request_is_signed_as_amazon_documents() {
        let credential = AwsCredential {
            key_id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            token: None,
        };
        let date = Date::of(UnixSeconds(1_369_353_600));
        assert_eq!(date.as_str(), "20130524T000000Z");
        let credential = Arc::new(credential);
        let key = SigningKey::derive(Arc::clone(&credential), &date, "us-east-1").unwrap();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let request = format!(
            "GET\n/test.txt\n\nhost:examplebucket.s3.amazonaws.com\nrange:bytes=0-9\nx-amz-content-sha256:{empty}\n\
             x-amz-date:20130524T000000Z\n\nhost;range;x-amz-content-sha256;x-amz-date\n{empty}"
        );
        let signature = key.sign(&date, Sha256::new().chain_update(request));
        assert_eq!(signature, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
        assert!(key.fits(&credential, &Date::of(UnixSeconds(1_369_353_600 + 86_399))));
        assert!(!key.fits(&credential, &Date::of(UnixSeconds(1_369_353_600 + 86_400))), "the next day");
        let other = AwsCredential { key_id: "AKIA\r\n".into(), secret_key: String::new(), token: None };
        let other = Arc::new(other);
        assert!(!key.fits(&other, &date));
        assert!(SigningKey::derive(other, &date, "us-east-1").is_none());
    }
}
