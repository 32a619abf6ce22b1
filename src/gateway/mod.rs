//! Answers links: **route → verify → decide → respond**, and that sentence is `service::Inner::answer`.
//!
//! A decision is an [`outcome::Outcome`]; every status and header field is in [`respond`]. Nothing is read from storage before
//! the link is verified, and the store takes nothing but the [`Grant`](crate::Grant) that verification made.

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
mod request;
mod respond;
mod route;
mod service;
mod tracker;

pub use body::{Aborted, Body};
pub use config::Config;
pub use cors::{AllowedOrigins, BadOrigin};
pub use metrics::RequestMetrics;
pub use service::Gateway;
