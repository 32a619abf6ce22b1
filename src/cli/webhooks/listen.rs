//! `webhooks listen`: a test receiver that prints each request and whether its signatures are valid.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use bytes::Bytes;
use clap::Args;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, USER_AGENT};
use http::{Method, Request, Response, StatusCode, request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::output::escaped_lines;
use super::signature_check::{self, SignatureCheck};
use crate::cli::arguments::duration;
use crate::cli::exit::{Exit, Failure, print};
use crate::cli::terminal::escaped;
use crate::clock::{Clock, SystemClock};
use crate::server::{self, Answer, Bodies, Client, Drain, Handler, Server};
use crate::webhook::{
    WEBHOOK_EVENT_ID, WEBHOOK_ID, WEBHOOK_RESEND, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP, WebhookSecret,
    X_WEBHOOK_SIGNATURE,
};

/// The largest accepted body, in bytes.
const MAX_BODY: usize = 1 << 20;

/// The header fields to print: those of a webhook, and those that proxies change.
const FIELDS: [HeaderName; 9] = [
    CONTENT_TYPE,
    CONTENT_LENGTH,
    USER_AGENT,
    WEBHOOK_ID,
    WEBHOOK_EVENT_ID,
    WEBHOOK_RESEND,
    WEBHOOK_TIMESTAMP,
    WEBHOOK_SIGNATURE,
    X_WEBHOOK_SIGNATURE,
];

#[derive(Debug, Args)]
pub(crate) struct Listen {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// The endpoint's secret, to verify signatures
    #[arg(long, value_name = "WHSEC", conflicts_with = "secret_file")]
    secret: Option<String>,
    /// A file whose first line is the secret; unlike an argument, other users do not see it
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// The status to answer, e.g. 500 to simulate a failing receiver
    #[arg(long, value_name = "STATUS", default_value = "200", value_parser = status)]
    status: StatusCode,
    /// How long to wait before the answer, e.g. 12s to simulate a slow receiver
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    delay: Duration,
}

impl Listen {
    pub(super) fn run(self) -> Exit {
        let secret = match (&self.secret, &self.secret_file) {
            (Some(text), _) => Some(parse_secret("--secret", text)?),
            (None, Some(path)) => Some(read_secret(path)?),
            (None, None) => None,
        };
        tokio::runtime::Runtime::new()?.block_on(async {
            let listener = TcpListener::bind(self.listen).await.map_err(|error| {
                Failure::Failed(format!(
                    "{} cannot be listened on: {error}; choose another with --listen (port 0 takes any)",
                    self.listen
                ))
            })?;
            let address = listener.local_addr()?;
            print(&greeting(address, secret.is_some()))?;
            let mut receiver = Receiver::new(secret);
            receiver.status = self.status;
            receiver.delay = self.delay;
            receiver.serve(listener).await;
            // The receiver ends only when its output is closed.
            Err(Failure::OutputClosed)
        })
    }
}

fn greeting(address: SocketAddr, checks: bool) -> String {
    let secret = if checks {
        "Signatures are checked."
    } else {
        "Without a secret signatures are not checked: --secret-file FILE, or --secret whsec_…"
    };
    let network = if address.ip().is_loopback() { address.ip().to_string() } else { "NETWORK".to_owned() };
    format!(
        "receiver listening on http://{address}\n\
         {secret}\n\
         A `serve` that is to send here needs these two, because http:// and this network are not public:\n  \
         WEBHOOK_ASSETS_WEBHOOKS_ALLOW_HTTP=true\n  \
         WEBHOOK_ASSETS_WEBHOOKS_ALLOWED_NETWORKS={network}\n\
         Stop with Ctrl-C.\n",
    )
}

/// clap does not parse the secret, because its errors would repeat a wrong one.
fn parse_secret(origin: &str, text: &str) -> Result<WebhookSecret, Failure> {
    WebhookSecret::parse(text.trim()).map_err(|error| Failure::Usage(format!("{origin}: {error}")))
}

fn read_secret(path: &Path) -> Result<WebhookSecret, Failure> {
    let origin = format!("--secret-file {}", path.display());
    let text = std::fs::read_to_string(path).map(zeroize::Zeroizing::new);
    let text = text.map_err(|error| Failure::Usage(format!("{origin}: {error}")))?;
    parse_secret(&origin, text.lines().next().unwrap_or_default())
}

fn status(text: &str) -> Result<StatusCode, String> {
    let number = text.parse::<u16>().ok().filter(|number| (200..=599).contains(number));
    number
        .and_then(|number| StatusCode::from_u16(number).ok())
        .ok_or_else(|| "takes a status from 200 to 599".to_owned())
}

/// Answers webhooks and prints them. Clones share the counter.
#[derive(Debug, Clone)]
pub(crate) struct Receiver {
    secret: Option<WebhookSecret>,
    status: StatusCode,
    delay: Duration,
    arrived: Arc<AtomicU64>,
    /// Receives each body, and whether its signatures are valid.
    arrivals: Option<mpsc::Sender<(Bytes, bool)>>,
    stop: Drain,
}

impl Receiver {
    /// A receiver that answers 200 without delay.
    pub(crate) fn new(secret: Option<WebhookSecret>) -> Self {
        Self {
            secret,
            status: StatusCode::OK,
            delay: Duration::ZERO,
            arrived: Arc::default(),
            arrivals: None,
            stop: Drain::new(),
        }
    }

    /// Sends each received body to `arrivals`, and whether its signatures are valid, instead of printing it.
    pub(crate) fn notifying(self, arrivals: mpsc::Sender<(Bytes, bool)>) -> Self {
        Self { arrivals: Some(arrivals), ..self }
    }

    /// Serves until its output is closed.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let connections = server::Config {
            header_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(1),
            slowest_client: 1,
            stall_timeout: Duration::from_secs(60),
            connections: 100,
            connections_per_address: Some(100),
            longest_target: 8_192,
            longest_head: 32_768,
            connection_buffer: 65_536,
            http2_streams: 100,
            http2_resets: 20,
            trusted_proxies: server::Networks::default(),
            proxy_protocol: false,
            client_header: None,
        };
        let stop = self.stop.clone();
        Server::new(connections, self, stop).serve(listener).await;
    }

    /// Describes a request, and returns whether its signatures are valid.
    fn report(&self, head: &request::Parts, body: Option<&[u8]>) -> (String, bool) {
        let mut text = String::new();
        let number = self.arrived.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let bold = Style::new().bold();
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let now = SystemClock.now_millis();
        let _ = writeln!(text, "\n{bold}#{number}  {} {}{bold:#}  {now}", head.method, escaped(target));
        for name in FIELDS {
            for value in head.headers.get_all(&name) {
                let _ = writeln!(text, "{name}: {}", escaped(&String::from_utf8_lossy(value.as_bytes())));
            }
        }
        let Some(body) = body else {
            let _ = writeln!(text, "its body is larger than 1 MiB or did not arrive whole; answered 413");
            return (text, false);
        };
        text.push_str(&body_as_text(body));
        if head.method != Method::POST {
            let _ = writeln!(text, "this is no webhook: those come by POST");
        }
        let Some(secret) = &self.secret else { return (text, false) };
        let checks = [
            ("X-Webhook-Signature", signature_check::plain(secret, &head.headers, body)),
            ("Standard Webhooks", signature_check::standard(secret, &head.headers, body, now.seconds())),
        ];
        for (name, SignatureCheck { good, text: result }) in &checks {
            let colour = if *good { AnsiColor::Green } else { AnsiColor::Red };
            let style = Style::new().bold().fg_color(Some(colour.into()));
            let _ = writeln!(text, "{name:19}  {style}{result}{style:#}");
        }
        (text, checks.iter().all(|(_, verdict)| verdict.good))
    }
}

fn body_as_text(body: &[u8]) -> String {
    if body.is_empty() {
        return "(no body)\n".to_owned();
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => escaped_lines(&format!("{value:#}\n")),
        Err(error) => {
            format!("{}\nthe body is not JSON: {error}\n", escaped_lines(&String::from_utf8_lossy(body)))
        }
    }
}

impl Handler for Receiver {
    type Body = Full<Bytes>;

    const BODIES: Bodies = Bodies::Allowed;

    fn answer(&self, request: Request<Incoming>, _client: Client) -> Answer<Full<Bytes>> {
        let this = self.clone();
        Answer::awaited(async move { this.receive(request).await })
    }
}

impl Receiver {
    async fn receive(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await.ok().map(http_body_util::Collected::to_bytes);
        let (text, good) = self.report(&head, body.as_deref());
        if self.arrivals.is_none() && print(&text).is_err() {
            self.stop.begin();
        }
        let mut response = Response::new(Full::default());
        match body {
            None => *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE,
            Some(body) => {
                if let Some(arrivals) = &self.arrivals {
                    let _ = arrivals.try_send((body, good));
                }
                tokio::time::sleep(self.delay).await;
                *response.status_mut() = self.status;
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_received_body_does_not_control_the_terminal() {
        let words = body_as_text("{\"a\": \"\u{1b}[2J\u{9b}1m\"}".as_bytes());
        assert!(!words.contains(['\u{1b}', '\u{9b}']), "{words:?}");
        let words = body_as_text("{\"a\": \"\u{9b}1m\u{7f}\"}".as_bytes());
        assert!(words.contains("\\u{9b}1m\\u{7f}"), "{words:?}");
        assert_eq!(body_as_text(b""), "(no body)\n");
    }
}
