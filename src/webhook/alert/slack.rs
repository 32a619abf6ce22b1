//! The text of an alert, as Slack, Mattermost and Discord show it.

use super::message::{Alert, without_quotations};

/// The longest text in characters, with room for the page's URL: Discord takes 2000, the others more.
const LONGEST: usize = 1_500;

/// The alert as text: what, where, why, what to do, and a link.
pub(super) fn text(alert: &Alert, page: Option<&str>) -> String {
    let place = alert.endpoint.as_ref().map(|endpoint| {
        let description = match endpoint.description.as_str() {
            "" => String::new(),
            description => format!(" ({})", escaped(description)),
        };
        format!(": {}{description}, workspace {}", escaped(&endpoint.host), escaped(&endpoint.workspace))
    });
    let mut text = format!("*{}*{}\n{}", alert.kind.title(), place.unwrap_or_default(), alert.message());
    if let Some(reason) = &alert.reason {
        text.push(' ');
        text.push_str(&escaped(&without_quotations(reason)));
    }
    if let Some(advice) = alert.advice() {
        text.push('\n');
        text.push_str(advice);
    }
    if let Some((cut, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(cut);
        text.push('…');
    }
    // A bare URL becomes a link everywhere; Discord does not know Slack's form of links.
    page.map_or(text.clone(), |page| format!("{text}\n{page}"))
}

/// Escapes the characters that Slack reads as markup. An `@` of a customer's text would notify everyone in Mattermost and
/// Discord, so another character of the same look stands for it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '@' => escaped.push('＠'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixMillis;
    use crate::webhook::alert::kind::AlertKind;
    use crate::webhook::alert::message::AlertEndpoint;

    fn alert(description: &str) -> Alert {
        let endpoint = AlertEndpoint {
            workspace: "acme".into(),
            id: "ep_1".into(),
            description: description.into(),
            host: "crm.example.com".into(),
        };
        Alert {
            id: "alt_1".into(),
            kind: AlertKind::Held,
            at: UnixMillis(1_765_981_800_000),
            endpoint: Some(endpoint),
            since: Some(UnixMillis(1_765_981_700_000)),
            count: 1,
            code: Some("unavailable".into()),
            reason: Some("The receiver answered 503: it is down, starting or overloaded.".into()),
        }
    }

    #[test]
    fn an_alert_is_a_text_of_a_few_lines() {
        let page = "https://hooks.example.com/console/w/acme/webhooks/ep_1";
        assert_eq!(
            text(&alert("CRM"), Some(page)),
            "*On hold*: crm.example.com (CRM), workspace acme\n\
             Every attempt has failed since 2025-12-17T14:28:20.000Z, and new deliveries wait. \
             The receiver answered 503: it is down, starting or overloaded.\n\
             Mend the receiver: the first success sends everything that waits.\n\
             https://hooks.example.com/console/w/acme/webhooks/ep_1"
        );
    }

    #[test]
    fn a_description_cannot_call_everyone_or_make_links() {
        let text = text(&alert("<!channel> & @everyone <https://evil.example|here>"), None);
        assert!(
            text.contains("(&lt;!channel&gt; &amp; ＠everyone &lt;https://evil.example|here&gt;)"),
            "{text}"
        );
        assert!(!text.contains('<') && !text.contains('@'), "{text}");
    }

    #[test]
    fn a_text_fits_into_a_message_of_discord() {
        let long = text(&alert(&"é&".repeat(250)), Some("https://hooks.example.com/console"));
        assert!(long.chars().count() < 2_000);
    }
}
