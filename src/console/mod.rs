//! The settings page, where a person sets up, tests and diagnoses webhooks. It renders HTML over the ledger and the
//! sender; style sheet and script are compiled in.

mod deliveries;
mod display;
mod form;
mod i18n;
mod layout;
mod page_limiter;
mod payload;
mod player;
mod portal;
mod recover;
mod route;
mod session;
mod sign_in;
mod static_files;
mod url_check;
mod webhook;
mod webhooks;

pub use portal::{Access, PortalError, PortalLink, portal_link};

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderValue, LOCATION, SET_COOKIE};
use http::{HeaderMap, Method, Response, StatusCode};
use hyper::body::Incoming;

use crate::clock::Clock;
use crate::keys::ActiveKeyring;
use crate::ledger::{Ledger, LedgerError};
use crate::secret::Token;
use crate::sender::Sender;
use crate::server::Client;
use crate::signed_url::BaseUrl;
use crate::store::Store;
use form::Form;
use i18n::Lang;
use layout::Layout;
use page_limiter::PageLimiter;
use route::{Page, Route};
use session::Session;

/// The path below which this room answers.
pub const ROOT: &str = "/console";

/// Whether this room answers the path.
#[must_use]
pub fn is_below_root(path: &str) -> bool {
    path.strip_prefix(ROOT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The settings of this room. `defaults.toml` has the defaults.
#[derive(Debug, Clone)]
pub struct Config {
    /// Scheme and host under which people reach the page; `None` takes those of the request.
    pub url: Option<BaseUrl>,
    /// How long a portal link is valid.
    pub link_lifetime: Duration,
    /// How long a person stays signed in.
    pub session_lifetime: Duration,
}

/// The services that the settings page uses.
#[derive(Debug)]
pub struct Dependencies {
    /// The operator's token, if there is one.
    pub token: Option<Token>,
    /// The webhook sender, if it runs in this process.
    pub sender: Option<Sender>,
    /// Reads recordings and transcripts.
    pub store: Store,
    /// Signs portal links, cookies, and the links that the player opens.
    pub keyring: ActiveKeyring,
    /// The public base URL of minted links.
    pub base: BaseUrl,
    /// The longest lifetime of a link.
    pub longest_lifetime: Duration,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The settings page. Clones share everything.
#[derive(Debug, Clone)]
pub struct Console(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    deps: Dependencies,
    page_limiter: PageLimiter,
}

/// The body of a form, and the client that sends it.
struct PostedBody<'p> {
    body: Incoming,
    client: &'p Client,
}

type PageResponse = Response<Bytes>;

/// Why a request gets an error page.
#[derive(Debug)]
enum PageError {
    /// The path does not exist, or belongs to another workspace.
    NotFound,
    /// The page exists, but the session may not see it.
    NotAllowed,
    /// The request does not come from a page of this origin and session.
    NotOurs,
    /// The database failed.
    Ledger(LedgerError),
    /// The body is not a form of this page.
    BadForm,
    /// The body did not arrive in time.
    FormTooSlow,
    /// The workspace, or all workspaces together, load as many pages as they may at once.
    TooMany,
    /// A bug of this program.
    Broken,
}

impl From<LedgerError> for PageError {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl From<askama::Error> for PageError {
    fn from(_: askama::Error) -> Self {
        Self::Broken
    }
}

/// A request of a signed-in person, for a page of one workspace.
struct RequestContext<'v> {
    console: &'v Inner,
    sender: &'v Sender,
    session: &'v Session,
    lang: Lang,
    /// The workspace of the path; the session may see it.
    workspace: &'v str,
    query: Form,
    form: Form,
}

impl RequestContext<'_> {
    fn ledger(&self) -> &Ledger {
        self.sender.ledger()
    }

    /// The path of a page of this workspace.
    fn path(&self, rest: &str) -> String {
        format!("{}{rest}", route::of_workspace(self.workspace))
    }

    /// Redirects to a page with a pass that shows `what` for a while.
    fn redirect_revealing(&self, path: &str, done: &str, what: &str) -> Result<PageResponse, PageError> {
        let deps = &self.console.deps;
        let pass = self.session.reveal(what, &deps.keyring.load(), deps.clock.now());
        Ok(redirect_to(&format!("{path}?{done}shown={}", pass.ok_or(PageError::Broken)?)))
    }

    /// Whether the query has a valid pass that shows `what` to this session.
    fn shows(&self, what: &str) -> bool {
        let deps = &self.console.deps;
        let pass = self.query.get("shown");
        self.session.reveals(pass, what, &deps.keyring.load(), deps.clock.now())
    }

    fn layout(&self, title: &str, here: &'static str, path: &str) -> Layout {
        let layout = Layout::new(self.lang, title, path).signed_in(self.session, here);
        Layout { workspace: Some(self.workspace.to_owned()), root: self.path(""), ..layout }
    }
}

impl Console {
    /// The settings page with these dependencies.
    #[must_use]
    pub fn new(config: Config, deps: Dependencies) -> Self {
        Self(Arc::new(Inner { config, deps, page_limiter: PageLimiter::default() }))
    }

    /// Mints a portal link; `host` is the request's, for when `console.url` is not set.
    ///
    /// # Errors
    /// [`PortalError`] if there is no address to put into it, or no key that signs.
    pub fn portal_link(
        &self,
        access: &Access,
        lifetime: Option<Duration>,
        host: Option<&str>,
    ) -> Result<PortalLink, PortalError> {
        let Inner { config, deps, .. } = &*self.0;
        let named = config.url.as_ref().map(|url| url.as_str().to_owned());
        let origin = named.or_else(|| host.map(|host| format!("http://{host}"))).ok_or(PortalError::NoUrl)?;
        let keyring = deps.keyring.load();
        let lifetime = lifetime.unwrap_or(config.link_lifetime);
        portal_link(&origin, &keyring, access, lifetime, deps.clock.now())
    }

    /// Answers a request below [`ROOT`].
    pub async fn answer(
        &self,
        head: http::request::Parts,
        body: Incoming,
        client: &Client,
    ) -> Response<Bytes> {
        let path = head.uri.path().to_owned();
        if let Some(answer) = static_files::answer(&path) {
            return answer;
        }
        let query = Form::parse(head.uri.query().unwrap_or_default().as_bytes());
        let asked = Lang::of_tag(query.get("lang"));
        let lang = asked.unwrap_or_else(|| session::lang_of(&head.headers));
        let mut answer = self
            .0
            .answer(&head, PostedBody { body, client }, &path, query, lang)
            .await
            .unwrap_or_else(|error| self.0.tell(&error, lang, &path));
        if asked.is_some()
            && let Ok(cookie) = HeaderValue::from_str(&self.0.lang_cookie(lang))
        {
            answer.headers_mut().append(SET_COOKIE, cookie);
        }
        layout::set_security_headers(&mut answer, &self.0.deps.base);
        answer
    }
}

impl Inner {
    async fn answer(
        &self,
        head: &http::request::Parts,
        body: PostedBody<'_>,
        path: &str,
        query: Form,
        lang: Lang,
    ) -> Result<PageResponse, PageError> {
        let route = Route::at(path).ok_or(PageError::NotFound)?;
        let posted = head.method == Method::POST;
        if !(posted && route.takes_post() || !posted && route.takes_get() && is_read(&head.method)) {
            return Ok(layout::not_allowed(&route));
        }
        if posted {
            session::require_our_origin(&head.headers, &head.uri, self.config.url.as_ref())?;
        }
        let now = self.deps.clock.now();
        let session = Session::of(&head.headers, &self.deps.keyring.load(), now);
        if let (Some(session), Some(sender), Route::Start | Route::In(..)) =
            (&session, &self.deps.sender, &route)
            && sender.ledger().is_used(&session.id).await?
        {
            return self.signed_out(StatusCode::UNAUTHORIZED, lang);
        }
        // A client without a session may send a form of limited size, and only to these two paths.
        let is_open = matches!(route, Route::Enter | Route::SignIn);
        let client = body.client;
        let form = match posted && (is_open || session.is_some()) {
            true => form::read(&head.headers, body).await?,
            false => Form::default(),
        };
        match &route {
            Route::Enter => return self.enter(posted, &query, &form, lang).await,
            Route::SignIn => return self.sign_in(posted, &form, lang),
            Route::SignOut => return self.sign_out(session.as_ref(), &form).await,
            Route::SignedOut => return self.signed_out(StatusCode::OK, lang),
            Route::Start | Route::In(..) => {}
        }
        let Some(session) = session else { return self.sign_in_required(lang, path) };
        let sender = self.deps.sender.as_ref().ok_or(PageError::NotFound)?;
        if posted && !session.accepts_csrf(form.get("csrf"), &self.deps.keyring.load(), now) {
            return Err(PageError::NotOurs);
        }
        let Some(_permit) = self.page_limiter.try_acquire(session.access.workspace.as_deref()) else {
            client.count_refused("too_many_pages");
            return Err(PageError::TooMany);
        };
        let visit = |workspace| RequestContext {
            console: self,
            sender,
            session: &session,
            lang,
            workspace,
            query,
            form,
        };
        match &route {
            Route::In(workspace, page) if session.may_see(workspace) => {
                visit(workspace).at(page, posted).await
            }
            Route::Start => match &session.access.workspace {
                Some(workspace) => Ok(redirect_to(&route::of_workspace(workspace))),
                None => visit("").show_workspaces().await,
            },
            _ => Err(PageError::NotFound),
        }
    }
}

impl RequestContext<'_> {
    async fn at(&self, page: &Page, posted: bool) -> Result<PageResponse, PageError> {
        match (page, posted) {
            (Page::Webhooks, _) => self.list_webhooks().await,
            (Page::NewWebhook, false) => self.show_new_webhook(),
            (Page::NewWebhook, true) => self.add_webhook().await,
            (Page::Check, _) => self.check_url().await,
            (Page::Webhook(id), _) => self.show_webhook_or_secret(id).await,
            (Page::Action(id, action), _) => self.run_action(id, *action).await,
            (Page::Deliveries, _) => self.list_deliveries().await,
            (Page::Delivery(id), _) => self.show_delivery(id).await,
            (Page::Links(id), _) => self.reveal_links(id).await,
            (Page::Resend(id), _) => self.resend(id).await,
            (Page::Listen(id), _) => self.listen(id).await,
            (Page::Asset(id, kind), _) => self.open_asset(id, *kind).await,
            (Page::Recover, false) => self.show_recovery().await,
            (Page::Recover, true) => self.recover().await,
        }
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Redirects (303) to another page.
fn redirect_to(path: &str) -> PageResponse {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    // Names in paths are percent-encoded, so every path is a valid header value.
    if let Ok(path) = HeaderValue::from_str(path) {
        answer.headers_mut().insert(LOCATION, path);
    }
    answer
}

/// The values of the request's `Cookie` fields.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let fields = headers.get_all(http::header::COOKIE).iter().filter_map(|field| field.to_str().ok());
    fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='))
}
