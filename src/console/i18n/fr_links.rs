//! What is wrong with a pasted link, in French.

/// A finding about a link, by its code; `None` if the code has no French text. The time of a finding follows the sentence.
pub(super) fn link_finding(code: &str) -> Option<&'static str> {
    Some(match code {
        "wrapped" => "Des crochets ou des guillemets l’entourent et n’en font pas partie.",
        "broken_by_space" => {
            "Il contient une espace ou un retour à la ligne : un e-mail ou un formulaire l’a coupé."
        }
        "html_escaped" => {
            "Il semble échappé pour HTML : « &amp; » se trouve à la place de « & ». Copiez l’adresse du lien, pas la source de la page."
        }
        "percent_encoded" => {
            "Il semble encodé une fois de trop : %3F, %26 ou %3D se trouvent à la place de ?, & et =."
        }
        "trailing_text" => "Du texte se trouve derrière la signature et n’en fait pas partie.",
        "wrong_path" => "Son chemin n’est pas celui d’un lien vers un enregistrement ou une transcription.",
        "expired" => "La signature est bonne, mais il a expiré :",
        "expires_in_milliseconds" => {
            "« expires » semble être en millisecondes ; il est signé et envoyé en secondes entières."
        }
        "cut_short" => "Il est tronqué : une partie de la signature manque.",
        "sig_in_upper_case" => "« sig » est en majuscules ; il est signé et envoyé en minuscules.",
        "malformed_sig" => {
            "« sig » ne se compose pas de 64 chiffres hexadécimaux en minuscules : il a été modifié en chemin."
        }
        "repeated_sig" => "« sig » s’y trouve plus d’une fois.",
        "missing_expires" => "« expires » manque.",
        "repeated_expires" => "« expires » s’y trouve plus d’une fois.",
        "malformed_expires" => "« expires » n’est pas un simple nombre décimal.",
        "malformed_id" => "L’identifiant n’est pas un UUID en minuscules, avec ses traits d’union.",
        "too_far_ahead" => "Il serait valable plus longtemps que ne vivent les liens, jusqu’au",
        "key_ended" => "La clé qui l’a signé est arrivée à son terme : il faut un nouveau lien.",
        "signed_for_the_other_kind" => {
            "La signature est celle de l’autre fichier de cet appel : un lien ouvre soit l’enregistrement, soit la transcription."
        }
        "no_key_fits" => {
            "La signature ne correspond à aucune clé : le lien a été modifié après sa signature, ou signé avec une clé inconnue ici."
        }
        "invalid_format" => {
            "La signature est bonne, mais le format demandé n’existe pas : la réponse est 400."
        }
        "other_base" => {
            "Il mène à une autre adresse que celle de ce service : est-ce la bonne installation ?"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The codes stand in the source as `Finding::new("…"` and, for a refused form, in `Refusal::words`.
    #[test]
    fn every_finding_about_a_link_has_its_sentence() {
        let links = concat!(env!("CARGO_MANIFEST_DIR"), "/packages/rust/src/signed_url");
        let read = |file: &str| std::fs::read_to_string(format!("{links}/{file}")).unwrap();
        let (diagnose, verify) = (read("diagnose.rs"), read("verify.rs"));
        let diagnose = diagnose.split("#[cfg(test)]").next().unwrap();
        let found = diagnose
            .split("Finding::new(")
            .skip(1)
            .filter_map(|rest| rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()));
        let words = verify.split_once("fn words(").unwrap().1.split_once("impl ").unwrap().0;
        let refused = words.split("=> (\"").skip(1).filter_map(|rest| rest.split('"').next());
        let codes: BTreeSet<&str> = found.chain(refused).collect();
        assert!(codes.len() > 15, "{codes:?}");
        for code in codes.iter().filter(|code| **code != "missing_sig") {
            assert!(link_finding(code).is_some(), "{code}");
        }
    }
}
