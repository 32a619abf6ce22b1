//! Sends GET and HEAD requests to S3 without object_store, which costs more than the rest of a small download: it parses
//! the URL several times, derives the signing key for each request, and allocates a string for every field.
//!
//! No rule of object_store's is repeated here. The first request goes through object_store, and [`template`] learns its
//! form: host, path, region and fields. A template is used only if it reproduces that request's signature. object_store
//! keeps the credentials, and gets every request that has other fields, and every response that is not an object or a
//! plain refusal: it retries, backs off and explains.
//!
//! In reading order, each file imports only from those above it.

pub(crate) mod captured;

mod signature;

mod template;

pub(crate) mod store;
