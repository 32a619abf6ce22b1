//! Captures a request that object_store has made and signed.

use std::sync::{Arc, OnceLock};

use http::{HeaderMap, Uri};
use object_store::client::HttpRequest;

use crate::store::http::http1::pool::Origin;

/// The place for a captured request, as an extension of object_store's options.
#[derive(Debug, Clone, Default)]
pub(crate) struct CapturedRequest(Arc<OnceLock<Captured>>);

/// A signed request, and the origin that our own client can send it to.
#[derive(Debug)]
pub(super) struct Captured {
    pub(super) origin: Origin,
    pub(super) uri: Uri,
    pub(super) fields: HeaderMap,
}

impl CapturedRequest {
    /// Keeps the request, if our own client can send it.
    pub(crate) fn set(&self, request: &HttpRequest, origin: Option<Origin>) {
        let Some(origin) = origin else { return };
        let (uri, fields) = (request.uri().clone(), request.headers().clone());
        // A retry has the same form.
        let _ = self.0.set(Captured { origin, uri, fields });
    }

    pub(super) fn get(&self) -> Option<&Captured> {
        self.0.get()
    }
}
