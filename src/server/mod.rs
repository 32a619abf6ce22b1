//! Listeners and connections: HTTP/1.1 and HTTP/2, with or without TLS, limits, deadlines and draining, for any
//! [`Handler`].
//!
//! In reading order: the loop of a thread (`serve`) accepts connections and polls the idle ones. A `connection` is
//! a state machine over a `socket`. The `fast_path` answers plain requests, hyper all others. Both use
//! `deadlines` and `zero_copy`.

mod client;
mod config;
mod connection;
mod context;
mod deadlines;
mod drain;
mod fairness;
mod fast_path;
mod handler;
mod listener;
mod metrics;
mod request;
mod serve;
mod socket;
mod zero_copy;

pub use client::Client;
pub use config::{ClientHeader, Config};
pub use context::Server;
pub use deadlines::stall_flag::StallFlag;
pub use drain::Drain;
pub use fast_path::plain_request::{HeadLimits, PlainRequest};
pub use fast_path::response::{AwaitedResponse, FastPath, ResponseWriter, SentHead};
pub use handler::{Answer, Handler};
pub use listener::{
    Certificate, EvictionGuard, LimitReached, Limiter, Networks, Permit, Threads, TlsConfig, TlsError,
    forwarded_client, parse_proxy_header,
};
pub use metrics::{CertificateMetrics, ConnectionMetrics};
pub use request::{Bodies, BodyError};
pub use zero_copy::pending::{OnSent, PipeEnd};
pub use zero_copy::write_gate::ZeroCopy;
