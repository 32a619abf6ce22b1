//! Refused headers in French.

use crate::webhook::HeaderError;

/// Why a header is refused.
pub(super) fn header_error(error: &HeaderError) -> String {
    match error {
        HeaderError::NotAName => {
            "le nom d’un en-tête se compose de lettres, de chiffres et de traits d’union, comme \
             X-API-Key ; sa valeur a son propre champ"
                .to_owned()
        }
        HeaderError::LongName => "le nom d’un en-tête a 100 caractères au plus".to_owned(),
        HeaderError::Ours(name) => {
            format!(
                "l’en-tête {name} est écrit par l’expéditeur et ne peut pas être remplacé : prenez un autre nom"
            )
        }
        HeaderError::Twice(name) => format!("l’en-tête {name} est donné deux fois : donnez-le une fois"),
        HeaderError::Empty(name) => {
            format!("l’en-tête {name} n’a pas de valeur : donnez-en une, ou supprimez-le")
        }
        HeaderError::NotPrintable(name) => format!(
            "la valeur de l’en-tête {name} se compose de caractères ASCII sur une ligne, sans caractères de contrôle"
        ),
        HeaderError::LongValue(name) => format!("la valeur de l’en-tête {name} a 4096 caractères au plus"),
        HeaderError::BasicUser => {
            "le nom d’utilisateur a au moins un caractère, sans deux-points ni caractères de contrôle"
                .to_owned()
        }
        HeaderError::BasicPassword => {
            "le mot de passe tient sur une ligne, sans caractères de contrôle".to_owned()
        }
        HeaderError::TooMany => "un webhook a 16 en-têtes au plus".to_owned(),
        HeaderError::TooLarge => {
            "les en-têtes d’un webhook ont 8192 caractères au plus, noms et valeurs ensemble".to_owned()
        }
        HeaderError::NothingToKeep(name) => format!(
            "l’en-tête {name} n’a pas de valeur à garder : donnez-en une (une autre URL commence sans en-têtes)"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn french_names_the_same_limits_and_headers_as_english() {
        let name = || "X-7".to_owned();
        for error in [
            HeaderError::LongName,
            HeaderError::Ours(name()),
            HeaderError::Twice(name()),
            HeaderError::Empty(name()),
            HeaderError::NotPrintable(name()),
            HeaderError::LongValue(name()),
            HeaderError::TooMany,
            HeaderError::TooLarge,
            HeaderError::NothingToKeep(name()),
        ] {
            let digits = |text: String| text.chars().filter(char::is_ascii_digit).collect::<String>();
            assert_eq!(digits(header_error(&error)), digits(error.to_string()), "{error:?}");
        }
    }
}
