//! Speaks HTTP with the clouds' stores on behalf of object_store: connections, normalized responses, and the HTTP
//! client that object_store uses.
//!
//! In reading order, each file imports only from those above it.

mod content_length;
pub(super) mod pipe;

pub(super) mod http1;

pub(super) mod response;

pub(super) mod signed_get;

pub(super) mod connector;
