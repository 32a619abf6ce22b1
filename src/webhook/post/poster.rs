//! The poster: sends one POST request within one deadline, over pooled connections.

use std::convert::Infallible;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::connector::{Connector, Resolve, SystemResolver};
use super::error::{Phase, PostError};
use super::header_fields::HeaderFields;
use super::poster_error::PosterError;
use super::progress::{OpenedBy, PROGRESS, Phases, Progress};
use super::proxy::{Proxy, ProxyConfig};
use super::response::ReceiverResponse;
use super::{excerpt, status_line};
use crate::clock::running;
use crate::webhook::endpoint_url::EndpointUrl;
use crate::webhook::network::AllowedNetworks;

/// The most idle connections per host, and how long they are kept: less than the 2 s after which gunicorn closes its
/// own (Node, Apache and uvicorn wait 5 s). If the receiver closes a connection while a webhook is sent on it, the
/// webhook may have arrived but counts as failed.
const MAX_IDLE: usize = 64;
const IDLE_TIMEOUT: Duration = Duration::from_millis(1_500);

/// The deadline of a probe. A person waits for its result.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest response head, in bytes and in fields.
const MAX_HEAD: usize = 64 * 1024;
const MAX_FIELDS: usize = 100;

/// The most bytes of a response body to keep. The poster does not wait for more.
const MAX_EXCERPT: usize = 4 * 1024;

const OUR_USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("webhook-assets/", env!("CARGO_PKG_VERSION")));

/// Settings of the poster.
#[derive(Debug, Clone)]
pub struct PosterConfig {
    /// Networks that are allowed although they are not public.
    pub networks: AllowedNetworks,
    /// Whether `http://` URLs are allowed.
    pub allow_http: bool,
    /// The deadline of a whole attempt: lookup, connection, TLS, request and complete response.
    pub deadline: Duration,
    /// Additional trusted authorities: a file of PEM certificates.
    pub ca_file: Option<PathBuf>,
    /// The proxy that all connections go through, if there is one.
    pub proxy: Option<ProxyConfig>,
}

impl Default for PosterConfig {
    fn default() -> Self {
        Self {
            networks: AllowedNetworks::default(),
            allow_http: false,
            deadline: Duration::from_secs(10),
            ca_file: None,
            proxy: None,
        }
    }
}

/// Posts webhooks. Clones share connections. The client ignores proxies from the environment, keeps no cookies and
/// follows no redirects.
#[derive(Clone)]
pub struct Poster {
    client: Client<Connector, RequestBody>,
    /// The client for probes, which opens a new connection for each.
    probe_client: Client<Connector, RequestBody>,
    deadline: Duration,
}

impl Poster {
    /// A poster with the system's resolver.
    ///
    /// # Errors
    ///
    /// [`PosterError`] if the authorities cannot be read.
    pub fn new(config: &PosterConfig) -> Result<Self, PosterError> {
        Self::with_resolver(config, Arc::new(SystemResolver::default()))
    }

    /// A poster with another resolver.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_resolver(config: &PosterConfig, resolver: Arc<dyn Resolve>) -> Result<Self, PosterError> {
        let connector = Connector {
            resolver,
            networks: Arc::new(config.networks.clone()),
            allow_http: config.allow_http,
            tls: TlsConnector::from(Arc::new(tls(config)?)),
            proxy: config.proxy.as_ref().map(Proxy::new).transpose()?.map(Arc::new),
            deadline: config.deadline,
        };
        let (client, probe_client) = (client(connector.clone(), MAX_IDLE), client(connector, 0));
        Ok(Self { client, probe_client, deadline: config.deadline })
    }

    /// Posts `body` once, for an endpoint of `workspace`. Adds framing and `Host` to `headers`, and `User-Agent` and
    /// `Accept` if they are missing.
    ///
    /// The response includes its body: if the body is interrupted or exceeds the deadline, the attempt fails, whatever
    /// its status. The poster does not wait for bytes beyond the excerpt.
    pub async fn post(
        &self,
        workspace: &str,
        url: &EndpointUrl,
        headers: HeaderMap,
        body: Bytes,
    ) -> Exchange {
        let progress = Arc::new(Progress::of(workspace));
        let request = self.request(Method::POST, url, headers, body, &progress);
        self.exchange(&self.client, request, progress, self.deadline).await
    }

    /// Asks a receiver which methods it accepts, as a browser does before it posts; no receiver mistakes this request
    /// for an event. Each probe opens a new connection, because it also tests name, address and certificate, and
    /// because the receiver may be closing an idle one.
    pub async fn probe(&self, workspace: &str, url: &EndpointUrl) -> Exchange {
        let headers = [("access-control-request-method", "POST"), ("origin", "https://webhook.invalid")]
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)));
        let headers = HeaderMap::from_iter(headers);
        let progress = Arc::new(Progress::of(workspace));
        let request = self.request(Method::OPTIONS, url, headers, Bytes::new(), &progress);
        self.exchange(&self.probe_client, request, progress, self.deadline.min(PROBE_TIMEOUT)).await
    }

    async fn exchange(
        &self,
        client: &Client<Connector, RequestBody>,
        request: Request<RequestBody>,
        progress: Arc<Progress>,
        deadline: Duration,
    ) -> Exchange {
        let sent = HeaderFields::of(request.headers());
        // On the heap, because each future around it would hold it twice, and spawning a delivery copies them all (row *hundred*
        // of the sender's benchmark).
        let attempt = Box::pin(self.attempt(client, request, &progress));
        let attempt = PROGRESS.scope(Arc::clone(&progress), attempt);
        let result = match running::timeout(deadline, attempt).await {
            Ok(result) => result,
            Err(_) => Err(PostError::TimedOut { phase: progress.phase(), after: deadline }),
        };
        Exchange { took: progress.elapsed(), phases: progress.phases(), sent, result }
    }

    fn request(
        &self,
        method: Method,
        url: &EndpointUrl,
        mut headers: HeaderMap,
        body: Bytes,
        progress: &Arc<Progress>,
    ) -> Request<RequestBody> {
        for ours in [CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING] {
            headers.remove(ours);
        }
        headers.entry(USER_AGENT).or_insert(OUR_USER_AGENT);
        // Firewalls may treat a request without `Accept` as a bot.
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        let mut request =
            Request::new(RequestBody { bytes: Full::new(body), progress: Arc::clone(progress) });
        *request.method_mut() = method;
        *request.uri_mut() = url.uri().clone();
        *request.headers_mut() = headers;
        request
    }

    async fn attempt(
        &self,
        client: &Client<Connector, RequestBody>,
        request: Request<RequestBody>,
        progress: &Progress,
    ) -> Result<ReceiverResponse, PostError> {
        let failed = |error: &(dyn std::error::Error + 'static)| PostError::exchange(error, progress.phase());
        let response = match client.request(request).await {
            Ok(response) => response,
            Err(error) => {
                if let Some(connection) = status_line::extras_of(&error) {
                    progress.use_connection(connection.get::<OpenedBy>());
                }
                return status_line::response_behind(&error).ok_or_else(|| failed(&error));
            }
        };
        progress.reach(Phase::Body);
        progress.use_connection(response.extensions().get::<OpenedBy>());
        let (head, body) = response.into_parts();
        let response = Response::from_parts(head, ());
        let body = read(body, &response).await.map_err(|error| failed(&error))?;
        let excerpt = excerpt::readable(response.headers(), &body, MAX_EXCERPT).await;
        Ok(ReceiverResponse::read(response.status(), response.headers(), excerpt))
    }
}

impl fmt::Debug for Poster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poster").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// The outcome of one POST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The time from the lookup to the end of the response.
    pub took: Duration,
    /// How long each of its phases took.
    pub phases: Phases,
    /// The header fields of the request, without those that only frame it.
    pub sent: HeaderFields,
    /// The response, or why there is none.
    pub result: Result<ReceiverResponse, PostError>,
}

impl Exchange {
    /// Whether the receiver accepted the webhook: a complete response with a 2xx status.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.result.as_ref().is_ok_and(ReceiverResponse::is_success)
    }
}

/// An HTTP client that keeps at most `most_idle` idle connections to one host.
fn client(connector: Connector, most_idle: usize) -> Client<Connector, RequestBody> {
    // The client retries a request only if none of it was written: hyper returns the request when a pooled connection
    // closes before it accepts the request, and in no other case (hyper's `proto::h1::dispatch`,
    // `TrySendError::message`). Without this retry, any idle connection that a receiver closes could fail a webhook. A
    // request that a connection has accepted is never repeated here.
    Client::builder(TokioExecutor::new())
        .retry_canceled_requests(true)
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(most_idle)
        .http1_max_buf_size(MAX_HEAD)
        .http1_max_headers(MAX_FIELDS)
        // The status alone decides whether the receiver accepted the webhook; malformed header fields do not justify
        // sending the event again.
        .http1_allow_spaces_after_header_name_in_responses(true)
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        .http1_ignore_invalid_headers_in_responses(true)
        // As the help page spells them: some receivers compare names case-sensitively.
        .http1_title_case_headers(true)
        .build(connector)
}

fn tls(config: &PosterConfig) -> Result<ClientConfig, PosterError> {
    let extra = config.ca_file.as_ref().map_or(Ok(Vec::new()), authorities)?;
    let provider = Arc::new(default_provider());
    let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(extra, Arc::clone(&provider))
        .map_err(PosterError::Tls)?;
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(PosterError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
}

fn authorities(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, PosterError> {
    let pem = fs::read(path).map_err(|source| PosterError::CaFile { path: path.clone(), source })?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(PosterError::NoCertificate { path: path.clone() }),
    }
}

/// Reads enough of the body for the excerpt; dropping the rest closes the connection.
async fn read(mut body: Incoming, head: &Response<()>) -> Result<Vec<u8>, hyper::Error> {
    let mut read = Vec::new();
    while read.len() < MAX_EXCERPT {
        match body.frame().await {
            Some(Ok(frame)) => read.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            // A body without a length ends with the connection (RFC 9112 §6.3), and many servers close the connection
            // without a TLS close_notify. Such a body counts as complete.
            Some(Err(_)) if !is_framed(head.headers()) => break,
            Some(Err(error)) => return Err(error),
            None => break,
        }
    }
    Ok(read)
}

fn is_framed(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING)
}

/// A request body that records the phase once the connection is open and the request is being written.
struct RequestBody {
    bytes: Full<Bytes>,
    progress: Arc<Progress>,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.progress.reach(Phase::Response);
        let frame = ready!(Pin::new(&mut self.bytes).poll_frame(cx));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.bytes.size_hint()
    }
}
