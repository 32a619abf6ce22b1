//! One POST to a receiver: lookup, connection, request and response within one deadline, whatever the receiver does.

mod connector;
mod error;
mod excerpt;
mod lookup_limiter;
mod poster;
mod response;
mod status_line;

pub use connector::Resolve;
pub use error::{BreakReason, Phase, PostError, TlsError};
pub use poster::{Exchange, Poster, PosterConfig, PosterError};
pub use response::ReceiverResponse;
