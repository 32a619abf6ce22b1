//! The language and the time for which a page is rendered. A template has many times, and each is said relative to now.

use std::future::Future;

use super::i18n::Lang;
use crate::clock::UnixMillis;

tokio::task_local! {
    static LOCALE: Locale;
}

/// The language of a page, and when its request arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Locale {
    pub(super) lang: Lang,
    pub(super) now: UnixMillis,
}

impl Locale {
    /// Runs the rendering of a page in this locale.
    pub(super) async fn scope<F: Future>(self, page: F) -> F::Output {
        LOCALE.scope(self, page).await
    }

    /// The locale of the page that is rendered; `None` outside of a request.
    pub(super) fn current() -> Option<Self> {
        LOCALE.try_with(|locale| *locale).ok()
    }
}
