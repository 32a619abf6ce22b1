//! The fast path: plain HTTP/1.1 requests that need no waiting are read, answered and written without hyper, with one
//! system call each. Most requests are of this kind. From the first other request on, hyper serves the connection.

pub(super) mod plain_request;
pub(super) mod response;
