//! Who sends a request: a signed-in person, or one whose session is over.

use http::HeaderMap;

use super::portal::Access;
use super::portal_options::PortalOptions;
use super::session::{CookieSession, Session, session_of};
use super::state::State;
use crate::tokens::Scope;

/// What the session cookie of a request says.
#[derive(Debug, Default)]
pub(super) struct Visitor {
    pub(super) session: Option<Session>,
    /// The access of a session that is over. It grants nothing any more, but says where the person came from.
    pub(super) past: Option<Access>,
}

impl Visitor {
    /// What the portal link of this session said of its product.
    pub(super) fn options(&self) -> PortalOptions {
        let session = self.session.as_ref().map(|session| &session.access);
        session.or(self.past.as_ref()).map(|access| access.options.clone()).unwrap_or_default()
    }
}

impl State {
    pub(super) fn visitor(&self, headers: &HeaderMap) -> Visitor {
        match session_of(headers, &self.deps.keyring.load(), self.deps.clock.now()) {
            Some(CookieSession::Current(session)) if self.has_token_in_force(&session.access) => {
                Visitor { session: Some(session), past: None }
            }
            Some(CookieSession::Current(_)) | None => Visitor::default(),
            Some(CookieSession::Past(access)) => Visitor { session: None, past: Some(access) },
        }
    }

    /// Whether the named token that signed in, if there is one, still allows that.
    fn has_token_in_force(&self, access: &Access) -> bool {
        let operates = |hash: &String| {
            self.deps.tokens.by_hash(hash).is_some_and(|principal| principal.has(Scope::Operate))
        };
        access.token.as_ref().is_none_or(operates)
    }
}
