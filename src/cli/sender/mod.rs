//! The sender's parts of `serve`, `check` and `demo`. `no_sender.rs` replaces them in a build without the sender.

mod check;
mod demo;
mod part;

pub(super) use super::webhooks::Webhooks;
pub(super) use check::check_webhooks;
pub(super) use demo::{demo_settings, show_webhook};
pub(super) use part::SenderPart;
