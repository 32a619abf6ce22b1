//! Sends one POST request to a receiver. Lookup, connection, request and response share one deadline, which no receiver
//! can extend.

mod connector;
mod error;
mod excerpt;
mod header_fields;
mod lookup_limiter;
mod poster;
mod poster_error;
mod printable;
mod progress;
mod proxy;
mod proxy_error;
mod response;
mod status_line;

pub use connector::Resolve;
pub use error::{BreakReason, Phase, PostError, TlsError};
pub use header_fields::HeaderFields;
pub use poster::{Exchange, Poster, PosterConfig};
pub use poster_error::PosterError;
pub use progress::Phases;
pub use proxy::{ProxyConfig, ProxyUrl};
pub use proxy_error::ProxyError;
pub use response::ReceiverResponse;
