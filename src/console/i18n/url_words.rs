//! What is said of a URL that was not looked at.

use super::lang::Lang;

/// The receiver is not asked, because it takes every method.
pub(crate) fn not_probed(lang: Lang) -> &'static str {
    match lang {
        Lang::En => {
            "This URL is well formed. Zapier and Make are not asked before an event, so whether something listens there is not known yet: save it, then send a test event."
        }
        Lang::Fr => {
            "Cette URL est bien formée. Zapier et Make ne sont pas interrogés avant un événement : on ne sait pas encore si quelque chose y écoute. Enregistrez-la, puis envoyez un événement de test."
        }
    }
}

/// The check did not answer.
pub(crate) fn unchecked(lang: Lang) -> &'static str {
    match lang {
        Lang::En => "This URL could not be checked just now. Saving checks it again.",
        Lang::Fr => {
            "Cette URL n’a pas pu être vérifiée pour l’instant. L’enregistrement la vérifiera à nouveau."
        }
    }
}
