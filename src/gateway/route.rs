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
    // `OPTIONS /` is how HAProxy asks whether a server lives.
    if matches!(path, "*" | "/") && *request.method() == Method::OPTIONS {
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
    split_route(path)
        .or_else(|| path.strip_prefix(prefix).and_then(split_route))
        .or_else(|| behind_more_slashes(path, prefix).and_then(split_route))
}

/// What stands behind the prefix, or behind none, if there are more slashes than one before or behind it: a base URL was
/// written with a slash at its end. No signature covers what stands there.
fn behind_more_slashes<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let rest = path.trim_start_matches('/');
    let rest =
        rest.strip_prefix(prefix.trim_start_matches('/')).filter(|_| !prefix.is_empty()).unwrap_or(rest);
    let slashes = rest.len() - rest.trim_start_matches('/').len();
    // One slash is left; where there is none, the prefix or the path begins.
    let begin = path.len() - rest.len() + slashes;
    path.get(begin.checked_sub(1)?..).filter(|path| path.starts_with('/'))
}
