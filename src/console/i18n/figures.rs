//! The words of the figures of webhooks: in the list, and on the page of one.

use super::words::words;

words! {
    /// The words of the figures of webhooks: in the list, and on the page of one.
    FigureWords in figure_words;

    as_table: "As a table", "En tableau";
    attempts_many: "{} attempts", "{} tentatives";
    attempts_none: "No attempts", "Aucune tentative";
    attempts_one: "{} attempt", "{} tentative";
    bars: "Attempts: succeeded above the line, failed below.", "Tentatives : réussies au-dessus de la ligne, échouées en dessous.";
    begins: "From", "À partir de";
    changes: "What changed", "Ce qui a changé";
    concurrency: "Requests at once", "Requêtes simultanées";
    concurrency_hint: "At most this many wait for an answer at the same time.", "Au plus ce nombre attend une réponse en même temps.";
    done_tried: "It is tried now. What comes of it appears here.", "L’essai a lieu maintenant. Son résultat apparaît ici.";
    failed: "Failed", "Échouées";
    failed_many: "{} deliveries failed. They can be sent again, with fresh links.", "{} livraisons ont échoué. Elles peuvent être renvoyées, avec de nouveaux liens.";
    failed_one: "{} delivery failed. It can be sent again, with fresh links.", "{} livraison a échoué. Elle peut être renvoyée, avec de nouveaux liens.";
    failures_many: "{} failed", "{} échouées";
    failures_one: "{} failed", "{} échouée";
    figures: "Attempts", "Tentatives";
    last_month: "Last 30 days", "30 derniers jours";
    last_success: "Last success", "Dernier succès";
    limits: "How fast it gets them", "À quelle vitesse il les reçoit";
    limits_hint: "As fast as it answers well, unless you choose less here. Each process of this service keeps these limits by itself.", "Aussi vite qu’il répond bien, sauf si vous choisissez moins ici. Chaque processus de ce service applique ces limites séparément.";
    matching: "{} of {} webhooks", "{} webhooks sur {}";
    median: "Median answer", "Réponse médiane";
    median_is: "the median answer took {}", "la réponse médiane a pris {}";
    medians_equal: "Median answer: {}.", "Réponse médiane : {}.";
    medians: "Median answer: {} to {}.", "Réponse médiane : {} à {}.";
    never: "none in 31 days", "aucun en 31 jours";
    no_answers: "No answers.", "Aucune réponse.";
    no_changes: "Nothing was changed yet.", "Rien n’a encore été modifié.";
    not_tried_inactive: "Nothing was sent: the webhook is paused or disabled now.", "Rien n’a été envoyé : le webhook est maintenant en pause ou désactivé.";
    not_tried_recovered: "Nothing was sent: the webhook does not fail any more.", "Rien n’a été envoyé : le webhook n’échoue plus.";
    not_tried_reset: "Nothing was sent: the webhook was tried or changed since you opened the page. You can try it again.", "Rien n’a été envoyé : le webhook a été essayé ou modifié depuis que vous avez ouvert la page. Vous pouvez l’essayer à nouveau.";
    nothing_found: "No webhook has “{}” in its name or host.", "Aucun webhook n’a « {} » dans son nom ou son hôte.";
    now: "now", "maintenant";
    pending: "Pending", "En attente";
    per_second: "Requests a second", "Requêtes par seconde";
    per_second_hint: "From 1 to 1,000, for a receiver that counts them. Empty is no limit.", "De 1 à 1 000, pour un récepteur qui les compte. Vide : aucune limite.";
    previous: "Previous", "Précédent";
    search: "Search by name or host", "Rechercher par nom ou hôte";
    send_failed_many: "Send the {} that failed", "Renvoyer les {} qui ont échoué";
    send_failed_one: "Send the {} that failed", "Renvoyer celle qui a échoué ({})";
    succeeded: "Succeeded", "Réussies";
    succeeded_many: "{} succeeded", "{} réussies";
    succeeded_one: "{} succeeded", "{} réussie";
    success: "Success", "Réussite";
    try_by_test: "Try it now with a test event", "Essayer maintenant avec un événement de test";
    try_now: "Try it now", "Essayer maintenant";
    wrong_limit: "A limit is a number from 1 to 1,000, or empty.", "Une limite est un nombre de 1 à 1 000, ou vide.";
}
