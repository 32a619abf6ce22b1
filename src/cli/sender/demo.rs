//! The sender's part of `demo`: the webhook of the sample call.

use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::part::SenderPart;
use crate::cli::exit::{Failure, print};
use crate::cli::sample_call::SAMPLE_CALL;
use crate::cli::webhooks::listen::Receiver;
use crate::ledger::{NewEndpoint, NewEvent};
use crate::webhook::CompletedCall;

/// The timeout of the demo's webhook, and of each download.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The settings of the demo's sender.
pub(crate) fn demo_settings(folder: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("WEBHOOK_ASSETS_DATABASE", folder.join("demo.db").display().to_string()),
        ("WEBHOOK_ASSETS_WEBHOOKS_ALLOW_HTTP", "true".to_owned()),
        ("WEBHOOK_ASSETS_WEBHOOKS_ALLOWED_NETWORKS", "127.0.0.0/8".to_owned()),
    ]
}

/// Sends the sample call to the demo's receiver, and downloads the links that arrive.
pub(crate) async fn show_webhook(part: &SenderPart) -> Result<(), Failure> {
    let Some(sender) = part.sender() else { return Ok(()) };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let endpoint = NewEndpoint {
        workspace: "demo".to_owned(),
        url: format!("http://{address}/webhook"),
        description: "the demo's own receiver".to_owned(),
        long_tail: false,
        concurrency: None,
        per_second: None,
    };
    let (endpoint, secret) = sender.ledger().add_endpoint(endpoint, sender.now()).await?;
    print(&format!("\nA call ends, and its webhook is sent to {}:\n", endpoint.url))?;
    let (arrivals, mut receive) = mpsc::channel(1);
    tokio::spawn(Receiver::new(Some(secret)).notifying(arrivals).serve(listener));

    let (call, asset) = (CompletedCall::sample(), Some(SAMPLE_CALL));
    let event =
        NewEvent::call("demo", "sample", &call, asset, asset, sender.now()).map_err(Failure::failed)?;
    sender.accept(event).await.map_err(Failure::failed)?;
    let arrived = tokio::time::timeout(TIMEOUT, receive.recv()).await.ok().flatten();
    let (body, _) =
        arrived.ok_or_else(|| Failure::Failed("the webhook did not arrive within 10 s".to_owned()))?;
    let body: Value = serde_json::from_slice(&body).map_err(Failure::failed)?;
    print("\nThe receiver follows its links:\n")?;
    for field in ["recording_url", "transcript_url"] {
        let link = body.pointer(&format!("/call/{field}")).and_then(Value::as_str).unwrap_or_default();
        let fetched = tokio::time::timeout(TIMEOUT, fetch(link)).await;
        let fetched = fetched.unwrap_or_else(|_| Err("no answer within 10 s".into()));
        print(&match fetched {
            Ok(words) => format!("  {field:15} {words}\n"),
            Err(error) => format!("  {field:15} could not be fetched: {error}\n"),
        })?;
    }
    Ok(())
}

/// Downloads a link and describes the response: status, length, media type.
async fn fetch(link: &str) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let uri: http::Uri = link.parse()?;
    let authority = uri.authority().ok_or("it has no host")?.clone();
    let stream = TcpStream::connect(authority.as_str()).await?;
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let request = http::Request::get(target).header(http::header::HOST, authority.as_str());
    let answer = client.send_request(request.body(Empty::<bytes::Bytes>::new())?).await?;
    let (head, body) = answer.into_parts();
    let media_type = head.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or("no media type").to_owned();
    let length = body.collect().await?.to_bytes().len();
    Ok(format!("{}, {length} bytes, {media_type}", head.status))
}
