//! Answers links: **route → verify → decide → respond**. `service::Inner::answer` runs these four steps.
//!
//! A decision is an `outcome::Outcome`. Every status and header field is set in `respond`. Storage is not read
//! before the link is verified: the store only accepts a [`Grant`](crate::Grant), which verification creates.

mod body;
mod compression;
mod config;
mod cors;
mod decide;
mod encoding;
mod fast_path;
mod file_body;
mod head;
mod metrics;
mod multipart;
mod outcome;
mod pipe_body;
mod precondition;
mod problems;
mod range;
mod rendering;
mod request;
mod respond;
mod route;
mod service;
mod tracker;
mod worker_pool;
mod zstd_encoder;

pub use body::{Aborted, Body};
pub use config::Config;
pub use cors::{AllowedOrigins, BadOrigin};
pub use metrics::RequestMetrics;
pub use service::Gateway;
