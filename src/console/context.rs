//! The context of a request from a signed-in person.

use super::error::PageError;
use super::form::Form;
use super::i18n::Lang;
use super::layout::Layout;
use super::response::{PageResult, redirect_to};
use super::session::Session;
use super::state::State;
use crate::ledger::{Action, Ledger};
use crate::sender::Sender;

/// A signed-in person's request for a page of one workspace.
pub(super) struct RequestContext<'v> {
    pub(super) state: &'v State,
    pub(super) sender: &'v Sender,
    pub(super) session: &'v Session,
    pub(super) lang: Lang,
    /// The workspace in the path; the session has access to it.
    pub(super) workspace: &'v str,
    pub(super) query: Form,
    pub(super) form: Form,
}

impl RequestContext<'_> {
    pub(super) fn ledger(&self) -> &Ledger {
        self.sender.ledger()
    }

    /// Records an action that changes nothing in the ledger.
    pub(super) async fn record(&self, name: &'static str, subject: &str) -> Result<(), PageError> {
        Ok(self.ledger().record(Action::of(name, self.workspace, subject)).await?)
    }

    /// The path of a page in this workspace.
    pub(super) fn path(&self, rest: &str) -> String {
        format!("{}{rest}", self.state.path_of_workspace(self.workspace))
    }

    /// Redirects to a page with a pass that reveals `what` there for a limited time.
    pub(super) fn redirect_revealing(&self, path: &str, done: &str, what: &str) -> PageResult {
        let deps = &self.state.deps;
        let pass = self.session.reveal(what, &deps.keyring.load(), deps.clock.now());
        Ok(redirect_to(&format!("{path}?{done}shown={}", pass.ok_or(PageError::Broken)?)))
    }

    /// Whether the query has a valid pass that reveals `what` to this session.
    pub(super) fn shows(&self, what: &str) -> bool {
        let deps = &self.state.deps;
        let pass = self.query.get("shown");
        self.session.reveals(pass, what, &deps.keyring.load(), deps.clock.now())
    }

    pub(super) fn layout(&self, title: &str, here: &'static str, path: &str) -> Layout {
        let layout = Layout::new(self.lang, title, &self.state.root, path).signed_in(self.session, here);
        Layout { workspace: Some(self.workspace.to_owned()), root: self.path(""), ..layout }
    }
}
