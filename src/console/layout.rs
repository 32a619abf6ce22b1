//! The layout around every page, and a page with a single message.

use askama::Template;

use super::display::host_of;
use super::i18n::{
    ActivityWords, FigureWords, Lang, Messages, SessionWords, activity_words, fetched_label, figure_words,
    near, note_in, session_words, unchecked,
};
use super::locale::Locale;
use super::portal_options::PortalOptions;
use super::route::{ROOT, workspace_in};
use super::session::Session;
use super::state::State;
use super::static_files;
use super::visitor::Visitor;
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
    /// What the portal link of the session said of its product.
    pub(super) product: PortalOptions,
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
            product: PortalOptions::default(),
        }
    }

    pub(super) fn signed_in(self, session: &Session, here: &'static str) -> Self {
        Self {
            here,
            operator: session.access.workspace.is_none(),
            may_listen: session.may_listen(),
            signed_in: true,
            csrf: session.csrf.clone(),
            product: session.access.options.clone(),
            ..self
        }
    }

    /// The way back to the product, and its words.
    pub(super) fn back(&self) -> Option<(&str, String)> {
        let url = self.product.return_url()?;
        Some((url, self.t.fill(self.session_words().back_to, host_of(url))))
    }

    /// The words of a session that is over.
    pub(super) fn session_words(&self) -> &'static SessionWords {
        session_words(self.lang)
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

    /// The words of the figures and limits of webhooks.
    pub(super) fn figures(&self) -> &'static FigureWords {
        figure_words(self.lang)
    }

    // For the base template.

    /// When the page was rendered, for a script on a computer whose clock is wrong.
    pub(super) fn now(&self) -> String {
        Locale::current().map_or_else(String::new, |locale| locale.now.to_string())
    }

    /// What is said of a URL whose check did not answer.
    pub(super) fn unchecked(&self) -> &'static str {
        unchecked(self.lang)
    }

    /// The word for a time that is about now.
    pub(super) fn near(&self, is_past: bool) -> &'static str {
        near(self.lang, is_past)
    }

    pub(super) fn style(&self) -> String {
        static_files::STYLE.path_below(&self.console)
    }

    /// The style sheet of the product's colour.
    pub(super) fn color(&self) -> Option<String> {
        Some(static_files::color_path(&self.console, self.product.color()?))
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

impl State {
    /// The layout of a page without navigation, at this path below that of the settings page.
    pub(super) fn layout(&self, lang: Lang, title: &str, rest: &str) -> Layout {
        Layout::new(lang, title, &self.root, &format!("{}{rest}", self.root))
    }

    /// The layout of a page that says what is wrong with this path: with the navigation of the session, if there is one.
    pub(super) fn layout_for(&self, visitor: &Visitor, lang: Lang, title: &str, path: &str) -> Layout {
        let layout = self.layout(lang, title, path.strip_prefix(ROOT).unwrap_or_default());
        let Some(session) = &visitor.session else { return Layout { product: visitor.options(), ..layout } };
        let workspace = session.access.workspace.clone().or_else(|| workspace_in(path));
        let root = workspace.as_ref().map(|workspace| self.path_of_workspace(workspace));
        Layout { workspace, root: root.unwrap_or_default(), ..layout.signed_in(session, "") }
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
