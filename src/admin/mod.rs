//! The private listener: health, metrics, minting for delivery services in any language, and the webhook sender's API.

mod erase;
mod links;
mod probe;
mod token;
mod upload;
#[cfg(feature = "sender")]
mod webhooks;

pub use crate::secret::Token;
#[cfg(feature = "sender")]
pub use webhooks::{attempt_to_json, delivery_to_json, endpoint_to_json, secrets_to_json};

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::json;

use crate::clock::Clock;
#[cfg(feature = "console")]
use crate::console::{self, Console};
use crate::keys::ActiveKeyring;
use crate::problem::Problem;
#[cfg(feature = "sender")]
use crate::sender::Sender;
use crate::server::{self, Bodies, Client, Drain, Handler};
use crate::signed_url::BaseUrl;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::{MEDIA_TYPE, Registry};
use probe::{Fault, Probe};
use upload::Upload;
#[cfg(feature = "sender")]
use webhooks::ResourcePath;

/// The OpenAPI 3.1 description of this listener.
pub const OPENAPI: &str = include_str!("../../docs/openapi.json");

/// What stands before the id in the path of an erasure.
const ASSETS: &str = "/v1/assets/";

/// The admin listener's settings. Defaults stand in `defaults.toml`.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The bearer token of the minting API; without one the listener is bound to loopback.
    pub token: Option<Token>,
    /// The settings page below `/console`.
    #[cfg(feature = "console")]
    pub console: console::Config,
}

/// The admin listener's answers. Clones share everything.
#[derive(Debug, Clone)]
pub struct Admin(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    token: Option<Token>,
    services: Services,
    #[cfg(feature = "console")]
    console: Console,
    store_probe: Probe,
    #[cfg(feature = "sender")]
    ledger_probe: Probe,
}

/// What the admin listener needs beside its settings.
#[derive(Debug)]
pub struct Services {
    /// The public base URL of minted links.
    pub base: BaseUrl,
    /// The longest lifetime of a link.
    pub longest_lifetime: Duration,
    /// The keys that sign.
    pub keyring: ActiveKeyring,
    /// The store, for `/readyz` and for "does it exist?".
    pub store: Store,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// While it drains, `/readyz` says 503.
    pub drain: Drain,
    /// What `/metrics` shows.
    pub registry: Registry,
    /// The webhook sender, if it runs in this process.
    #[cfg(feature = "sender")]
    pub sender: Option<Sender>,
}

type Answer = Response<Bytes>;

impl Admin {
    /// The admin listener on these services.
    #[must_use]
    pub fn new(config: Config, services: Services) -> Self {
        #[cfg(feature = "console")]
        let console = Console::new(
            config.console,
            console::Dependencies {
                token: config.token.clone(),
                sender: services.sender.clone(),
                store: services.store.clone(),
                keyring: services.keyring.clone(),
                base: services.base.clone(),
                longest_lifetime: services.longest_lifetime,
                clock: Arc::clone(&services.clock),
            },
        );
        Self(Arc::new(Inner {
            token: config.token,
            services,
            #[cfg(feature = "console")]
            console,
            store_probe: Probe::default(),
            #[cfg(feature = "sender")]
            ledger_probe: Probe::default(),
        }))
    }

    async fn answer(&self, request: Request<Upload>) -> Answer {
        let path = request.uri().path().to_owned();
        let head = *request.method() == Method::HEAD;
        let read = matches!(*request.method(), Method::GET | Method::HEAD);
        let answer = match (path.as_str(), read) {
            ("/healthz", true) => json_answer(StatusCode::OK, &json!({"status": "ok"})),
            ("/readyz", true) => self.readiness().await,
            ("/metrics", true) => respond_with(MEDIA_TYPE, self.metrics_page().into()),
            ("/openapi.json", true) => {
                respond_with("application/json", Bytes::from_static(OPENAPI.as_bytes()))
            }
            ("/v1/links", _) if *request.method() == Method::POST => self.links(request).await,
            ("/healthz" | "/readyz" | "/metrics" | "/openapi.json", false) => not_allowed("GET, HEAD"),
            ("/v1/links", _) => not_allowed("POST"),
            (path, _) if path.starts_with(ASSETS) && *request.method() == Method::DELETE => {
                self.erasure(&request, path.trim_start_matches(ASSETS)).await
            }
            (path, _) if path.starts_with(ASSETS) => not_allowed("DELETE"),
            #[cfg(feature = "console")]
            (path, _) if console::is_below_root(path) => {
                let (head, upload) = request.into_parts();
                let (body, client) = upload.into_parts();
                self.0.console.answer(head, body, &client).await
            }
            #[cfg(feature = "sender")]
            (path, _) => match ResourcePath::at(path) {
                Some(resource) => webhooks::answer(self, request, resource).await,
                None => no_such_route(),
            },
            #[cfg(not(feature = "sender"))]
            _ => no_such_route(),
        };
        if head { answer.map(|_| Bytes::new()) } else { answer }
    }

    /// The metrics, with those of the keyring as they are at this second.
    fn metrics_page(&self) -> String {
        self.0.services.keyring.update_metrics(self.0.services.clock.now(), self.0.services.longest_lifetime);
        self.0.services.registry.render()
    }

    /// Whether links can be honoured: keys usable, store readable, not stopping. How the webhooks' database is stands
    /// beside it: links open without it.
    async fn readiness(&self) -> Answer {
        let keys = if self.0.services.keyring.can_sign(self.0.services.clock.now()) {
            "ok"
        } else {
            "no key may sign now"
        };
        let (store, webhooks) = tokio::join!(self.check_store(), self.check_webhooks());
        let store = store.unwrap_or("ok");
        let draining = self.0.services.drain.is_announced();
        let ready = keys == "ok" && store == "ok" && !draining;
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let word = if draining {
            "stopping"
        } else if ready {
            "ready"
        } else {
            "not ready"
        };
        let mut answer = json!({"status": word, "keys": keys, "store": store});
        if let (Some(found), serde_json::Value::Object(fields)) = (webhooks, &mut answer) {
            fields.insert("webhooks".into(), found.unwrap_or("ok").into());
        }
        json_answer(status, &answer)
    }

    /// What is wrong with the store, in words without its URL.
    async fn check_store(&self) -> Fault {
        const LATE: &str = "it does not answer in time";
        let store = self.0.services.store.clone();
        let look = async move {
            let error = store.probe().await.err()?;
            tracing::warn!(%error, "the store is not usable");
            Some(match error {
                StoreError::TimedOut { .. } => LATE,
                StoreError::Refused(_) => "it refuses us: credentials or permissions",
                StoreError::Misplaced(_) => "its bucket or container does not exist",
                _ => "it cannot be reached or fails",
            })
        };
        self.0.store_probe.find(look, LATE).await
    }

    /// What is wrong with the webhooks' database, in a few words; `None` if nothing is sent here.
    #[cfg(feature = "sender")]
    async fn check_webhooks(&self) -> Option<Fault> {
        let sender = self.0.services.sender.clone()?;
        let look = async move {
            let error = sender.ledger().probe().await.err()?;
            tracing::warn!(%error, "the webhooks' database is not usable");
            Some(error.summary())
        };
        Some(self.0.ledger_probe.find(look, "their database does not answer in time").await)
    }

    #[cfg(not(feature = "sender"))]
    async fn check_webhooks(&self) -> Option<Fault> {
        None
    }

    async fn links(&self, request: Request<Upload>) -> Answer {
        finish(self.try_links(request).await)
    }

    async fn erasure(&self, request: &Request<Upload>, id: &str) -> Answer {
        finish(match self.authorize(request) {
            Ok(()) => erase::erase(&self.0.services.store, id)
                .await
                .map(|erased| json_answer(StatusCode::OK, &erased)),
            Err(problem) => Err(problem),
        })
    }

    async fn try_links(&self, request: Request<Upload>) -> Result<Answer, Problem> {
        self.authorize(&request)?;
        require_json(&request)?;
        let body = request.into_body().read().await?;
        links::mint(&self.0.services, &body).await.map(|links| json_answer(StatusCode::OK, &links))
    }

    /// With a token, the request must bear it. Without one the listener is on loopback, and the request must be meant
    /// for it: a web page cannot reach it under a name of its own (DNS rebinding).
    fn authorize(&self, request: &Request<Upload>) -> Result<(), Problem> {
        match &self.0.token {
            Some(token) if token::is_borne_by(token, request.headers()) => request.body().permitted(),
            Some(_) => Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "Unauthorized",
                "Send `Authorization: Bearer …` with the token of this listener's token file.",
            )),
            None if is_for_loopback(request) => request.body().permitted(),
            None => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "host_not_allowed",
                "Host not allowed",
                "Without a token this listener answers under localhost, 127.0.0.1 and [::1] alone. \
                 Set admin.token_file to use another name.",
            )),
        }
    }
}

fn not_json(error: &serde_json::Error) -> Problem {
    let detail = format!("The body is not JSON: line {}, column {}.", error.line(), error.column());
    Problem::new(StatusCode::BAD_REQUEST, "not_json", "Not JSON", &detail)
}

fn finish(result: Result<Answer, Problem>) -> Answer {
    let problem = match result {
        Ok(answer) => return answer,
        Err(problem) => problem,
    };
    let status = problem.status();
    let mut response = problem.into_response();
    let extra = match status {
        StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, "Bearer")),
        StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, "5")),
        _ => None,
    };
    if let Some((name, value)) = extra {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn is_for_loopback(request: &Request<Upload>) -> bool {
    let authority = request.uri().authority().cloned();
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let Some(authority) = authority.or_else(|| host.and_then(|host| host.parse().ok())) else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A web page cannot send this media type to another origin without asking first.
fn require_json(request: &Request<Upload>) -> Result<(), Problem> {
    let media_type =
        request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "Unsupported media type",
        "Send the body as `Content-Type: application/json`.",
    ))
}

fn no_such_route() -> Answer {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_such_route",
        "No such path",
        "There is nothing at this path. The paths of this listener are described in /openapi.json.",
    )
    .into_response()
}

fn not_allowed(methods: &'static str) -> Answer {
    let detail = format!("This path takes {methods}.");
    let problem =
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed", &detail);
    let mut response = problem.into_response();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

fn json_answer(status: StatusCode, value: &serde_json::Value) -> Answer {
    let mut response = respond_with("application/json", Bytes::from(value.to_string() + "\n"));
    *response.status_mut() = status;
    response
}

fn respond_with(media_type: &'static str, body: Bytes) -> Answer {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    set_no_store(&mut response);
    response
}

fn set_no_store(response: &mut Answer) {
    let headers = response.headers_mut();
    headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

impl Handler for Admin {
    type Body = Full<Bytes>;

    const BODIES: Bodies = Bodies::Allowed;

    fn answer(&self, request: Request<Incoming>, client: Client) -> server::Answer<Full<Bytes>> {
        let this = self.clone();
        let (request, held) = Upload::of(request, client);
        server::Answer::awaited(async move {
            let _held = held;
            Admin::answer(&this, request).await.map(Full::new)
        })
    }
}
