//! Reads what a person looks for among the calls: also a link as it was pasted.

use std::time::Duration;

use uuid::Uuid;

use crate::asset::ROUTE_ROOT;
use crate::clock::UnixSeconds;
use crate::ledger::FindTerm;
use crate::signed_url::{BaseUrl, Diagnosis, Keyring, Verifier, diagnose};

/// What a person looks for.
#[derive(Debug)]
pub struct Question {
    /// Its readings.
    pub terms: Vec<FindTerm>,
    /// What is to be said of the link, if it is one.
    pub link: Option<Diagnosis>,
}

impl Question {
    /// Reads a text. A link is mended as `verify` does; of one that is refused, the id in it counts.
    #[must_use]
    pub fn read(
        text: &str,
        keyring: &Keyring,
        longest_lifetime: Duration,
        base: Option<&BaseUrl>,
        now: UnixSeconds,
    ) -> Self {
        if !is_link(text) {
            return Self::of_text(text);
        }
        let link = diagnose(text, keyring, &Verifier::new(longest_lifetime), base, now);
        let grant = link.grant.as_ref().or(link.mended.as_ref());
        let asset = grant.map(|grant| grant.asset().id).or_else(|| id_in(text));
        Self { terms: asset.map(FindTerm::Asset).into_iter().collect(), link: Some(link) }
    }

    /// Reads a text that is no link.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        Self { terms: FindTerm::read(text), link: None }
    }
}

/// Whether a text is a link to a recording or a transcript, or what is left of one.
#[must_use]
pub fn is_link(text: &str) -> bool {
    without_spaces(text).contains(ROUTE_ROOT)
}

/// A mail may have wrapped a link.
fn without_spaces(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// The first UUID in a text.
fn id_in(text: &str) -> Option<Uuid> {
    const LENGTH: usize = 36;
    let text = without_spaces(text);
    let starts = text.char_indices().map(|(at, _)| at);
    starts.filter_map(|at| text.get(at..at + LENGTH)).find_map(|part| Uuid::try_parse(part).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretKey;
    use crate::signed_url::SigningKey;

    const ID: &str = "550e8400-e29b-41d4-a716-446655440000";

    fn read(text: &str) -> Question {
        let key = SigningKey::new("k", SecretKey::from_bytes(&[1; 32]).unwrap(), UnixSeconds(0), None);
        let keyring = Keyring::new(vec![key]).unwrap();
        Question::read(text, &keyring, Duration::from_secs(3_600), None, UnixSeconds(1_765_981_800))
    }

    #[test]
    fn a_link_that_is_refused_still_names_its_recording() {
        let broken =
            format!("<https://app.example.com/webhook-assets/recording/{}\n{}?exp=1>", &ID[..9], &ID[9..]);
        let question = read(&broken);
        assert_eq!(question.terms, [FindTerm::Asset(Uuid::try_parse(ID).unwrap())]);
        assert!(question.link.is_some_and(|link| !link.findings.is_empty()));
        assert_eq!(read("https://app.example.com/webhook-assets/recording/").terms, []);
        assert_eq!(read(&format!("https://app.example.com/webhook-\nassets/recording/{ID}")).terms.len(), 1);
    }

    #[test]
    fn other_texts_are_no_links() {
        assert!(read("call-1").link.is_none());
    }
}
