//! Routing by path and method.

use http::Method;

use super::request::RequestView;
use crate::AssetKind;
use crate::signed_url::split_route;

/// The route of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route<'r> {
    /// GET or HEAD of an asset.
    Asset { kind: AssetKind, id: &'r str },
    /// OPTIONS of an asset, or of the whole server.
    Options,
    /// The path of an asset with a method that is not allowed.
    MethodNotAllowed,
    /// An unknown path.
    Nowhere,
}

/// Routes a path below `prefix`, or without it for a proxy that strips the prefix. Paths are compared byte by byte:
/// nothing is decoded or normalised, because the signature covers the exact path.
pub(super) fn route<'r>(request: &RequestView<'r>, prefix: &str) -> Route<'r> {
    let path = request.path;
    // HAProxy's health check sends `OPTIONS /`.
    if matches!(path, "*" | "/") && request.method == Method::OPTIONS {
        return Route::Options;
    }
    match (asset_at(path, prefix), &request.method) {
        (Some((kind, id)), &(Method::GET | Method::HEAD)) => Route::Asset { kind, id },
        (Some(_), &Method::OPTIONS) => Route::Options,
        (Some(_), _) => Route::MethodNotAllowed,
        (None, &Method::CONNECT) => Route::MethodNotAllowed,
        (None, _) => Route::Nowhere,
    }
}

/// Returns the asset at a path.
fn asset_at<'p>(path: &'p str, prefix: &str) -> Option<(AssetKind, &'p str)> {
    split_route(path)
        .or_else(|| path.strip_prefix(prefix).and_then(split_route))
        .or_else(|| without_extra_slashes(path, prefix).and_then(split_route))
}

/// Returns the path after the prefix (or after none) if there are extra slashes before or after the prefix: the link
/// was made from a base URL with a trailing slash. The signature does not cover this part of the path.
fn without_extra_slashes<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let rest = path.trim_start_matches('/');
    let rest =
        rest.strip_prefix(prefix.trim_start_matches('/')).filter(|_| !prefix.is_empty()).unwrap_or(rest);
    let slashes = rest.len() - rest.trim_start_matches('/').len();
    // Keep one slash. If there is none, the prefix or the path begins here.
    let begin = path.len() - rest.len() + slashes;
    path.get(begin.checked_sub(1)?..).filter(|path| path.starts_with('/'))
}
