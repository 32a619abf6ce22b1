//! What tells a version of an object from others.

use object_store::GetResult;

use super::meta::Meta;

/// What has to be the same for two bodies to be of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Validator {
    etag: String,
    size: u64,
}

impl Validator {
    /// That of an answer; `None` if nothing tells versions of the object apart.
    pub(super) fn of(result: &GetResult) -> Option<Self> {
        let meta = Meta::from(&result.meta);
        (!meta.has_no_tag()).then_some(Self { etag: meta.etag, size: meta.size })
    }
}
