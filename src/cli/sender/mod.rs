//! The sender's parts of `serve`, `check` and `demo`. `no_sender.rs` replaces them in a build without the sender.

mod check;
mod demo;
mod part;

pub(super) use super::webhooks::{Webhooks, sign_in_link};
pub(super) use check::check_webhooks;
pub(super) use demo::{DEMO_WORKSPACE, demo_settings, send_sample};
pub(super) use part::SenderPart;
