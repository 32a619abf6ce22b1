//! One connection, from its first byte to its end: a [state machine](state_machine) with two drivers. The [idle
//! poller](idle_poller) of its thread drives it while it waits only for input. As soon as it waits for anything else, its
//! own [task] takes over and keeps it.

pub(super) mod driver;
pub(super) mod error;
pub(super) mod handshake;
pub(super) mod http_version;
pub(super) mod hyper_connection;
pub(super) mod idle_poller;
pub(super) mod requests;
pub(super) mod state_machine;
pub(super) mod streams;
pub(super) mod task;
