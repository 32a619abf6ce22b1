//! Sends the ledger's deliveries until each is delivered or has failed. Attempts follow a schedule, carry new links,
//! and respect the concurrency limits of workspaces and endpoints.

mod accept;
mod admission;
mod alert_config;
mod alert_lane;
mod alert_poster;
mod alerts;
mod attempt;
mod begin;
mod circuit_breaker;
mod clock_step;
mod concurrency;
mod config;
mod deliver;
mod delivery_log;
mod dispatch;
mod handle;
mod health_update;
mod health_writer;
mod late_assets;
mod lease;
mod link_opened;
mod links;
mod maintenance;
mod metrics;
mod open_ledger;
mod permit;
mod question;
mod run;
mod schedule;
mod sender_clock;
#[cfg(test)]
mod simulation;

pub use alert_config::AlertConfig;
pub use alert_poster::AlertPoster;
pub use config::Config;
pub use handle::{Sender, Services};
pub use late_assets::ArrivalOutcome;
pub use link_opened::record_downloads;
pub use metrics::SenderMetrics;
pub use open_ledger::open_with_retry;
pub use question::{Question, is_link};
