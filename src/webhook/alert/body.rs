//! The request body of an alert.

use bytes::Bytes;
use serde_json::json;

use super::kind::AlertFormat;
use super::message::Alert;
use super::slack;

impl Alert {
    /// The request body. `page` is the endpoint's page, if people reach it.
    #[must_use]
    pub fn body(&self, format: AlertFormat, page: Option<&str>) -> Bytes {
        let body = match format {
            AlertFormat::Json => self.to_json(page),
            AlertFormat::Slack => json!({"text": slack::text(self, page)}),
        };
        body.to_string().into()
    }
}
