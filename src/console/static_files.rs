//! The style sheet, script and icon, compiled in. Their paths contain a hash of their content, so browsers cache them
//! without revalidation.

use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Response, StatusCode};
use sha2::{Digest, Sha256};

use super::accent;
use super::response::PageResponse;
use super::route::ROOT;

/// A static file and its path below that of the settings page.
pub(super) struct File {
    path: String,
    media_type: &'static str,
    content: &'static str,
}

impl File {
    fn new(name: &str, extension: &str, media_type: &'static str, content: &'static str) -> Self {
        let hash: String = hex::encode(Sha256::digest(content)).chars().take(16).collect();
        Self { path: format!("/files/{name}-{hash}.{extension}"), media_type, content }
    }

    /// The path of the file, given that of the settings page.
    pub(super) fn path_below(&self, console: &str) -> String {
        format!("{console}{}", self.path)
    }
}

pub(super) static STYLE: LazyLock<File> =
    LazyLock::new(|| File::new("console", "css", "text/css; charset=utf-8", include_str!("console.css")));
pub(super) static SCRIPT: LazyLock<File> = LazyLock::new(|| {
    File::new("console", "js", "text/javascript; charset=utf-8", include_str!("console.js"))
});
pub(super) static ICON: LazyLock<File> =
    LazyLock::new(|| File::new("icon", "svg", "image/svg+xml", include_str!("icon.svg")));

/// The path and the content of the style sheet, by which a client recognises this version of the page. The path stands
/// behind `console.url`.
#[must_use]
pub fn style_sheet() -> (String, &'static str) {
    (STYLE.path_below(ROOT), STYLE.content)
}

/// Answers a request for one of these files.
pub(super) fn answer(path: &str) -> Option<PageResponse> {
    let files = [&*STYLE, &*SCRIPT, &*ICON];
    let name = path.strip_prefix(ROOT)?;
    if let Some(color) = name.strip_prefix("/colors/").and_then(|name| name.strip_suffix(".css")) {
        return accent::style_sheet(color).map(|sheet| answer_with(STYLE.media_type, Bytes::from(sheet)));
    }
    let file = files.into_iter().find(|file| file.path == name)?;
    Some(answer_with(file.media_type, Bytes::from_static(file.content.as_bytes())))
}

/// The path of the style sheet of a colour, given that of the settings page.
pub(super) fn color_path(console: &str, color: &str) -> String {
    format!("{console}/colors/{color}.css")
}

fn answer_with(media_type: &'static str, content: Bytes) -> PageResponse {
    let mut answer = Response::new(content);
    *answer.status_mut() = StatusCode::OK;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
