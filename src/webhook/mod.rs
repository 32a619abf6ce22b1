//! Webhooks as receivers see them: the event and its body, the signature, the endpoint's URL, one POST request, and the
//! diagnosis of its outcome.

mod alert;
mod custom_headers;
mod diagnosis;
mod duration_text;
mod endpoint_url;
mod event;
mod message;
mod network;
mod post;
mod signing;

pub use alert::{Alert, AlertEndpoint, AlertFormat, AlertKind};
pub use custom_headers::{CustomHeaders, HeaderChanges, HeaderError};
pub use diagnosis::{Diagnosis, Explanation, Facts, diagnose, diagnose_probe, may_probe};
pub use duration_text::format_span;
pub use endpoint_url::{EndpointUrl, UrlError, UrlRules};
pub use event::{CallError, CallStatus, CompletedCall, Direction, Links, TIME_TAKES, parse_time};
pub use message::{EventType, Message, Resend};
pub use network::{AllowedNetworks, NetworkError, NotPublic, check_address};
pub use post::{
    BreakReason, Exchange, HeaderFields, Phase, Phases, PostError, Poster, PosterConfig, PosterError,
    ProxyConfig, ProxyError, ProxyUrl, ReceiverResponse, Resolve, TlsError,
};
pub use signing::{
    SecretError, SignatureError, Signing, WEBHOOK_EVENT_ID, WEBHOOK_ID, WEBHOOK_RESEND, WEBHOOK_SIGNATURE,
    WEBHOOK_TIMESTAMP, WebhookSecret, X_WEBHOOK_SIGNATURE, verify_plain, verify_standard,
};
