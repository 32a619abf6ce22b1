//! Speaks HTTP/1.1 to a store without TLS, for example inside a cluster. Written by hand, because no HTTP client lets
//! the kernel move a body from the store's socket to the client's (`splice`), and object_store's client (reqwest) costs
//! twice as much for a small object.
//!
//! object_store still signs and retries requests. An exchange is plain if the request is idempotent and has no body,
//! and the response has a `Content-Length`, as almost all have. object_store's client sends every other request, and
//! repeats a request whose response was not plain.
//!
//! In reading order, each file imports only from those above it.

pub(crate) mod body;
pub(crate) mod client;
mod exchange;
mod head;
mod pool;
