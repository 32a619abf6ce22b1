//! Deadlines: a client that sends, requests or takes too little for too long is disconnected.

pub(super) mod activity;
pub(super) mod hyper_timer;
