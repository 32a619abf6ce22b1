//! Callers: each has a connection and hands in one call after the other.
use std::cell::Cell;
use std::error::Error;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::receivers::Receivers;
use crate::report::{Report, Timing};

const CALLERS: usize = 64;

/// A sender that accepts no call for this long ends the run.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Calls to hand in, to the workspaces in turn.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    calls: usize,
    workspaces: usize,
    /// The number of the first workspace.
    #[serde(default)]
    first: usize,
    /// Deliveries to the first of them are not waited for.
    #[serde(default)]
    hanging: usize,
    /// Without it, each caller hands in the next call when it has the answer to the one before.
    per_second: Option<u32>,
    /// Of the call's summary.
    #[serde(default)]
    bytes: usize,
    /// How long to wait for deliveries after the last call, in seconds.
    wait: u64,
    /// Check the signature of each delivery, not only that there is one.
    #[serde(default)]
    verify: bool,
}

impl Work {
    fn expected(&self) -> usize {
        (0..self.calls).filter(|at| at % self.workspaces >= self.hanging).count()
    }
}

pub struct Caller {
    connection: SendRequest<Full<Bytes>>,
    host: String,
}

impl Caller {
    pub async fn connect(address: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (connection, driver) = handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(driver);
        Ok(Self { connection, host: address.to_string() })
    }

    /// Sends JSON; any status but 2xx is an error, and so is no answer in time.
    pub async fn ask(&mut self, method: Method, path: &str, body: &Value) -> Result<Value, Box<dyn Error>> {
        tokio::time::timeout(ANSWER_TIMEOUT, self.exchange(method, path, body)).await?
    }

    async fn exchange(&mut self, method: Method, path: &str, body: &Value) -> Result<Value, Box<dyn Error>> {
        self.connection.ready().await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .header("content-type", "application/json")
            .body(Full::from(body.to_string()))?;
        let response = self.connection.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            return Err(format!("{path}: {status} {}", String::from_utf8_lossy(&body)).into());
        }
        Ok(serde_json::from_slice(&body)?)
    }
}

/// Hands in the calls and waits until each has arrived, or until the time is over.
pub async fn hand_in(
    sender: SocketAddr,
    receivers: &Receivers,
    work: Rc<Work>,
) -> Result<Value, Box<dyn Error>> {
    receivers.begin(work.verify);
    let (began, next) = (Instant::now(), Rc::new(Cell::new(0)));
    let mut callers = Vec::new();
    for _ in 0..CALLERS.min(work.calls) {
        let caller = Caller::connect(sender).await?;
        callers.push(tokio::task::spawn_local(call(caller, work.clone(), next.clone(), began)));
    }
    let mut timings = Vec::with_capacity(work.calls);
    for caller in callers {
        timings.extend(caller.await?.map_err(|message| message.to_string())?);
    }
    let accepted = began.elapsed();
    let expected = work.expected();
    receivers.wait_for(expected, Instant::now() + Duration::from_secs(work.wait)).await;
    Ok(Report::new(began, accepted, expected, &timings, receivers).to_json())
}

/// One caller. Its errors are text, because they leave its task.
async fn call(
    mut caller: Caller,
    work: Rc<Work>,
    next: Rc<Cell<usize>>,
    began: Instant,
) -> Result<Vec<Timing>, String> {
    let run = began.elapsed().as_nanos();
    let mut timings = Vec::new();
    loop {
        let at = next.get();
        if at >= work.calls {
            return Ok(timings);
        }
        next.set(at + 1);
        let mut posted = Instant::now();
        if let Some(per_second) = work.per_second {
            posted =
                began + Duration::from_secs(1) * u32::try_from(at).map_err(|e| e.to_string())? / per_second;
            tokio::time::sleep_until(posted).await;
        }
        let workspace = at % work.workspaces;
        let body = completed_call(work.first + workspace, &format!("{run:x}-{at}"), work.bytes);
        let answer = caller.ask(Method::POST, "/v1/calls", &body).await.map_err(|error| error.to_string())?;
        let accepted = Instant::now();
        let event = answer["event"].as_str().ok_or("accepted without an event")?.to_owned();
        if workspace >= work.hanging {
            timings.push(Timing { event, posted, accepted });
        }
    }
}

/// A call without assets.
fn completed_call(workspace: usize, id: &str, bytes: usize) -> Value {
    let summary = "Discussed pricing options. Prospect is interested but needs internal approval. ";
    json!({
        "workspace": format!("w{workspace}"), "call_id": id, "recording": null, "transcript": null,
        "call": {
            "ended_at": "2025-12-17T14:30:00.000Z", "status": "connected", "direction": "outgoing",
            "duration_seconds": 180, "from_number": "+33100000000", "to_number": "+33600000000",
            "summary": summary.repeat((bytes / summary.len()).max(1)),
        },
        "prospect": {"first_name": "John", "last_name": "Doe", "email": "john.doe@example.com", "company": "Acme Inc"},
        "user": {"name": "Jane Smith", "email": "jane@yourcompany.com"},
        "list": {"list_name": "Q1 Outbound Campaign", "list_id": "123"},
    })
}
