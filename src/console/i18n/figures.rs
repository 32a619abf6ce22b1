//! The words of the figures of webhooks: in the list, and on the page of one.

use super::lang::Lang;

macro_rules! figure_words {
    ($($name:ident: $en:literal, $fr:literal;)*) => {
        /// The words in one language.
        pub(crate) struct FigureWords {
            $(pub(crate) $name: &'static str,)*
        }

        const EN: FigureWords = FigureWords { $($name: $en,)* };
        const FR: FigureWords = FigureWords { $($name: $fr,)* };

        #[cfg(test)]
        const ALL: &[(&str, &str, &str)] = &[$((stringify!($name), $en, $fr),)*];
    };
}

figure_words! {
    attempts_many: "{} attempts", "{} tentatives";
    attempts_none: "No attempts", "Aucune tentative";
    attempts_one: "{} attempt", "{} tentative";
    attempts_result: "{} succeeded, {} failed", "{} réussies, {} échouées";
    failed: "Failed", "Échouées";
    last_success: "Last success", "Dernier succès";
    matching: "{} of {} webhooks", "{} webhooks sur {}";
    median: "Median answer", "Réponse médiane";
    median_is: "the median answer took {}", "la réponse médiane a pris {}";
    nothing_found: "No webhook has “{}” in its name or host.", "Aucun webhook n’a « {} » dans son nom ou son hôte.";
    pending: "Pending", "En attente";
    previous: "Previous", "Précédent";
    search: "Search by name or host", "Rechercher par nom ou hôte";
    success: "Success", "Réussite";
}

/// The words in a language.
pub(crate) fn figure_words(lang: Lang) -> &'static FigureWords {
    match lang {
        Lang::En => &EN,
        Lang::Fr => &FR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_have_the_same_placeholders() {
        for (name, english, french) in ALL {
            assert!(!english.is_empty() && !french.is_empty(), "{name}");
            assert_eq!(english.matches("{}").count(), french.matches("{}").count(), "{name}");
        }
    }
}
