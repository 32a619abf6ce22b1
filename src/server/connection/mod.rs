//! One connection, from its first byte to its end: a [state machine](state_machine) that two drivers drive. As long as nothing
//! has to be waited for, that is the [idle poller](idle_poller) of its thread; then it is a [task] of the connection, which
//! keeps it.

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
