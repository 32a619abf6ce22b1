//! Sessions: a signed cookie that remains valid across restarts and replicas, the CSRF token of forms, and the
//! language.

use std::time::Duration;

use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::i18n::Lang;
use super::pass::Purpose;
use super::portal::{Access, AccessPass, PortalError};
use super::portal_options::PortalOptions;
use super::random_id::random_id;
use super::state::State;
use crate::clock::UnixSeconds;
use crate::signed_url::Keyring;

const SESSION: &str = "webhook_assets_session";
/// How long a secret or a link remains visible.
const REVEAL_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// How long the cookie of a session outlives it, so that the page knows the way back.
const PAST_LIFETIME: Duration = Duration::from_secs(7 * 86_400);

const LANG: &str = "webhook_assets_lang";

/// A signed-in person.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) access: Access,
    pub(super) id: String,
    pub(super) expires: UnixSeconds,
    /// The CSRF token of this session's forms. Each request has another one, which is in the page that answers it.
    pub(super) csrf: String,
}

/// The session of a request's cookie.
#[derive(Debug)]
pub(super) enum CookieSession {
    Current(Session),
    /// The access of a session that is over.
    Past(Access),
}

/// The session of a request with a genuine cookie.
pub(super) fn session_of(headers: &HeaderMap, keyring: &Keyring, now: UnixSeconds) -> Option<CookieSession> {
    let (_, cookie) = cookies(headers).find(|(name, _)| *name == SESSION)?;
    let (AccessPass { access, id }, expires) =
        AccessPass::read_expired(Purpose::Session, cookie, keyring, now).ok()?;
    if now >= expires {
        return Some(CookieSession::Past(access));
    }
    let csrf = csrf_of(&id, keyring, now, expires)?;
    Some(CookieSession::Current(Session { access, id, expires, csrf }))
}

impl Session {
    pub(super) fn may_see(&self, workspace: &str) -> bool {
        self.access.workspace.as_deref().is_none_or(|own| own == workspace)
    }

    pub(super) fn may_listen(&self) -> bool {
        self.access.listen || self.access.workspace.is_none()
    }

    /// A pass that reveals `what` to this session for a limited time. It becomes part of the URL: a form can then
    /// answer with a redirect, and a reload does not repeat the form.
    pub(super) fn reveal(&self, what: &str, keyring: &Keyring, now: UnixSeconds) -> Option<String> {
        let content = format!("{}\n{what}", self.id);
        Purpose::Reveal.sign(keyring, content.as_bytes(), now, now.plus(REVEAL_LIFETIME))
    }

    /// Whether a pass reveals `what` to this session.
    pub(super) fn reveals(&self, pass: &str, what: &str, keyring: &Keyring, now: UnixSeconds) -> bool {
        let content = format!("{}\n{what}", self.id);
        Purpose::Reveal
            .read(keyring, pass, now)
            .is_ok_and(|(found, _)| bool::from(found.as_slice().ct_eq(content.as_bytes())))
    }

    /// Whether a CSRF token belongs to this session.
    pub(super) fn accepts_csrf(&self, csrf: &str, keyring: &Keyring, now: UnixSeconds) -> bool {
        Purpose::Form
            .read(keyring, csrf, now)
            .is_ok_and(|(content, _)| bool::from(session_in(&content).ct_eq(self.id.as_bytes())))
    }

    /// Whether a page of some session gave out a CSRF token. That session may be over.
    pub(super) fn issued_csrf(csrf: &str, keyring: &Keyring, now: UnixSeconds) -> bool {
        Purpose::Form.read_expired(keyring, csrf, now).is_ok()
    }
}

/// The id of the session that a form starts: the same if the form is sent twice. `once` is in one rendered page alone.
pub(super) fn session_id(seed: &str, once: &str) -> String {
    let digest = Sha256::digest(format!("{seed}\n{once}"));
    hex::encode(digest).chars().take(32).collect()
}

/// A CSRF token of a session, for one page.
fn csrf_of(id: &str, keyring: &Keyring, now: UnixSeconds, expires: UnixSeconds) -> Option<String> {
    let content = format!("{id}\n{}", random_id()?);
    Purpose::Form.sign(keyring, content.as_bytes(), now, expires)
}

/// The session in the content of a CSRF token.
fn session_in(content: &[u8]) -> &[u8] {
    content.split(|byte| *byte == b'\n').next().unwrap_or_default()
}

impl State {
    /// The cookie of the session with this id.
    pub(super) fn session_cookie(&self, access: &Access, id: String) -> Result<String, PortalError> {
        let lifetime = self.config.session_lifetime;
        let (keyring, now) = (self.deps.keyring.load(), self.deps.clock.now());
        let access_pass = AccessPass { access: access.clone(), id };
        let (pass, _) = access_pass.sign(Purpose::Session, &keyring, now, lifetime)?;
        Ok(self.cookie(SESSION, &pass, lifetime.saturating_add(PAST_LIFETIME).as_secs(), &access.options))
    }

    /// A cookie that deletes the session cookie.
    pub(super) fn no_session_cookie(&self, options: &PortalOptions) -> String {
        self.cookie(SESSION, "", 0, options)
    }

    /// The cookie after a session was ended: it only says where the person came from. `None` if the link said nothing.
    pub(super) fn past_cookie(&self, access: &Access) -> Option<String> {
        let options = access.options.clone();
        let workspace = access.workspace.as_deref().filter(|_| !options.is_empty())?;
        let past = AccessPass::new(Access { options, ..Access::of_workspace(workspace, false) }).ok()?;
        let pass = past.sign_past_session(&self.deps.keyring.load(), self.deps.clock.now())?;
        Some(self.cookie(SESSION, &pass, PAST_LIFETIME.as_secs(), &access.options))
    }

    /// The language cookie, valid for a year.
    pub(super) fn lang_cookie(&self, lang: Lang, options: &PortalOptions) -> String {
        self.cookie(LANG, lang.tag(), 365 * 86_400, options)
    }

    /// Builds a cookie that is hidden from scripts, is not sent with cross-site forms and frames, and is limited to
    /// this page's paths; over https it is `Secure`. In a page that other sites may embed, the cookie is sent within
    /// frames; `Partitioned` ties it to the site around the frame.
    fn cookie(&self, name: &str, value: &str, seconds: u64, options: &PortalOptions) -> String {
        let https = self.config.url.as_ref().is_some_and(|url| url.as_str().starts_with("https:"));
        let root = &self.root;
        let site = match (options.may_be_embedded(), https) {
            (true, _) => "SameSite=None; Secure; Partitioned",
            (false, true) => "SameSite=Lax; Secure",
            (false, false) => "SameSite=Lax",
        };
        format!("{name}={value}; Path={root}; Max-Age={seconds}; HttpOnly; {site}")
    }
}

/// The language from the cookie, or from the browser's preferences.
pub(super) fn lang_of(headers: &HeaderMap) -> Lang {
    let chosen = cookies(headers).find(|(name, _)| *name == LANG).and_then(|(_, tag)| Lang::of_tag(tag));
    let asked = || {
        let asked = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Lang::of_accept_language(asked)
    };
    chosen.unwrap_or_else(asked)
}

/// The names and values in the request's `Cookie` fields.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let fields = headers.get_all(http::header::COOKIE).iter().filter_map(|field| field.to_str().ok());
    fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='))
}
