//! The layout around every page, and a page with a single message.

use askama::Template;

use super::i18n::{ActivityWords, Lang, Messages, activity_words, fetched_label, near, note_in};
use super::locale::Locale;
use super::session::Session;
use super::static_files;
use crate::asset::AssetKind;

/// The values for the base template.
pub(super) struct Layout {
    pub(super) t: &'static Messages,
    pub(super) lang: Lang,
    pub(super) title: String,
    pub(super) workspace: Option<String>,
    /// The path of the settings page.
    pub(super) console: String,
    /// The path of the workspace.
    pub(super) root: String,
    /// The active tab of the navigation.
    pub(super) here: &'static str,
    /// The path and query of this page, for reloads and for links to other languages.
    pub(super) path: String,
    pub(super) operator: bool,
    pub(super) may_listen: bool,
    pub(super) signed_in: bool,
    pub(super) csrf: String,
}

impl Layout {
    /// `console` is the path of the settings page, `path` that of this page.
    pub(super) fn new(lang: Lang, title: &str, console: &str, path: &str) -> Self {
        Self {
            t: lang.messages(),
            lang,
            title: title.to_owned(),
            workspace: None,
            console: console.to_owned(),
            root: String::new(),
            here: "",
            path: path.to_owned(),
            operator: false,
            may_listen: false,
            signed_in: false,
            csrf: String::new(),
        }
    }

    pub(super) fn signed_in(self, session: &Session, here: &'static str) -> Self {
        Self {
            here,
            operator: session.access.workspace.is_none(),
            may_listen: session.may_listen(),
            signed_in: true,
            csrf: session.csrf.clone(),
            ..self
        }
    }

    /// The words of the page of the workspace's activity.
    pub(super) fn activity(&self) -> &'static ActivityWords {
        activity_words(self.lang)
    }

    /// Whether the receiver has downloaded an asset, in words.
    pub(super) fn fetched(&self, kind: AssetKind, fetched: bool) -> &'static str {
        fetched_label(self.lang, kind, fetched)
    }

    /// The note of a delivery in the language of the page.
    pub(super) fn note(&self, note: &str) -> String {
        note_in(self.lang, note)
    }

    // For the base template.

    /// When the page was rendered, for a script on a computer whose clock is wrong.
    pub(super) fn now(&self) -> String {
        Locale::current().map_or_else(String::new, |locale| locale.now.to_string())
    }

    /// The word for a time that is about now.
    pub(super) fn near(&self, is_past: bool) -> &'static str {
        near(self.lang, is_past)
    }

    pub(super) fn style(&self) -> String {
        static_files::STYLE.path_below(&self.console)
    }

    pub(super) fn script(&self) -> String {
        static_files::SCRIPT.path_below(&self.console)
    }

    /// The address of this page in another language.
    pub(super) fn in_lang(&self, lang: &Lang) -> String {
        let joint = if self.path.contains('?') { '&' } else { '?' };
        format!("{}{joint}lang={}", self.path, lang.tag())
    }

    pub(super) fn icon(&self) -> String {
        static_files::ICON.path_below(&self.console)
    }
}

/// A page with a single message.
#[derive(Template)]
#[template(path = "notice.html")]
pub(super) struct Notice<'n> {
    pub(super) layout: Layout,
    pub(super) heading: &'n str,
    pub(super) text: &'n str,
    /// A link: its URL and its text.
    pub(super) link: Option<(&'n str, &'n str)>,
}
