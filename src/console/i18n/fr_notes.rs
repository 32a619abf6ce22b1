//! The notes of deliveries in French. The sender and the ledger write them in English, joined by `; `.

/// A note in French; a part without a French text stays as it is.
pub(super) fn note(english: &str) -> String {
    let parts: Vec<String> =
        english.split("; ").map(|part| part_in_french(part).unwrap_or_else(|| part.to_owned())).collect();
    parts.join(" ; ")
}

/// An asset with the articles and pronouns that its gender takes.
struct Asset {
    name: &'static str,
    the: &'static str,
    it: &'static str,
}

const RECORDING: Asset = Asset { name: "recording", the: "l’enregistrement", it: "il" };
const TRANSCRIPT: Asset = Asset { name: "transcript", the: "la transcription", it: "elle" };

fn part_in_french(part: &str) -> Option<String> {
    match part {
        "the endpoint was removed" => return Some("le webhook a été supprimé".to_owned()),
        "the endpoint is disabled" => return Some("le webhook est désactivé".to_owned()),
        _ => {}
    }
    if part.starts_with("no link can be minted: ") {
        return Some(
            "aucun lien ne peut être créé pour l’instant : l’exploitant du service doit le régler".to_owned(),
        );
    }
    if part.starts_with("this service's proxy for webhooks ") {
        return Some("le mandataire par lequel ce service envoie les webhooks ne fonctionne pas".to_owned());
    }
    [RECORDING, TRANSCRIPT].iter().find_map(|asset| asset.note(part))
}

impl Asset {
    fn note(&self, part: &str) -> Option<String> {
        let Self { name, the, it } = self;
        if let Some(why) = part.strip_prefix(&format!("waits for the {name}: ")) {
            return Some(match why {
                "it is not in the store yet" => {
                    format!("attend {the} : {it} n’est pas encore dans le stockage")
                }
                _ => format!("attend {the} : le stockage ne répond pas comme prévu"),
            });
        }
        if part.starts_with(&format!("the {name}'s link was sent without a look")) {
            return Some(format!(
                "le lien vers {the} a été envoyé sans vérifier si {it} existe : le stockage n’a pas répondu comme prévu"
            ));
        }
        let why = part.strip_prefix(&format!("{name}_url is null: "))?;
        if why == "the call had none when it was sent" {
            return Some(format!("{name}_url est vide : l’appel n’en avait pas au moment de l’envoi"));
        }
        let waited = why.strip_prefix(&format!("the {name} was not in the store"))?;
        let after = waited.strip_prefix(" after ").map(|span| format!(" après {}", span_in_french(span)));
        Some(format!("{name}_url est vide : {the} n’était pas dans le stockage{}", after.unwrap_or_default()))
    }
}

/// A duration as `webhook::format_span` writes it.
fn span_in_french(span: &str) -> String {
    [("day", "jour"), ("hour", "heure")].iter().fold(span.to_owned(), |span, (en, fr)| span.replace(en, fr))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_note_has_a_french_text_and_unknown_ones_stay() {
        for (english, french) in [
            (
                "waits for the transcript: it is not in the store yet",
                "attend la transcription : elle n’est pas encore dans le stockage",
            ),
            (
                "waits for the recording: timed out after 3s",
                "attend l’enregistrement : le stockage ne répond pas comme prévu",
            ),
            (
                "recording_url is null: the recording was not in the store after 1 day; transcript_url is null: the transcript was not in the store",
                "recording_url est vide : l’enregistrement n’était pas dans le stockage après 1 jour ; transcript_url est vide : la transcription n’était pas dans le stockage",
            ),
            ("the endpoint was removed; something new", "le webhook a été supprimé ; something new"),
        ] {
            assert_eq!(note(english), french);
        }
    }

    /// The sender and the ledger write these; the texts stand in their source.
    #[test]
    fn the_notes_are_those_of_the_sender_and_the_ledger() {
        let links = include_str!("../../sender/links.rs");
        for words in [
            "waits for the {}: it is not in the store yet",
            "was not in the store after",
            "link was sent without a look",
            "no link can be minted: ",
        ] {
            assert!(links.contains(words), "{words}");
        }
        assert!(
            include_str!("../../webhook/post/proxy_error.rs")
                .contains("\"this service's proxy for webhooks ")
        );
        assert!(include_str!("../../ledger/removal.rs").contains("\"the endpoint was removed\""));
        assert!(
            include_str!("../../ledger/late_assets.rs")
                .contains("_url is null: the call had none when it was sent")
        );
    }
}
