//! The layout around every page, and a page with a single message.

use askama::Template;

use super::i18n::{ActivityWords, Lang, Messages, activity_words};
use super::session::Session;
use super::static_files;

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

    // For the base template.
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
