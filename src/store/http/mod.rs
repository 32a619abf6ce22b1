//! HTTP with the stores of the clouds, below object_store: the connections, the form of the responses, and the client that
//! object_store's own makes its requests with.
//!
//! In reading order, each file imports only from those above it.

mod content_length;
pub(super) mod pipe;

pub(super) mod plain_http;

pub(super) mod response;

pub(super) mod connector;
