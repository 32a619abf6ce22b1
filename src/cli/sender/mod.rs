//! The sender's parts of `serve`, `check` and `demo`, and the commands that back its database up. `no_sender.rs` replaces them in a build without the sender.

mod backup;
mod check;
mod demo;
mod manifest;
mod part;
mod reseal;
mod restore;

pub(super) use super::webhooks::{Webhooks, sign_in_link};
pub(super) use backup::Backup;
pub(super) use check::check_webhooks;
pub(super) use demo::{DEMO_WORKSPACE, demo_settings, send_sample};
pub(super) use part::SenderPart;
pub(super) use reseal::Reseal;
pub(super) use restore::Restore;
