//! HTTP/1.1 to a store without TLS, as in a cluster's own network. By hand, because no client lets the kernel move a body from
//! the store's socket to the client's (`splice`), and object_store's own (reqwest) costs twice as much for a small object.
//!
//! Signing, retries and the API stay object_store's. An exchange is plain if the request is idempotent and has no body, and the
//! response has a `Content-Length`, as almost all have. object_store's client sends every other request, and sends a
//! request again whose response was not plain.
//!
//! In reading order, each file imports only from those above it.

pub(crate) mod body;
pub(crate) mod client;
mod exchange;
mod head;
mod pool;
