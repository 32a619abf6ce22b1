//! The fast path: simple HTTP/1.1 requests are read, answered and written without hyper.

pub(super) mod express;
pub(super) mod plain_request;
pub(super) mod response_writer;
