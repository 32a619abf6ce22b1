//! Reads the body of a request to the APIs, but only after the request is authorized. Once the body is complete, the
//! listener does not close the connection to make room for a newer one.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{Request, StatusCode};
use hyper::body::{Body, Incoming};

use crate::problem::Problem;
use crate::server::{BodyError, Client, EvictionGuard};

/// The maximum size of a request body, in bytes: more than a full batch needs.
const MAX_BODY: usize = 1 << 20;

/// A body and its connection.
pub(super) struct Upload {
    body: Incoming,
    client: Client,
    held: HoldCell,
}

/// The guard that protects the connection of a request until it is answered.
pub(super) type HoldCell = Arc<OnceLock<EvictionGuard>>;

impl Upload {
    /// Wraps a request, and returns the cell for its connection's guard.
    pub(super) fn of(request: Request<Incoming>, client: Client) -> (Request<Self>, HoldCell) {
        let held = HoldCell::default();
        let request = request.map(|body| Self { body, client, held: Arc::clone(&held) });
        (request, held)
    }

    /// The body and its client, for the settings page, which has its own rules.
    #[cfg(feature = "console")]
    pub(super) fn into_parts(self) -> (Incoming, Client) {
        (self.body, self.client)
    }

    /// Records that the request is authorized. A request without a body is then complete.
    pub(super) fn permitted(&self) -> Result<(), Problem> {
        if self.body.is_end_stream() { self.hold() } else { Ok(()) }
    }

    /// Reads the body.
    pub(super) async fn read(self) -> Result<Bytes, Problem> {
        if self.body.is_end_stream() {
            return Ok(Bytes::new());
        }
        let Self { body, client, held } = self;
        let bytes = client.read_body(body, MAX_BODY).await.map_err(refused)?;
        hold(&client, &held)?;
        Ok(bytes)
    }

    fn hold(&self) -> Result<(), Problem> {
        hold(&self.client, &self.held)
    }
}

fn hold(client: &Client, held: &HoldCell) -> Result<(), Problem> {
    let _ = held.set(client.hold().ok_or_else(busy)?);
    Ok(())
}

fn refused(error: BodyError) -> Problem {
    match error {
        BodyError::TooLarge => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "Body too large",
            "The request body is larger than 1 MiB. Send smaller batches.",
        ),
        BodyError::TooSlow => Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_too_slow",
            "Body too slow",
            "The request body did not arrive in time. Send it at once: it has 5 seconds, and more while it arrives.",
        ),
        BodyError::Broken => Problem::new(
            StatusCode::BAD_REQUEST,
            "bad_request",
            "Bad request",
            "The request body did not arrive whole.",
        ),
    }
}

fn busy() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "too_many_requests",
        "Too many requests",
        "Too many requests to this listener are being worked on (admin.connections). Send the same again after a few seconds.",
    )
}
