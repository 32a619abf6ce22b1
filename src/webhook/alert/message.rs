//! An alert, its sentences and its JSON.

use serde_json::{Value, json};
use url::Url;

use super::kind::AlertKind;
use crate::clock::UnixMillis;

/// The endpoint that an alert is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertEndpoint {
    /// Its workspace.
    pub workspace: String,
    /// `ep_…`
    pub id: String,
    /// The owner's description.
    pub description: String,
    /// The host and port of its URL. The rest of the URL may be secret.
    pub host: String,
}

impl AlertEndpoint {
    /// The host and port of a URL.
    #[must_use]
    pub fn host_of(url: &str) -> String {
        let url = Url::parse(url).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        url.as_ref().and_then(Url::port).map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

/// An alert. It names nothing of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// `alt_…`, the `webhook-id`.
    pub id: String,
    /// Its kind.
    pub kind: AlertKind,
    /// When its cause was last seen.
    pub at: UnixMillis,
    /// The endpoint; `None` in a test.
    pub endpoint: Option<AlertEndpoint>,
    /// Since when.
    pub since: Option<UnixMillis>,
    /// The number of deliveries, or 1.
    pub count: u64,
    /// Why the last attempt failed, as a code.
    pub code: Option<String>,
    /// The same as a sentence.
    pub reason: Option<String>,
}

impl Alert {
    /// A test.
    #[must_use]
    pub fn test(id: String, at: UnixMillis) -> Self {
        Self {
            id,
            kind: AlertKind::Test,
            at,
            endpoint: None,
            since: None,
            count: 1,
            code: None,
            reason: None,
        }
    }

    /// The alert as JSON.
    #[must_use]
    pub fn to_json(&self, page: Option<&str>) -> Value {
        let endpoint = self.endpoint.as_ref();
        json!({
            "id": self.id,
            "type": self.kind.name(),
            "timestamp": self.at.to_string(),
            "data": {
                "workspace": endpoint.map(|endpoint| &endpoint.workspace),
                "endpoint": endpoint.map(|endpoint| &endpoint.id),
                "description": endpoint.map(|endpoint| &endpoint.description),
                "host": endpoint.map(|endpoint| &endpoint.host),
                "since": self.since.map(|since| since.to_string()),
                "count": self.count,
                "code": self.code,
                "reason": self.reason.as_deref().map(without_quotations),
                "message": self.message(),
                "advice": self.advice(),
                "page": page,
            },
        })
    }

    /// What happened, as a sentence.
    #[must_use]
    pub fn message(&self) -> String {
        let since = self.since.map(|since| format!(" since {since}")).unwrap_or_default();
        match (self.kind, self.count) {
            (AlertKind::Failing, _) => format!("Every attempt has failed{since}."),
            (AlertKind::Held, _) => format!("Every attempt has failed{since}, and new deliveries wait."),
            (AlertKind::Disabled, _) => {
                "It failed for days, so nothing is sent any more; what comes in is recorded as failed.".into()
            }
            (AlertKind::Recovered, _) => "An attempt succeeded, and what waited is sent.".into(),
            (AlertKind::Exhausted, 1) => "1 delivery has failed: no attempts are left.".into(),
            (AlertKind::Exhausted, count) => {
                format!("{count} deliveries have failed: no attempts are left.")
            }
            (AlertKind::Unfetched, 1) => {
                "1 call was delivered, and its links expired before one of them was fetched.".into()
            }
            (AlertKind::Unfetched, count) => {
                format!(
                    "{count} calls were delivered, and their links expired before one of them was fetched."
                )
            }
            (AlertKind::Test, _) => "This is a test: alerts arrive here.".into(),
        }
    }

    /// What to do.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        match self.kind {
            AlertKind::Failing => Some("Mend the receiver, then recover what failed."),
            AlertKind::Held => Some("Mend the receiver: the first success sends everything that waits."),
            AlertKind::Disabled => Some("Mend the receiver, resume the webhook, then recover what failed."),
            AlertKind::Recovered => Some("Recover what failed in the meantime."),
            AlertKind::Exhausted => Some("When the receiver works, recover what failed."),
            AlertKind::Unfetched => Some(
                "The receiver may be switched off although it answers 200. When it works, recover what was not fetched.",
            ),
            AlertKind::Test => None,
        }
    }
}

/// The sentence without what it quotes: a receiver may answer with personal data, or redirect to a secret URL.
pub(super) fn without_quotations(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, quoted)) = rest.split_once('“') {
        kept.push_str(before);
        kept.push_str("“…”");
        rest = quoted.split_once('”').map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(kind: AlertKind, count: u64) -> Alert {
        let endpoint = AlertEndpoint {
            workspace: "acme".into(),
            id: "ep_1".into(),
            description: "CRM".into(),
            host: "crm.example.com".into(),
        };
        Alert {
            id: "alt_1".into(),
            kind,
            at: UnixMillis(1_765_981_800_000),
            endpoint: Some(endpoint),
            since: Some(UnixMillis(1_765_981_700_000)),
            count,
            code: Some("rejected".into()),
            reason: Some(
                "The receiver answered 400: it rejects the request. It says: “no john@acme.example”".into(),
            ),
        }
    }

    #[test]
    fn an_alert_quotes_no_receiver() {
        let body = alert(AlertKind::Held, 1).to_json(None);
        assert_eq!(body["data"]["reason"], "The receiver answered 400: it rejects the request. It says: “…”");
        assert_eq!(without_quotations("a “b” c “d"), "a “…” c “…”");
    }

    #[test]
    fn a_host_comes_without_the_path_and_credentials_of_its_url() {
        let host = AlertEndpoint::host_of;
        assert_eq!(host("https://hooks.zapier.com/hooks/catch/1/secret/"), "hooks.zapier.com");
        assert_eq!(host("https://user:pass@[2001:db8::1]:8443/a?token=b"), "[2001:db8::1]:8443");
        assert_eq!(host("nothing"), "");
    }

    #[test]
    fn a_number_is_part_of_the_sentence() {
        assert_eq!(alert(AlertKind::Exhausted, 1).message(), "1 delivery has failed: no attempts are left.");
        assert!(alert(AlertKind::Exhausted, 9_999).message().starts_with("9999 deliveries have failed"));
        assert!(alert(AlertKind::Unfetched, 2).message().starts_with("2 calls were delivered"));
    }

    #[test]
    fn every_kind_is_found_by_its_name() {
        for kind in AlertKind::ALL {
            assert_eq!(AlertKind::of(kind.name()), Some(*kind));
        }
        assert_eq!(AlertKind::of("endpoint.lost"), None);
    }
}
