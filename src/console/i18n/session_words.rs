//! The words of a session that is over, of what was typed in it, and of what to do when there is no page.

use super::words::words;

words! {
    /// The words of sessions.
    SessionWords in session_words;

    /// A link to the product, with its host.
    back_to: "Back to {}", "Revenir à {}";
    over: "Your session is over", "Votre session est terminée";
    /// What to do without, and with a way back.
    over_text: "Open the page from the product again, or ask your administrator for a new link.", "Ouvrez à nouveau la page depuis le produit, ou demandez un nouveau lien à votre administrateur.";
    over_text_back: "Go back, and open the page from there again.", "Revenez en arrière, et ouvrez à nouveau la page de là.";
    over_typed_text: "Nothing was saved, and what you typed is kept on this page. Open the settings from the product again in another tab; then come back to this one and send it.", "Rien n’a été enregistré, et ce que vous avez saisi est conservé sur cette page. Ouvrez à nouveau les réglages depuis le produit dans un autre onglet ; puis revenez à celui-ci et envoyez-le.";
    earlier_form: "Send what you typed?", "Envoyer ce que vous avez saisi ?";
    earlier_form_text: "You typed it before you signed in again. Nothing was saved yet: look at it, and send it if it still holds.", "Vous l’avez saisi avant de vous reconnecter. Rien n’est encore enregistré : relisez-le, et envoyez-le s’il est toujours valable.";
    typed: "What you typed", "Ce que vous avez saisi";
    secrets_left_out: "Passwords and values of headers are not kept. Give them again afterwards.", "Les mots de passe et les valeurs d’en-têtes ne sont pas conservés. Donnez-les à nouveau ensuite.";
    send_typed: "Send it now", "Envoyer maintenant";
    live_over: "Your session is over: what you see here changes no more.", "Votre session est terminée : ce que vous voyez ici ne change plus.";
    live_stopped: "What you see here changes no more. Load the page again.", "Ce que vous voyez ici ne change plus. Rechargez la page.";
    wrong_method: "This address is not a page", "Cette adresse n’est pas une page";
    wrong_method_text: "It only takes what a button of a page sends. Nothing was changed. Go to the page, and press the button there.", "Elle n’accepte que ce qu’envoie un bouton d’une page. Rien n’a été modifié. Allez à la page, et appuyez sur le bouton.";
    to_page: "To the page", "Aller à la page";
    to_webhooks: "To the webhooks", "Aller aux webhooks";
    to_workspaces: "To the workspaces", "Aller aux espaces de travail";
}
