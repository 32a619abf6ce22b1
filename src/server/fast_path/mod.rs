//! The fast path: plain HTTP/1.1 requests whose response needs no waiting are read, answered and written without hyper, with
//! one system call for each. Most requests are of that kind. The first one on a connection that is not goes to hyper as it
//! came, and so does what follows it.

pub(super) mod plain_request;
pub(super) mod response;
