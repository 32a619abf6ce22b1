//! The words of the list of deliveries and of attempts, in both languages.

use super::words::words;

words! {
    /// The words of the list of deliveries, and of attempts.
    DeliveryWords in delivery_words;

    select: "Select", "Sélectionner";
    select_page: "Select all on this page", "Tout sélectionner sur cette page";
    resend_selected: "Send the selected again", "Renvoyer la sélection";
    select_matching: "Select all that match", "Sélectionner tout ce qui correspond";
    export: "Export as CSV", "Exporter en CSV";
    result: "What came of it", "Résultat";
    pick_up: "Pick-up", "Téléchargement";
    last_activity: "Last activity", "Dernière activité";
    fetched: "Fetched", "Téléchargé";
    not_fetched: "Not fetched", "Non téléchargé";
    all_one: "{} delivery matches. Send it again, with fresh links?", "{} livraison correspond. La renvoyer, avec de nouveaux liens ?";
    all_many: "{} deliveries match. Send them again, with fresh links?", "{} livraisons correspondent. Les renvoyer, avec de nouveaux liens ?";
    newest_of_all:
        "More than {} deliveries match. Send the newest of them again, with fresh links? The rest can follow.",
        "Plus de {} livraisons correspondent. Renvoyer les plus récentes, avec de nouveaux liens ? Le reste peut suivre.";
    resend_all: "Send all of them again", "Les renvoyer toutes";
    resent_one: "{} delivery is sent again, with fresh links.", "{} livraison est renvoyée, avec de nouveaux liens.";
    resent_many: "{} deliveries are sent again, with fresh links.", "{} livraisons sont renvoyées, avec de nouveaux liens.";
    under_way_one: "{} was on its way already.", "{} était déjà en route.";
    under_way_many: "{} were on their way already.", "{} étaient déjà en route.";
    no_webhook_one: "{} cannot be sent: its webhook is removed or disabled.", "{} ne peut pas être envoyée : son webhook est supprimé ou désactivé.";
    no_webhook_many: "{} cannot be sent: their webhook is removed or disabled.", "{} ne peuvent pas être envoyées : leur webhook est supprimé ou désactivé.";
    unknown_one: "{} is no longer kept.", "{} n’est plus conservée.";
    unknown_many: "{} are no longer kept.", "{} ne sont plus conservées.";
    none_chosen: "Nothing is selected: tick the deliveries to send again.", "Rien n’est sélectionné : cochez les livraisons à renvoyer.";
    lookup: "name lookup", "résolution du nom";
    connect: "connection", "connexion";
    tls: "TLS", "TLS";
    first_byte: "first byte", "premier octet";
    reused: "reused connection", "connexion réutilisée";
    fields: "Header fields", "En-têtes";
    request: "Request", "Requête";
    response: "Answer", "Réponse";
}
