//! The entry point of the settings page: checks a request's method, origin, session and limits, then dispatches it to
//! its page.

use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderValue, SET_COOKIE};
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;

use super::answer_body::AnswerBody;
use super::context::RequestContext;
use super::error::PageError;
use super::events;
use super::form::{self, Form, PostedBody};
use super::i18n::Lang;
use super::locale::Locale;
use super::portal::{Access, PortalError, PortalLink, portal_link};
use super::response::{PageResponse, PageResult, plain, redirect_to};
use super::route::{Page, Route};
use super::security_headers::set_security_headers;
use super::session;
use super::state::{Config, Dependencies, State};
use super::static_files;
use super::visitor::Visitor;
use crate::clock::UnixMillis;
use crate::server::Client;
use crate::tasks::{self, Task};

/// The settings page. Clones share its state.
#[derive(Debug, Clone)]
pub struct Console(Arc<State>);

impl Console {
    /// Creates the settings page with these dependencies.
    #[must_use]
    pub fn new(config: Config, deps: Dependencies) -> Self {
        Self(Arc::new(State::new(config, deps)))
    }

    /// Mints a portal link. `host` is the request's host, used if `console.url` is not set.
    ///
    /// # Errors
    /// [`PortalError`] if the page's address is unknown, or no key can sign.
    pub fn portal_link(
        &self,
        access: &Access,
        lifetime: Option<Duration>,
        host: Option<&str>,
    ) -> Result<PortalLink, PortalError> {
        let State { config, deps, .. } = &*self.0;
        let named = config.url.as_ref().map(|url| url.as_str().to_owned());
        let origin = named.or_else(|| host.map(|host| format!("http://{host}"))).ok_or(PortalError::NoUrl)?;
        let keyring = deps.keyring.load();
        let lifetime = lifetime.unwrap_or(config.link_lifetime);
        portal_link(&origin, &keyring, access, lifetime, deps.clock.now())
    }

    /// Whether a path belongs to the settings page: [`ROOT`](super::ROOT), with the prefix of `console.url` or without.
    #[must_use]
    pub fn serves(&self, path: &str) -> bool {
        self.0.path_below_root(path).is_some()
    }

    /// Answers a request for a path that it serves. What a form asks for is done to its end, even if the browser closes the
    /// connection, as it does with that of the first click of two.
    pub async fn answer(
        &self,
        head: http::request::Parts,
        body: Incoming,
        client: &Client,
    ) -> Response<AnswerBody> {
        let now = self.0.deps.clock.reading().wall;
        if head.method == Method::POST {
            let (console, client) = (self.clone(), client.clone());
            let work = async move { console.page(&head, Some(body), &client, now).await };
            let done = tasks::spawn(Task::Form, work).await;
            return done.unwrap_or_else(|_| plain(StatusCode::INTERNAL_SERVER_ERROR)).map(AnswerBody::from);
        }
        let answer = self.page(&head, Some(body), client, now).await;
        if !events::are_wanted(&head) {
            return answer.map(AnswerBody::from);
        }
        let (headers, request) = (head.headers.clone(), Arc::new((self.clone(), head, client.clone())));
        self.0.events(&headers, answer, move || {
            // The distance of its times is no change of a page: it is told as of the same moment.
            let request = Arc::clone(&request);
            Box::pin(async move { request.0.page(&request.1, None, &request.2, now).await })
        })
    }

    /// The page or file at the path of a request, with times relative to `now`.
    async fn page(
        &self,
        head: &http::request::Parts,
        body: Option<Incoming>,
        client: &Client,
        now: UnixMillis,
    ) -> PageResponse {
        let path = self.0.path_below_root(head.uri.path()).unwrap_or_default().to_owned();
        if let Some(answer) = static_files::answer(&path) {
            return answer;
        }
        let query = Form::parse(head.uri.query().unwrap_or_default().as_bytes());
        let asked = Lang::of_tag(query.get("lang"));
        let lang = asked.unwrap_or_else(|| session::lang_of(&head.headers));
        let (state, visitor) = (&self.0, self.0.visitor(&head.headers));
        let locale = Locale { lang, now };
        let body = PostedBody { body, client };
        let page = async {
            let page = state.answer(head, body, &path, query, lang, &visitor).await;
            page.unwrap_or_else(|error| state.error_page(&error, lang, &path, &visitor))
        };
        // On the heap, because the pages' futures are large.
        let mut answer = locale.scope(Box::pin(page)).await;
        let options = visitor.options();
        if asked.is_some()
            && let Ok(cookie) = HeaderValue::from_str(&state.lang_cookie(lang, &options))
        {
            answer.headers_mut().append(SET_COOKIE, cookie);
        }
        set_security_headers(&mut answer, &state.deps.base, &options);
        answer
    }
}

impl State {
    async fn answer(
        &self,
        head: &http::request::Parts,
        body: PostedBody<'_>,
        path: &str,
        query: Form,
        lang: Lang,
        visitor: &Visitor,
    ) -> PageResult {
        let route = Route::parse(path).ok_or(PageError::NotFound)?;
        let posted = head.method == Method::POST;
        if !(posted && route.takes_post() || !posted && route.takes_get() && is_read(&head.method)) {
            return Err(PageError::WrongMethod(route.allow()));
        }
        if posted {
            self.require_our_origin(&head.headers, &head.uri)?;
        }
        let now = self.deps.clock.now();
        let session = visitor.session.as_ref();
        if let (Some(session), Some(sender), Route::Start | Route::Find | Route::In(..)) =
            (session, &self.deps.sender, &route)
            && sender.ledger().is_used(&session.id).await?
        {
            return self.signed_out(StatusCode::UNAUTHORIZED, lang, visitor);
        }
        // A client that never had a session may post a form of limited size, and only to these two paths.
        let is_open = matches!(route, Route::Enter | Route::SignIn) || visitor.past.is_some();
        let client = body.client;
        let form = match posted && (is_open || session.is_some()) {
            true => form::read(&head.headers, body).await?,
            false => Form::default(),
        };
        match &route {
            Route::Enter => return self.enter(posted, &query, &form, lang).await,
            Route::SignIn => return self.sign_in(posted, &form, lang).await,
            Route::SignOut => return self.sign_out(session, &form).await,
            Route::SignedOut => return self.signed_out(StatusCode::OK, lang, visitor),
            Route::Start | Route::Find | Route::In(..) => {}
        }
        let Some(session) = session else { return self.session_over(visitor, &form, lang, path) };
        let sender = self.deps.sender.as_ref().ok_or(PageError::NotFound)?;
        if posted && !session.accepts_csrf(form.get("csrf"), &self.deps.keyring.load(), now) {
            let sees = matches!(&route, Route::In(workspace, _) if session.may_see(workspace));
            return match sees {
                true => self.form_of_earlier_session(visitor, session, &form, lang, path),
                false => Err(self.refuse_form_of_other_session()),
            };
        }
        let Some(_permit) = self.page_limiter.try_acquire(session.access.workspace.as_deref()) else {
            client.count_refused("too_many_pages");
            return Err(PageError::TooMany);
        };
        let sender = &sender.acting_as(session.access.actor());
        let context =
            |workspace| RequestContext { state: self, sender, session, lang, workspace, query, form };
        match &route {
            Route::In(workspace, page) if session.may_see(workspace) => {
                let context = context(workspace);
                match posted && page.changes_something() {
                    true => context.once(path, context.dispatch(page, true)).await,
                    false => context.dispatch(page, posted).await,
                }
            }
            Route::Start => match &session.access.workspace {
                Some(workspace) => Ok(redirect_to(&self.path_of_workspace(workspace))),
                None => context("").show_workspaces().await,
            },
            Route::Find if session.access.workspace.is_none() => context("").find(posted).await,
            _ => Err(PageError::NotFound),
        }
    }
}

impl RequestContext<'_> {
    async fn dispatch(&self, page: &Page, posted: bool) -> PageResult {
        match (page, posted) {
            (Page::Webhooks, _) => self.list_webhooks().await,
            (Page::NewWebhook, false) => self.show_new_webhook(),
            (Page::NewWebhook, true) => self.add_webhook().await,
            (Page::Check, _) => self.check_url().await,
            (Page::Webhook(id), _) => self.show_webhook_or_secret(id).await,
            (Page::Action(id, action), _) => self.run_action(id, *action).await,
            (Page::Activity, _) => self.list_activity().await,
            (Page::Deliveries, _) => self.list_deliveries().await,
            (Page::DeliveriesCsv, _) => self.export_deliveries().await,
            (Page::ResendMany, _) => self.resend_many().await,
            (Page::Delivery(id), _) => self.show_delivery(id).await,
            (Page::Links(id), _) => self.reveal_links(id).await,
            (Page::Resend(id), _) => self.resend(id).await,
            (Page::Listen(id), _) => self.listen(id).await,
            (Page::Captions(id), _) => self.captions(id).await,
            (Page::Asset(id, kind), _) => self.open_asset(id, *kind).await,
            (Page::Recover, false) => self.show_recovery().await,
            (Page::Recover, true) => self.recover().await,
            (Page::Find, posted) => self.find(posted).await,
            (Page::Call(id), _) => self.show_call(id).await,
        }
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}
