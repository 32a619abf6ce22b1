//! The words of a session that is over, of what was typed in it, and of what to do when there is no page.

use super::lang::Lang;

/// The words in one language.
pub(crate) struct SessionWords {
    /// A link to the product, with its host.
    pub(crate) back_to: &'static str,
    pub(crate) over: &'static str,
    /// What to do without, and with a way back.
    pub(crate) over_text: &'static str,
    pub(crate) over_text_back: &'static str,
    pub(crate) over_typed_text: &'static str,
    pub(crate) earlier_form: &'static str,
    pub(crate) earlier_form_text: &'static str,
    pub(crate) typed: &'static str,
    pub(crate) secrets_left_out: &'static str,
    pub(crate) send_typed: &'static str,
    pub(crate) live_over: &'static str,
    pub(crate) live_stopped: &'static str,
    pub(crate) wrong_method: &'static str,
    pub(crate) wrong_method_text: &'static str,
    pub(crate) to_page: &'static str,
    pub(crate) to_webhooks: &'static str,
    pub(crate) to_workspaces: &'static str,
}

const EN: SessionWords = SessionWords {
    back_to: "Back to {}",
    over: "Your session is over",
    over_text: "Open the page from the product again, or ask your administrator for a new link.",
    over_text_back: "Go back, and open the page from there again.",
    over_typed_text: "Nothing was saved, and what you typed is kept on this page. Open the settings from the product again in another tab; then come back to this one and send it.",
    earlier_form: "Send what you typed?",
    earlier_form_text: "You typed it before you signed in again. Nothing was saved yet: look at it, and send it if it still holds.",
    typed: "What you typed",
    secrets_left_out: "Passwords and values of headers are not kept. Give them again afterwards.",
    send_typed: "Send it now",
    live_over: "Your session is over: what you see here changes no more.",
    live_stopped: "What you see here changes no more. Load the page again.",
    wrong_method: "This address is not a page",
    wrong_method_text: "It only takes what a button of a page sends. Nothing was changed. Go to the page, and press the button there.",
    to_page: "To the page",
    to_webhooks: "To the webhooks",
    to_workspaces: "To the workspaces",
};

const FR: SessionWords = SessionWords {
    back_to: "Revenir à {}",
    over: "Votre session est terminée",
    over_text: "Ouvrez à nouveau la page depuis le produit, ou demandez un nouveau lien à votre administrateur.",
    over_text_back: "Revenez en arrière, et ouvrez à nouveau la page de là.",
    over_typed_text: "Rien n’a été enregistré, et ce que vous avez saisi est conservé sur cette page. Ouvrez à nouveau les réglages depuis le produit dans un autre onglet ; puis revenez à celui-ci et envoyez-le.",
    earlier_form: "Envoyer ce que vous avez saisi ?",
    earlier_form_text: "Vous l’avez saisi avant de vous reconnecter. Rien n’est encore enregistré : relisez-le, et envoyez-le s’il est toujours valable.",
    typed: "Ce que vous avez saisi",
    secrets_left_out: "Les mots de passe et les valeurs d’en-têtes ne sont pas conservés. Donnez-les à nouveau ensuite.",
    send_typed: "Envoyer maintenant",
    live_over: "Votre session est terminée : ce que vous voyez ici ne change plus.",
    live_stopped: "Ce que vous voyez ici ne change plus. Rechargez la page.",
    wrong_method: "Cette adresse n’est pas une page",
    wrong_method_text: "Elle n’accepte que ce qu’envoie un bouton d’une page. Rien n’a été modifié. Allez à la page, et appuyez sur le bouton.",
    to_page: "Aller à la page",
    to_webhooks: "Aller aux webhooks",
    to_workspaces: "Aller aux espaces de travail",
};

/// The words in a language.
pub(crate) fn session_words(lang: Lang) -> &'static SessionWords {
    match lang {
        Lang::En => &EN,
        Lang::Fr => &FR,
    }
}
