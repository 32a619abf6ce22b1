//! HTTP with the stores of the clouds, below object_store.

pub(crate) mod connector;
pub(crate) mod pipe;
pub(crate) mod plain_http;
pub(crate) mod response;
