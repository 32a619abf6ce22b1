//! Signs people in with a portal link or the operator's token, and signs them out.

use askama::Template;
use http::StatusCode;
use http::header::{HeaderValue, REFERRER_POLICY, SET_COOKIE, WWW_AUTHENTICATE};

use super::context::RequestContext;
use super::display::Time;
use super::error::PageError;
use super::form::Form;
use super::i18n::Lang;
use super::layout::{Layout, Notice};
use super::pass::Purpose;
use super::portal::{Access, AccessPass};
use super::portal_options::PortalOptions;
use super::random_id::random_id;
use super::response::{PageResponse, PageResult, page, redirect_to, refused};
use super::route::in_path;
use super::session::{Session, session_id};
use super::state::State;
use super::visitor::Visitor;
use crate::clock::UnixSeconds;
use crate::ledger::Action;
use crate::tokens::Scope;

#[derive(Template)]
#[template(path = "enter.html")]
struct Enter<'e> {
    layout: Layout,
    pass: &'e str,
    once: String,
    workspace: Option<&'e str>,
}

/// A portal link that was followed. It may have expired.
struct Link<'l> {
    access_pass: AccessPass,
    expires: UnixSeconds,
    pass: &'l str,
    once: &'l str,
    /// Whether the button was pressed.
    posted: bool,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn {
    layout: Layout,
    once: String,
    wrong: bool,
}

#[derive(Template)]
#[template(path = "workspaces.html")]
struct Workspaces {
    layout: Layout,
    lines: Vec<WorkspaceRow>,
    next: Option<String>,
}

struct WorkspaceRow {
    href: String,
    name: String,
    endpoints: String,
    failing: Option<String>,
    since: Time,
}

/// The number of workspaces on a page.
const WORKSPACES: usize = 50;

impl State {
    /// Handles a portal link. GET shows a button and changes nothing, because link previews send GET; POST uses up the
    /// link.
    pub(super) async fn enter(&self, posted: bool, query: &Form, form: &Form, lang: Lang) -> PageResult {
        let pass = if posted { form.get("pass") } else { query.get("pass") };
        let (keyring, now) = (self.deps.keyring.load(), self.deps.clock.now());
        let read = AccessPass::read_expired(Purpose::PortalLink, pass, &keyring, now);
        let Ok((access_pass, expires)) = read else {
            return self.refuse_link(
                lang,
                lang.messages().link_invalid,
                &PortalOptions::default(),
                "link_invalid",
            );
        };
        let options = access_pass.access.options.clone();
        let link = Link { access_pass, expires, pass, once: form.get("once"), posted };
        let mut answer = self.follow(link, lang).await?;
        // The session, if there is one, may be of another link.
        answer.extensions_mut().insert(options);
        Ok(answer)
    }

    async fn follow(&self, link: Link<'_>, lang: Lang) -> PageResult {
        let Link { access_pass, expires, pass, once, posted } = link;
        let (t, now, product) = (lang.messages(), self.deps.clock.now(), &access_pass.access.options);
        if now >= expires {
            return self.refuse_link(lang, t.link_expired, product, "link_expired");
        }
        if !posted {
            let layout = Layout { product: product.clone(), ..self.layout(lang, t.enter, "/enter") };
            let workspace = access_pass.access.workspace.as_deref();
            let mut answer = page(StatusCode::OK, &Enter { layout, pass, once: new_once()?, workspace })?;
            // The address of this page grants access, so the browser must not send it to other pages.
            answer.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("strict-origin"));
            return Ok(answer);
        }
        let sender = self.deps.sender.as_ref().ok_or(PageError::NotFound)?;
        let ledger = sender.ledger();
        let session = session_id(&access_pass.id, once);
        match self.use_form(ledger, &access_pass.id, expires).await? {
            None => {}
            // A second click on the same page.
            Some(answer) if answer == session && !once.is_empty() => {
                return self.start_session(&access_pass.access, session);
            }
            Some(_) => return self.refuse_link(lang, t.link_used, product, "link_used"),
        }
        let workspace = access_pass.access.workspace.as_deref();
        tracing::info!(target: "webhook_assets::audit", workspace, operator = workspace.is_none(), "a portal link was used");
        self.record(&access_pass.access, "session.started").await?;
        ledger.answer_form(&access_pass.id, &session).await?;
        self.start_session(&access_pass.access, session)
    }

    pub(super) async fn sign_in(&self, posted: bool, form: &Form, lang: Lang) -> PageResult {
        let tokens = &self.deps.tokens;
        // Without a token, the operator signs in with a portal link.
        if !tokens.are_required() {
            return self.sign_in_required(lang, "");
        }
        let borne = form.get("token");
        let principal = tokens.principal(borne).filter(|principal| posted && principal.has(Scope::Operate));
        if let Some(principal) = principal {
            let name = principal.name().map(str::to_owned);
            let access = Access { name, token: tokens.hash_of(borne), ..Access::operator() };
            return self.start_operator_session(access, form.get("once")).await;
        }
        if posted {
            tracing::warn!(target: "webhook_assets::audit", "a wrong token was given to the settings page");
        }
        let layout = self.layout(lang, lang.messages().sign_in, "/sign-in");
        let shown = |status| page(status, &SignIn { layout, once: new_once()?, wrong: posted });
        if posted { refused(shown(StatusCode::FORBIDDEN)?, "unknown_token") } else { shown(StatusCode::OK) }
    }

    /// Starts the operator's session, once for each page whose form was sent.
    async fn start_operator_session(&self, access: Access, once: &str) -> PageResult {
        let once = if once.is_empty() { new_once()? } else { once.to_owned() };
        let session = session_id("sign-in", &once);
        let expires = self.deps.clock.now().plus(self.config.session_lifetime);
        let is_first = match &self.deps.sender {
            Some(sender) => {
                sender.ledger().use_once(&format!("form_{session}"), expires, self.deps.clock.now()).await?
            }
            None => true,
        };
        if is_first {
            let name = access.name.as_deref();
            tracing::info!(target: "webhook_assets::audit", name, "the operator signed in to the settings page");
            self.record(&access, "session.started").await?;
        }
        self.start_session(&access, session)
    }

    /// Records that a session began or ended.
    async fn record(&self, access: &Access, name: &'static str) -> Result<(), PageError> {
        if let Some(sender) = &self.deps.sender {
            let action = Action { name, workspace: access.workspace.as_deref(), ..Action::default() };
            sender.acting_as(access.actor()).ledger().record(action).await?;
        }
        Ok(())
    }

    /// Ends the session, given a form of this session. It ends everywhere: copies of the cookie become invalid.
    pub(super) async fn sign_out(&self, session: Option<&Session>, form: &Form) -> PageResult {
        let (keyring, now) = (self.deps.keyring.load(), self.deps.clock.now());
        if let Some(session) = session {
            if !session.accepts_csrf(form.get("csrf"), &keyring, now) {
                return Err(self.refuse_form_of_other_session());
            }
            let is_first = match &self.deps.sender {
                Some(sender) => sender.ledger().use_once(&session.id, session.expires, now).await?,
                None => true,
            };
            if is_first {
                let workspace = session.access.workspace.as_deref();
                tracing::info!(target: "webhook_assets::audit", workspace, operator = workspace.is_none(), "a session was ended");
                self.record(&session.access, "session.ended").await?;
            }
        }
        let past = session.and_then(|session| self.past_cookie(&session.access));
        let cookie = past.unwrap_or_else(|| self.no_session_cookie(&PortalOptions::default()));
        with_cookie(redirect_to(&format!("{}/signed-out", self.root)), &cookie)
    }

    /// The page after signing out; `status` is 401 for the cookie of an ended session.
    pub(super) fn signed_out(&self, status: StatusCode, lang: Lang, visitor: &Visitor) -> PageResult {
        let t = lang.messages();
        let layout = self.layout(lang, t.signed_out, "/signed-out");
        let layout = Layout { product: visitor.options(), ..layout };
        let back = layout.back().map(|(url, word)| (url.to_owned(), word));
        let link = back.as_ref().map(|(url, word)| (url.as_str(), word.as_str()));
        let notice = Notice { layout, heading: t.signed_out, text: t.signed_out_text, link };
        let mut answer = page(status, &notice)?;
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Cookie realm=\"settings page\"");
            answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            let answer = with_cookie(answer, &self.no_session_cookie(&visitor.options()))?;
            return refused(answer, "session_ended");
        }
        Ok(answer)
    }

    /// The page for a client without a session, at this path below that of the settings page.
    pub(super) fn sign_in_required(&self, lang: Lang, rest: &str) -> PageResult {
        let t = lang.messages();
        let sign_in = format!("{}/sign-in", self.root);
        let link = self.deps.tokens.are_required().then_some((sign_in.as_str(), t.sign_in_as_operator));
        let layout = self.layout(lang, t.come_by_link, rest);
        let notice = Notice { layout, heading: t.come_by_link, text: t.come_by_link_text, link };
        refused(page(StatusCode::FORBIDDEN, &notice)?, "no_session")
    }

    fn refuse_link(
        &self,
        lang: Lang,
        why: &'static str,
        product: &PortalOptions,
        reason: &'static str,
    ) -> PageResult {
        let heading = lang.messages().link_refused;
        let layout = Layout { product: product.clone(), ..self.layout(lang, heading, "") };
        let back = layout.back().map(|(url, word)| (url.to_owned(), word));
        let link = back.as_ref().map(|(url, word)| (url.as_str(), word.as_str()));
        refused(page(StatusCode::FORBIDDEN, &Notice { layout, heading, text: why, link })?, reason)
    }

    fn start_session(&self, access: &Access, id: String) -> PageResult {
        let cookie = self.session_cookie(access, id).map_err(|error| {
            tracing::error!(%error, "nobody can be signed in");
            PageError::Broken
        })?;
        let start = access.workspace.as_deref();
        let start = start.map_or_else(|| self.root.clone(), |workspace| self.path_of_workspace(workspace));
        with_cookie(redirect_to(&start), &cookie)
    }
}

/// What a page has that no other page has.
fn new_once() -> Result<String, PageError> {
    random_id().ok_or(PageError::Broken)
}

fn with_cookie(mut answer: PageResponse, cookie: &str) -> PageResult {
    let cookie = HeaderValue::from_str(cookie).map_err(|_| PageError::Broken)?;
    answer.headers_mut().append(SET_COOKIE, cookie);
    Ok(answer)
}

impl RequestContext<'_> {
    /// The operator's start page, which lists all workspaces.
    pub(super) async fn show_workspaces(&self) -> PageResult {
        let t = self.lang.messages();
        if self.query.has("open") {
            return match crate::ledger::is_name(self.query.get("open")) {
                true => Ok(redirect_to(&self.state.path_of_workspace(self.query.get("open")))),
                false => Err(PageError::NotFound),
            };
        }
        let mut found = self.ledger().workspaces(self.query.get("after"), WORKSPACES + 1).await?;
        let more = found.len() > WORKSPACES;
        found.truncate(WORKSPACES);
        let root = &self.state.root;
        let next = found.last().filter(|_| more).map(|last| format!("{root}?after={}", in_path(&last.name)));
        let lines = found.into_iter().map(|line| WorkspaceRow {
            href: self.state.path_of_workspace(&line.name),
            endpoints: self.lang.counted(line.endpoints, t.webhook_one, t.webhook_many),
            failing: (line.failing > 0).then(|| t.fill(t.failing, line.failing)),
            since: Time(line.since),
            name: line.name,
        });
        let lines = lines.collect();
        let layout = Layout::new(self.lang, t.workspaces, root, root).signed_in(self.session, "workspaces");
        page(StatusCode::OK, &Workspaces { layout, lines, next })
    }
}
