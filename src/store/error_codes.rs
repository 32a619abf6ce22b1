//! Lists the error codes of the stores, with advice for each.

/// What is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    /// The store, or the network to it.
    Store,
    /// Credentials, permissions or the region: the same error for every object.
    Settings,
    /// The bucket or container does not exist.
    Bucket,
    /// This object.
    Object,
    /// Nothing: the object does not exist.
    Nothing,
}

/// A code, what is to blame, and the advice.
type Advice = (&'static str, Blame, &'static str);

/// The codes of S3, Azure and GCS. The first entry that is a prefix of a code applies.
const ADVICE: [Advice; 39] = [
    ("NoSuchBucket", Blame::Bucket, "correct the bucket in store.url, or create it"),
    ("ContainerNotFound", Blame::Bucket, "correct the container in store.url, or create it"),
    // Azure reports a missing object as BlobNotFound.
    (
        "ResourceNotFound",
        Blame::Bucket,
        "there is no such account or container: correct AZURE_STORAGE_ACCOUNT_NAME, the endpoint and store.url",
    ),
    ("InvalidBucketName", Blame::Bucket, "correct the bucket in store.url"),
    ("PermanentRedirect", Blame::Bucket, WRONG_REGION),
    ("TemporaryRedirect", Blame::Bucket, WRONG_REGION),
    ("AuthorizationHeaderMalformed", Blame::Settings, "the region does not fit: correct AWS_REGION"),
    ("AuthorizationQueryParametersError", Blame::Settings, "the region does not fit: correct AWS_REGION"),
    ("IllegalLocationConstraint", Blame::Settings, WRONG_REGION),
    ("InvalidRegion", Blame::Settings, WRONG_REGION),
    ("InvalidAccessKeyId", Blame::Settings, "the access key is unknown there: correct AWS_ACCESS_KEY_ID"),
    (
        "SignatureDoesNotMatch",
        Blame::Settings,
        "the secret does not belong to the access key: correct AWS_SECRET_ACCESS_KEY",
    ),
    ("InvalidObjectState", Blame::Object, ARCHIVED),
    ("AccessDenied", Blame::Settings, "allow this key s3:GetObject and s3:ListBucket"),
    ("AllAccessDisabled", Blame::Settings, "the bucket's owner has disabled it: ask them"),
    ("AccountProblem", Blame::Settings, "the account is disabled: ask the store's operator"),
    ("ExpiredToken", Blame::Settings, "the session token has expired: renew the credentials"),
    ("TokenRefreshRequired", Blame::Settings, "the session token has expired: renew the credentials"),
    ("InvalidToken", Blame::Settings, "the session token is not valid: correct AWS_SESSION_TOKEN"),
    ("RequestTimeTooSkewed", Blame::Settings, WRONG_CLOCK),
    ("RequestExpired", Blame::Settings, WRONG_CLOCK),
    ("KMS.", Blame::Object, KEY_DISABLED),
    ("Kms", Blame::Object, KEY_DISABLED),
    ("KeyVault", Blame::Object, "its encryption key cannot be used: look at it in the key vault"),
    ("BlobArchived", Blame::Object, ARCHIVED),
    ("BlobBeingRehydrated", Blame::Object, "it is on its way out of the archive: wait for some hours"),
    (
        "BlobUsesCustomerSpecifiedEncryption",
        Blame::Object,
        "it is encrypted with a key that is not given here",
    ),
    ("BlobImmutable", Blame::Object, "a retention policy holds it"),
    ("LeaseIdMissing", Blame::Object, "another program holds a lease on it"),
    ("MethodNotAllowed", Blame::Object, "the newest version may be a delete marker: look at its versions"),
    ("InvalidRequest", Blame::Object, "it may be encrypted with a key that is not given here"),
    (
        "UserProjectMissing",
        Blame::Settings,
        "requests are paid by the requester there: that is not supported",
    ),
    ("AuthenticationFailed", Blame::Settings, "the account key is wrong: correct AZURE_STORAGE_ACCOUNT_KEY"),
    (
        "AuthorizationFailure",
        Blame::Settings,
        "the account key is wrong (correct AZURE_STORAGE_ACCOUNT_KEY), or the account's firewall keeps this machine out",
    ),
    (
        "AuthorizationPermissionMismatch",
        Blame::Settings,
        "this identity may not read the container: grant it Storage Blob Data Reader",
    ),
    (
        "PublicAccessNotPermitted",
        Blame::Settings,
        "set AZURE_STORAGE_ACCOUNT_KEY, or give the machine an identity",
    ),
    (
        "NoAuthenticationInformation",
        Blame::Settings,
        "set AZURE_STORAGE_ACCOUNT_KEY, or give the machine an identity",
    ),
    ("SlowDown", Blame::Store, "the store limits our rate: spread the load or raise the limit"),
    ("ServerBusy", Blame::Store, "the store limits our rate: spread the load or raise the limit"),
];

pub(super) const WRONG_REGION: &str = "the bucket is in another region: correct AWS_REGION or the endpoint";
const WRONG_CLOCK: &str = "this machine's clock is wrong: set it, and keep it by NTP";
const ARCHIVED: &str = "it is archived: restore it, and keep what links lead to out of archive classes";
const KEY_DISABLED: &str =
    "its encryption key cannot be used: enable it, and allow this identity kms:Decrypt";

/// The entry of a code.
pub(super) fn listed(code: Option<&str>) -> Option<&'static Advice> {
    let code = code?;
    ADVICE.iter().find(|(named, _, _)| code.starts_with(named))
}

/// The advice for a code.
pub(super) fn advice_of(code: Option<&str>) -> Option<&'static str> {
    listed(code).map(|(_, _, advice)| *advice)
}

/// Whether a response says that the region is wrong.
pub(super) fn speaks_of_the_region(code: Option<&str>, status: u16) -> bool {
    (300..400).contains(&status) || advice_of(code).is_some_and(|advice| advice.contains("region"))
}

/// A known code somewhere in a text.
pub(super) fn known_code(text: &str) -> Option<&'static str> {
    ADVICE.iter().map(|(code, _, _)| *code).filter(|code| code.len() > 4).find(|code| text.contains(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_entry_hides_a_later_one() {
        for (at, (code, _, _)) in ADVICE.iter().enumerate() {
            assert_eq!(ADVICE.iter().position(|(named, _, _)| code.starts_with(named)), Some(at), "{code}");
        }
    }
}
