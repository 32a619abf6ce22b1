//! Speaks HTTP/1.1 to a store over connections of our own, with or without TLS. Written by hand, because no HTTP client
//! lets the kernel move a body from the store's socket to the client's (`splice`), and object_store's client (reqwest)
//! costs twice as much for a small object.
//!
//! An exchange is plain if the request is idempotent and has no body, and the response has a `Content-Length`, as almost
//! all have. object_store's client sends every other request, and repeats a request whose response was not plain.
//!
//! In reading order, each file imports only from those above it.

mod tls;
pub(crate) mod trust;

mod stream;

pub(crate) mod pool;

pub(crate) mod head;

pub(crate) mod body;
pub(crate) mod exchange;

pub(crate) mod client;
