//! From path and method to what is meant.

use http::{Method, Request};

use crate::AssetKind;
use crate::signed_url::split_route;

/// What a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route<'r> {
    /// GET or HEAD of an asset.
    Asset { kind: AssetKind, id: &'r str },
    /// OPTIONS of an asset, or of the whole server.
    Options,
    /// An asset, but no method for it.
    MethodNotAllowed,
    /// No such path.
    Nowhere,
}

/// Routes below `prefix` and, for a proxy that strips it, without it. Paths are compared as they stand: nothing is
/// decoded or normalised, because nothing else was signed.
pub(super) fn route<'r, B>(request: &'r Request<B>, prefix: &str) -> Route<'r> {
    let path = request.uri().path();
    if path == "*" && *request.method() == Method::OPTIONS {
        return Route::Options;
    }
    match (asset_at(path, prefix), request.method()) {
        (Some((kind, id)), &(Method::GET | Method::HEAD)) => Route::Asset { kind, id },
        (Some(_), &Method::OPTIONS) => Route::Options,
        (Some(_), _) => Route::MethodNotAllowed,
        (None, &Method::CONNECT) => Route::MethodNotAllowed,
        (None, _) => Route::Nowhere,
    }
}

/// The asset that a path leads to.
pub(super) fn asset_at<'p>(path: &'p str, prefix: &str) -> Option<(AssetKind, &'p str)> {
    split_route(path).or_else(|| path.strip_prefix(prefix).and_then(split_route))
}
