//! The words of the page of a workspace's activity: for actions of the audit trail, and for those who act.

use super::lang::Lang;
use super::words::words;

words! {
    /// The words around the entries.
    ActivityWords in activity_words;

    title: "Activity", "Activité";
    text: "Who changed, showed or sent something here, and when. Header values and secrets are never kept.", "Qui a modifié, affiché ou envoyé quelque chose ici, et quand. Les valeurs d’en-têtes et les secrets ne sont jamais conservés.";
    none: "Nothing has been done here yet", "Rien n’a encore été fait ici";
    who: "Who", "Qui";
    what: "What", "Quoi";
    details: "Details", "Détails";
}

/// The actions in both languages.
const ACTIONS: [(&str, &str, &str); 20] = [
    ("endpoint.added", "Webhook added", "Webhook ajouté"),
    ("endpoint.changed", "Webhook changed", "Webhook modifié"),
    ("endpoint.removed", "Webhook removed", "Webhook supprimé"),
    ("endpoint.restored", "Webhook restored", "Webhook rétabli"),
    ("endpoint.tested", "Test event sent", "Événement de test envoyé"),
    ("endpoint.tried", "Webhook tried at once", "Webhook essayé aussitôt"),
    ("secret.shown", "Secret shown", "Secret affiché"),
    ("secret.rotated", "Secret rotated", "Secret renouvelé"),
    ("delivery.resent", "Delivery sent again", "Livraison renvoyée"),
    ("deliveries.resent", "Chosen deliveries sent again", "Livraisons choisies renvoyées"),
    ("deliveries.exported", "Deliveries exported", "Livraisons exportées"),
    ("deliveries.recovered", "Deliveries sent again", "Livraisons renvoyées"),
    ("calls.backfilled", "Earlier calls sent", "Appels antérieurs envoyés"),
    ("call.erased", "Call erased", "Appel effacé"),
    ("workspace.erased", "Workspace erased", "Espace effacé"),
    ("portal_link.made", "Sign-in link made", "Lien de connexion créé"),
    ("links.shown", "Links shown", "Liens affichés"),
    ("recording.opened", "Recording opened", "Enregistrement ouvert"),
    ("session.started", "Signed in", "Connexion"),
    ("session.ended", "Signed out", "Déconnexion"),
];

/// The kinds of actors in both languages.
const ACTORS: [(&str, &str, &str); 4] = [
    ("operator", "Operator", "Opérateur"),
    ("token", "API token", "Jeton d’API"),
    ("portal", "A person with a sign-in link", "Une personne avec un lien de connexion"),
    ("cli", "Command line", "Ligne de commande"),
];

/// The fields of changes in both languages.
const FIELDS: [(&str, &str, &str); 26] = [
    ("url", "URL", "URL"),
    ("description", "description", "description"),
    ("state", "state", "état"),
    ("long_tail", "retries for a day", "tentatives pendant un jour"),
    ("late_assets", "reports of late recordings", "signalement des enregistrements tardifs"),
    ("concurrency", "requests at once", "requêtes simultanées"),
    ("per_second", "requests a second", "requêtes par seconde"),
    ("filter", "which calls it gets", "appels qu’il reçoit"),
    ("headers", "headers", "en-têtes"),
    ("headers_changed", "headers with a new value", "en-têtes avec une nouvelle valeur"),
    ("which", "which", "lesquelles"),
    ("from", "from", "du"),
    ("to", "to", "au"),
    ("deliveries", "deliveries", "livraisons"),
    ("previous_until", "the secret before is valid until", "secret précédent valable jusqu’au"),
    ("calls", "calls", "appels"),
    ("events", "calls", "appels"),
    ("name", "for", "pour"),
    ("listen", "may listen", "peut écouter"),
    ("chosen", "chosen", "choisies"),
    ("all", "all that match", "toutes celles qui correspondent"),
    ("webhook", "webhook", "webhook"),
    ("status", "status", "état"),
    ("pick_up", "links", "liens"),
    ("call", "call", "appel"),
    ("within", "within", "pendant"),
];

/// The values of changes in both languages.
const VALUES: [(&str, &str, &str); 7] = [
    ("active", "active", "actif"),
    ("paused", "paused", "en pause"),
    ("disabled", "disabled", "désactivé"),
    ("true", "yes", "oui"),
    ("false", "no", "non"),
    ("null", "none", "aucune"),
    ("failed", "failed", "échouées"),
];

/// What a field of a change is called; its own name if there is no word for it.
pub(crate) fn field_label(lang: Lang, field: &str) -> String {
    in_lang(&FIELDS, lang, field)
}

/// What a value of a change is called; itself if there is no word for it.
pub(crate) fn value_label(lang: Lang, value: &str) -> String {
    in_lang(&VALUES, lang, value)
}

/// What an action is called; its own name if there is no word for it.
pub(crate) fn action_label(lang: Lang, action: &str) -> String {
    in_lang(&ACTIONS, lang, action)
}

/// Who acts: a person by the name, others by their kind and name.
pub(crate) fn actor_label(lang: Lang, kind: &str, name: Option<&str>) -> String {
    match (kind, name) {
        ("portal", Some(name)) => name.to_owned(),
        (kind, Some(name)) => format!("{} {name}", in_lang(&ACTORS, lang, kind)),
        (kind, None) => in_lang(&ACTORS, lang, kind),
    }
}

fn in_lang(words: &[(&str, &str, &str)], lang: Lang, wanted: &str) -> String {
    let found = words.iter().find(|(name, ..)| *name == wanted);
    found.map_or(wanted, |(_, english, french)| if lang == Lang::Fr { french } else { english }).to_owned()
}
