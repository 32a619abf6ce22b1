//! Names why a request was refused.

/// Why a request to the private listener was refused. The response carries it as an extension, so that the listener can
/// count refusals of its APIs and of the settings page alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal(pub &'static str);
