//! Tells from path and method what a request is for.

use http::Method;

use super::request::RequestView;
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
pub(super) fn route<'r>(request: &RequestView<'r>, prefix: &str) -> Route<'r> {
    let path = request.path;
    // HAProxy checks a server's health with `OPTIONS /`.
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

/// The asset that a path leads to.
fn asset_at<'p>(path: &'p str, prefix: &str) -> Option<(AssetKind, &'p str)> {
    split_route(path)
        .or_else(|| path.strip_prefix(prefix).and_then(split_route))
        .or_else(|| without_extra_slashes(path, prefix).and_then(split_route))
}

/// The path behind the prefix, or behind none, if several slashes stand before or behind it: the base URL of the link was
/// written with a slash at its end. No signature covers this part of a path.
fn without_extra_slashes<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let rest = path.trim_start_matches('/');
    let rest =
        rest.strip_prefix(prefix.trim_start_matches('/')).filter(|_| !prefix.is_empty()).unwrap_or(rest);
    let slashes = rest.len() - rest.trim_start_matches('/').len();
    // One slash stays; without any, the prefix or the path begins here.
    let begin = path.len() - rest.len() + slashes;
    path.get(begin.checked_sub(1)?..).filter(|path| path.starts_with('/'))
}
