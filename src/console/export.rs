//! The deliveries that match a search, as a CSV file (RFC 4180).

use bytes::Bytes;
use http::Response;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use serde_json::json;

use super::context::RequestContext;
use super::delivery_rows::is_picked_up;
use super::display::name_of;
use super::error::PageError;
use super::i18n::note_in;
use super::response::PageResult;
use crate::ledger::{Action, Delivery, DeliveryContent, DeliveryFilter, ListedEndpoint, PickUp};
use crate::webhook::CompletedCall;

/// The most rows of a file, and how many are read at once.
const MAX_ROWS: usize = 10_000;
const BATCH: usize = 500;

/// Excel reads a file as UTF-8 only if it begins with this mark; other programs skip it.
const MARK: &str = "\u{feff}";

const HEADS: [&str; 14] = [
    "delivery",
    "call_id",
    "person",
    "company",
    "webhook",
    "status",
    "attempts",
    "last_status",
    "result",
    "note",
    "pick_up",
    "accepted_at",
    "last_activity_at",
    "ended_at",
];

impl RequestContext<'_> {
    pub(super) async fn export_deliveries(&self) -> PageResult {
        let filter = self.delivery_filter(&self.query).map_err(|_| PageError::BadForm)?;
        let endpoints = self.ledger().listed_endpoints(self.workspace).await?;
        let mut text = format!("{MARK}{}", line_of(HEADS.map(str::to_owned)));
        let (rows, more) = self.append_rows(&mut text, filter, &endpoints).await?;
        let after = Some(json!({"deliveries": rows}));
        let action = Action {
            name: "deliveries.exported",
            workspace: Some(self.workspace),
            after,
            ..Action::default()
        };
        self.ledger().record(action).await?;
        Ok(download(text, &self.file_name(more)))
    }

    /// Appends the newest rows. Returns how many they are, and whether there are more.
    async fn append_rows(
        &self,
        text: &mut String,
        mut filter: DeliveryFilter,
        endpoints: &[ListedEndpoint],
    ) -> Result<(usize, bool), PageError> {
        let mut rows = 0;
        loop {
            let found = self.ledger().deliveries(self.workspace, &filter, BATCH).await?;
            let found = found.ok_or(PageError::NotFound)?;
            let contents = self.ledger().contents_of(&found.deliveries).await?;
            for delivery in &found.deliveries {
                text.push_str(&self.line(delivery, contents.get(&delivery.id), endpoints));
            }
            rows += found.deliveries.len();
            filter.cursor = found.next;
            if filter.cursor.is_none() || rows >= MAX_ROWS {
                return Ok((rows, filter.cursor.is_some()));
            }
        }
    }

    fn line(
        &self,
        delivery: &Delivery,
        content: Option<&DeliveryContent>,
        endpoints: &[ListedEndpoint],
    ) -> String {
        let call = content.and_then(|content| content.call.as_ref());
        let webhook = endpoints.iter().find(|endpoint| endpoint.id == delivery.endpoint);
        let pick_up = is_picked_up(delivery)
            .map(|fetched| if fetched { PickUp::Fetched.name() } else { PickUp::NotFetched.name() });
        line_of([
            delivery.id.clone(),
            delivery.call.clone().unwrap_or_default(),
            call.and_then(CompletedCall::person).unwrap_or_default(),
            call.and_then(CompletedCall::company).unwrap_or_default().to_owned(),
            webhook.map(name_of).unwrap_or_default(),
            delivery.state.name().to_owned(),
            delivery.attempts.to_string(),
            delivery.last_status.map(|status| status.to_string()).unwrap_or_default(),
            self.result_of(delivery, content).unwrap_or_default(),
            delivery.note.as_deref().map(|note| note_in(self.lang, note)).unwrap_or_default(),
            pick_up.unwrap_or_default().to_owned(),
            delivery.created_at.to_string(),
            delivery.active_at.to_string(),
            delivery.ended_at.map(|at| at.to_string()).unwrap_or_default(),
        ])
    }

    /// The name of the file: it says if the file does not hold all.
    fn file_name(&self, more: bool) -> String {
        let now = self.sender.now().to_string();
        let day = now.split('T').next().unwrap_or_default().to_owned();
        let newest = if more { format!("-newest-{MAX_ROWS}") } else { String::new() };
        format!("deliveries-{day}{newest}.csv")
    }
}

fn download(text: String, name: &str) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(text));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    if let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(CONTENT_DISPOSITION, disposition);
    }
    answer
}

fn line_of(fields: [String; HEADS.len()]) -> String {
    let fields = fields.map(|field| quoted(&harmless(field)));
    format!("{}\r\n", fields.join(","))
}

/// Keeps a spreadsheet from taking text from outside for a formula: an apostrophe makes it text.
fn harmless(field: String) -> String {
    if field.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{field}") } else { field }
}

fn quoted(field: &str) -> String {
    if field.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_quoted_where_it_must_be() {
        for (field, written) in [
            ("plain", "plain"),
            ("", ""),
            ("Doe, John", "\"Doe, John\""),
            ("the \"best\"", "\"the \"\"best\"\"\""),
            ("two\nlines", "\"two\nlines\""),
        ] {
            assert_eq!(quoted(field), written);
        }
    }

    #[test]
    fn a_spreadsheet_calculates_nothing() {
        for field in ["=1+1", "+33100000000", "-1", "@SUM(A1)", "\t=1", "\r=1"] {
            assert_eq!(harmless(field.to_owned()), format!("'{field}"));
        }
        assert_eq!(harmless("a=1".to_owned()), "a=1");
    }
}
