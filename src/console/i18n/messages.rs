//! The messages of the pages in each language, side by side. A message without one of the languages does not compile.

use std::fmt;

macro_rules! messages {
    ($($name:ident: en $en:literal, fr $fr:literal;)* ; $($list:ident: en [$($en_step:literal,)*], fr [$($fr_step:literal,)*];)*) => {
        /// All messages in one language.
        pub(crate) struct Messages {
            $(pub(crate) $name: &'static str,)*
            $(pub(crate) $list: &'static [&'static str],)*
        }

        pub(super) const EN: Messages = Messages { $($name: $en,)* $($list: &[$($en_step,)*],)* };
        pub(super) const FR: Messages = Messages { $($name: $fr,)* $($list: &[$($fr_step,)*],)* };

        #[cfg(test)]
        impl Messages {
            fn all(&self) -> Vec<(&'static str, String)> {
                vec![$((stringify!($name), self.$name.to_owned()),)* $((stringify!($list), self.$list.join("\n")),)*]
            }
        }
    };
}

impl Messages {
    /// A message with its placeholder replaced.
    pub(crate) fn fill(&self, text: &str, with: impl fmt::Display) -> String {
        text.replacen("{}", &with.to_string(), 1)
    }
}

messages! {
    accepted: en "Accepted", fr "Accepté";
    accepted_within: en "Accepted within", fr "Accepté pendant";
    active: en "Active", fr "Actif";
    add_webhook: en "Add a webhook", fr "Ajouter un webhook";
    added: en "Added", fr "Ajouté";
    all_kept: en "All that are kept", fr "Tous ceux qui sont conservés";
    all_webhooks: en "All webhooks", fr "Tous les webhooks";
    answer: en "Answer", fr "Réponse";
    any_pick_up: en "Any", fr "Tous";
    any_recording: en "With or without one", fr "Avec ou sans";
    any_status: en "Any status", fr "Tous les états";
    any_time: en "Any time", fr "Toutes les dates";
    arrived_many: en "{} arrived", fr "{} arrivées";
    arrived_one: en "{} arrived", fr "{} arrivée";
    as_curl: en "As a curl command", fr "En commande curl";
    attempt: en "Attempt", fr "Tentative";
    attempts: en "Attempts", fr "Tentatives";
    backfill: en "Send earlier calls", fr "Envoyer les appels antérieurs";
    backfill_now: en "Send them", fr "Les envoyer";
    backfill_text:
        en "Sends this webhook the calls that it has not got, with fresh links: those of before it was added, too. Calls that it has got, and those that it does not want, are left out.",
        fr "Envoie à ce webhook les appels qu’il n’a pas reçus, avec de nouveaux liens, y compris ceux d’avant son ajout. Les appels qu’il a reçus, et ceux qu’il ne veut pas, sont laissés de côté.";
    backfilled_many: en "{} calls are on their way.", fr "{} appels sont en route.";
    backfilled_one: en "{} call is on its way.", fr "{} appel est en route.";
    bad_description: en "At most 500 characters, without control characters.", fr "500 caractères au plus, sans caractères de contrôle.";
    bad_form: en "That form cannot be read", fr "Ce formulaire ne peut pas être lu";
    bad_form_text:
        en "It is larger than 16 KB, or did not arrive whole. Go back and try again.",
        fr "Il dépasse 16 Ko ou n’est pas arrivé en entier. Revenez en arrière et réessayez.";
    basic_password: en "Password, for Basic authentication", fr "Mot de passe, pour l’authentification Basic";
    basic_user: en "User name, for Basic authentication", fr "Nom d’utilisateur, pour l’authentification Basic";
    began: en "began", fr "commencé";
    both_directions: en "Both", fr "Les deux";
    both_valid_until: en "The secret before it is valid too, until", fr "Le secret précédent reste valable aussi, jusqu’au";
    broken: en "Something is broken here", fr "Quelque chose ne fonctionne pas ici";
    broken_text:
        en "This is our fault, and the log says why. Try again later, or tell the operator of this service.",
        fr "C’est de notre faute, et le journal dit pourquoi. Réessayez plus tard ou prévenez l’exploitant du service.";
    call: en "Call", fr "Appel";
    call_id: en "Call id", fr "Identifiant de l’appel";
    cancel: en "Cancel", fr "Annuler";
    captions: en "Captions", fr "Sous-titres";
    clear: en "Clear", fr "Effacer";
    come_by_link: en "Please come by a link", fr "Venez par un lien";
    come_by_link_text:
        en "This page opens with a link that the product gives you. You are not signed in, or your time is over: open the page from the product again, or ask your administrator for a new link.",
        fr "Cette page s’ouvre par un lien que le produit vous donne. Vous n’êtes pas connecté, ou votre session a expiré : ouvrez la page à nouveau depuis le produit, ou demandez un nouveau lien à votre administrateur.";
    copied: en "Copied", fr "Copié";
    copy: en "Copy", fr "Copier";
    count_first: en "Only count them", fr "Seulement les compter";
    decimal_mark: en ".", fr ",";
    delivered: en "Delivered", fr "Livré";
    deliveries: en "Recent deliveries", fr "Livraisons récentes";
    description: en "Description", fr "Description";
    description_hint:
        en "What you call this webhook, for example “CRM in production”.",
        fr "Le nom que vous donnez à ce webhook, par exemple « CRM en production ».";
    direction: en "Direction", fr "Sens";
    disabled: en "Disabled", fr "Désactivé";
    disabled_text:
        en "It failed for days, so nothing is sent any more; what comes in is recorded as failed. Mend the receiver, resume the webhook, then recover what failed.",
        fr "Il échouait depuis des jours : plus rien n’est envoyé, et ce qui arrive est enregistré comme échoué. Réparez le récepteur, reprenez le webhook, puis récupérez ce qui a échoué.";
    done_added: en "The webhook is added.", fr "Le webhook est ajouté.";
    done_added_text:
        en "Copy its secret to your receiver if you check signatures, then send a test event and watch it arrive.",
        fr "Copiez son secret dans votre récepteur si vous vérifiez les signatures, puis envoyez un événement de test et regardez-le arriver.";
    done_changed: en "The changes are saved.", fr "Les modifications sont enregistrées.";
    done_no_webhook:
        en "It cannot be sent again: its webhook is removed or disabled.",
        fr "Impossible de le renvoyer : son webhook est supprimé ou désactivé.";
    done_paused:
        en "The webhook is paused: events wait until you resume it.",
        fr "Le webhook est en pause : les événements attendent que vous le repreniez.";
    done_removed:
        en "The webhook is removed. It can be taken back for an hour.",
        fr "Le webhook est supprimé. Vous pouvez revenir sur cette décision pendant une heure.";
    done_resent: en "It is sent again, with fresh links.", fr "Il est renvoyé, avec de nouveaux liens.";
    done_resumed: en "The webhook goes on, with what has waited.", fr "Le webhook reprend, avec ce qui attendait.";
    done_rotated:
        en "This is the new secret. Put it into your receiver within 24 hours: until then the one before is valid too, so no event is lost.",
        fr "Voici le nouveau secret. Mettez-le dans votre récepteur sous 24 heures : d’ici là le précédent reste valable, et aucun événement n’est perdu.";
    done_taken_back:
        en "The webhook is back as it was. What came in meanwhile was not sent to it.",
        fr "Le webhook est de retour tel qu’il était. Ce qui est arrivé entre-temps ne lui a pas été envoyé.";
    done_under_way: en "It is on its way already.", fr "Il est déjà en route.";
    duplicate_url: en "Your webhook “{}” has this URL already.", fr "Votre webhook « {} » a déjà cette URL.";
    duplicate_url_advice:
        en "With another one, each call arrives there twice. Use the one that you have, or save this one anyway.",
        fr "Avec un deuxième, chaque appel y arrive deux fois. Utilisez celui que vous avez, ou enregistrez celui-ci quand même.";
    done_without_headers:
        en "The changes are saved. Its headers were for the URL before, and were removed with it: give them again if this receiver wants them.",
        fr "Les modifications sont enregistrées. Les en-têtes étaient pour l’URL précédente, et ont été supprimés avec elle : donnez-les à nouveau si ce récepteur les demande.";
    earlier: en "Earlier", fr "Plus tôt";
    earlier_attempts: en "Earlier attempts that are not shown: {}", fr "Tentatives antérieures non affichées : {}";
    enter: en "Webhook settings", fr "Réglages des webhooks";
    enter_once:
        en "The link works once. You stay signed in on this device for a while.",
        fr "Le lien fonctionne une seule fois. Vous restez connecté sur cet appareil pendant un certain temps.";
    enter_operator:
        en "You come in as the operator, who sees all workspaces.",
        fr "Vous entrez comme exploitant, qui voit tous les espaces de travail.";
    enter_workspace: en "You come in to the workspace", fr "Vous entrez dans l’espace de travail";
    failed: en "Failed", fr "Échoué";
    failed_again_many: en "{} failed again", fr "{} échouées à nouveau";
    failed_again_one: en "{} failed again", fr "{} échouée à nouveau";
    failing: en "{} failing", fr "{} en échec";
    failing_since: en "Every attempt has failed since", fr "Toutes les tentatives échouent depuis le";
    fetched_links: en "Fetched", fr "Téléchargés";
    find_call: en "Find a call", fr "Trouver un appel";
    find_event: en "Event", fr "Événement";
    find_hint: en "A call’s id, its beginning or its end; the id of an event, a delivery or a recording; a phone number, an e-mail address, the host of a webhook, or a link as it was pasted.", fr "L’identifiant d’un appel, son début ou sa fin ; l’identifiant d’un événement, d’une livraison ou d’un enregistrement ; un numéro de téléphone, une adresse e-mail, l’hôte d’un webhook, ou un lien tel qu’il a été collé.";
    find_label: en "What do you know of it?", fr "Qu’en savez-vous ?";
    find_link: en "About this link", fr "À propos de ce lien";
    find_link_good: en "It is good, and opens its file until", fr "Il est bon, et ouvre son fichier jusqu’au";
    find_link_mended: en "Without that it is good, and opens its file until", fr "Sans cela il est bon, et ouvre son fichier jusqu’au";
    find_links_until: en "Links expire", fr "Expiration des liens";
    find_more: en "These are the newest; there are more. A longer part finds fewer.", fr "Voici les plus récents ; il y en a d’autres. Une partie plus longue en trouve moins.";
    find_no_delivery: en "No webhook got this call.", fr "Aucun webhook n’a reçu cet appel.";
    find_nothing: en "Calls are kept for a while, then they are forgotten. Try the beginning or the end of the id.", fr "Les appels sont conservés un certain temps, puis oubliés. Essayez le début ou la fin de l’identifiant.";
    follow: en "Follow the sound", fr "Suivre le son";
    from: en "From", fr "Du";
    from_to: en "A range of your own", fr "Une période précise";
    given_up: en "Given up", fr "Abandonné";
    go_on: en "Go on", fr "Continuer";
    header_name: en "Name of a header", fr "Nom d’un en-tête";
    header_value: en "Its value", fr "Sa valeur";
    headers: en "Headers and credentials", fr "En-têtes et identifiants";
    headers_hint:
        en "Each request to the URL carries them: an API key, or the credentials of n8n or Make. A value is not shown again; to replace it, give its name with another one. Another URL begins without them.",
        fr "Chaque requête vers l’URL les porte : une clé d’API, ou les identifiants de n8n ou de Make. Une valeur n’est plus affichée ; pour la remplacer, donnez son nom avec une autre. Une autre URL commence sans eux.";
    headers_set: en "Headers that are set", fr "En-têtes définis";
    held_next: en "The next one is attempted at once.", fr "La prochaine est tentée aussitôt.";
    held_since: en "New deliveries have been waiting since", fr "Les nouvelles livraisons attendent depuis le";
    held_text:
        en "“Send again”, a test and another URL are tried at once. The first success sends everything that waits.",
        fr "« Renvoyer », un test ou une autre URL sont tentés aussitôt. Au premier succès, tout ce qui attend part.";
    held_until: en "The next attempt is on", fr "La prochaine tentative a lieu le";
    hide: en "Hide it", fr "Le masquer";
    hide_links: en "Hide the links", fr "Masquer les liens";
    howto: en "How to receive it", fr "Comment le recevoir";
    is_update: en "Update", fr "Mise à jour";
    is_failing: en "Failing", fr "En échec";
    language: en "Language", fr "Langue";
    last_day: en "Last 24 hours", fr "Dernières 24 heures";
    last_hour: en "Last hour", fr "Dernière heure";
    last_week: en "Last 7 days", fr "7 derniers jours";
    late_assets:
        en "When a recording or transcript arrives after its call was sent, send its links as call.updated",
        fr "Quand un enregistrement ou une transcription arrive après l’envoi de son appel, envoyer ses liens par call.updated";
    later: en "Later", fr "Plus tard";
    link_expired:
        en "Its time is over: portal links live for minutes. Open the page from the product again, or ask for a new link.",
        fr "Il a expiré : ces liens ne vivent que quelques minutes. Ouvrez la page à nouveau depuis le produit, ou demandez un nouveau lien.";
    link_invalid:
        en "It was changed or cut on its way. Copy it again in one piece, or ask for a new link.",
        fr "Il a été modifié ou coupé en route. Copiez-le à nouveau en entier, ou demandez un nouveau lien.";
    link_refused: en "This link does not open", fr "Ce lien ne s’ouvre pas";
    link_used:
        en "It was used before, and works once. If that was not you, tell your administrator. Otherwise ask for a new link.",
        fr "Il a déjà servi, et ne fonctionne qu’une fois. Si ce n’était pas vous, prévenez votre administrateur. Sinon, demandez un nouveau lien.";
    links: en "Links", fr "Liens";
    links_expired: en "Links expired", fr "Liens expirés";
    links_hidden: en "What makes its links open is left out here.", fr "Ce qui permet d’ouvrir ses liens n’est pas affiché ici.";
    links_live_until: en "Links expire", fr "Expiration des liens";
    links_not_fetched: en "Not fetched", fr "Pas téléchargés";
    listen: en "Listen and read", fr "Écouter et lire";
    long_tail:
        en "Keep trying for a day after the first four attempts",
        fr "Continuer d’essayer pendant un jour après les quatre premières tentatives";
    navigation: en "Pages", fr "Pages";
    newest: en "Newest", fr "Les plus récentes";
    next: en "Next", fr "Suivant";
    next_attempt: en "Next attempt", fr "Prochaine tentative";
    no_answer: en "No answer", fr "Pas de réponse";
    no_attempts: en "No attempt yet. It appears here as it happens.", fr "Aucune tentative pour l’instant. Elle apparaîtra ici dès qu’elle a lieu.";
    no_deliveries: en "Nothing was sent yet", fr "Rien n’a encore été envoyé";
    no_deliveries_text:
        en "Each call that ends is sent to your webhooks and appears here. Send a test event from a webhook’s page to see one.",
        fr "Chaque appel terminé est envoyé à vos webhooks et apparaît ici. Envoyez un événement de test depuis la page d’un webhook pour en voir un.";
    no_deliveries_yet:
        en "Nothing was sent yet. Send a test event to see one.",
        fr "Rien n’a encore été envoyé. Envoyez un événement de test pour voir.";
    no_payload: en "The stored event cannot be read any more.", fr "L’événement enregistré ne peut plus être lu.";
    no_recording: en "This call has no recording.", fr "Cet appel n’a pas d’enregistrement.";
    no_transcript: en "This call has no transcript.", fr "Cet appel n’a pas de transcription.";
    no_webhooks: en "No webhook yet", fr "Pas encore de webhook";
    no_webhooks_text:
        en "A webhook sends each completed call, with its recording and transcript, to Zapier, n8n, Make or your own server.",
        fr "Un webhook envoie chaque appel terminé, avec son enregistrement et sa transcription, à Zapier, n8n, Make ou à votre propre serveur.";
    no_workspaces: en "No workspace has a webhook yet", fr "Aucun espace de travail n’a encore de webhook";
    no_workspaces_text:
        en "Open one by its name above, and add its first webhook.",
        fr "Ouvrez-en un par son nom ci-dessus, et ajoutez son premier webhook.";
    not_allowed: en "You may not see this", fr "Vous ne pouvez pas voir ceci";
    not_allowed_text:
        en "Your link does not let you listen to recordings or read transcripts. Ask your administrator for one that does.",
        fr "Votre lien ne permet pas d’écouter les enregistrements ni de lire les transcriptions. Demandez à votre administrateur un lien qui le permet.";
    not_found: en "There is nothing here", fr "Il n’y a rien ici";
    not_found_text:
        en "The page does not exist, or belongs to somebody else, or its history is over. Check the address, or go on from here.",
        fr "La page n’existe pas, appartient à quelqu’un d’autre, ou son historique est effacé. Vérifiez l’adresse ou continuez d’ici.";
    not_ours: en "This request was refused", fr "Cette demande a été refusée";
    not_ours_text:
        en "It did not come from a page that was given to you here. Nothing was changed. Go back, load the page again and repeat what you did.",
        fr "Elle ne vient pas d’une page qui vous a été donnée ici. Rien n’a été modifié. Revenez en arrière, rechargez la page et recommencez.";
    note: en "Note", fr "Remarque";
    nothing_found: en "Nothing found", fr "Aucun résultat";
    nothing_found_text:
        en "No delivery fits all of this. A call is found by its whole id.",
        fr "Aucune livraison ne correspond à tout cela. Un appel se trouve par son identifiant complet.";
    nothing_to_backfill: en "It has got every call of this time that it wants.", fr "Il a reçu tous les appels de cette période qu’il veut.";
    nothing_to_recover: en "There is nothing to send again in this time", fr "Il n’y a rien à renvoyer pendant cette période";
    older: en "Older", fr "Plus anciennes";
    on_hold: en "On hold", fr "Retenu";
    on_their_way: en "{} on their way", fr "{} en route";
    only_incoming: en "Only incoming", fr "Entrants seulement";
    only_outgoing: en "Only outgoing", fr "Sortants seulement";
    only_with_recording: en "Only with a recording", fr "Avec enregistrement seulement";
    only_without_recording: en "Only without a recording", fr "Sans enregistrement seulement";
    open: en "Open", fr "Ouvrir";
    open_recording: en "Open the recording", fr "Ouvrir l’enregistrement";
    open_transcript: en "Open the transcript", fr "Ouvrir la transcription";
    open_workspace: en "Open a workspace", fr "Ouvrir un espace de travail";
    optional: en "(optional)", fr "(facultatif)";
    other_origin_text:
        en "It came from another address than this page is set to. Nothing was changed. Go back, load the page again and repeat what you did. If it happens again, tell the operator of this page: console.url has to be the address that your browser shows.",
        fr "Elle vient d’une autre adresse que celle réglée pour cette page. Rien n’a été modifié. Revenez en arrière, rechargez la page et recommencez. Si cela se répète, prévenez l’exploitant de cette page : console.url doit être l’adresse que montre votre navigateur.";
    payload_cut:
        en "This payload is too long for a page. Its beginning is shown.",
        fr "Ce contenu est trop long pour une page. Seul son début est affiché.";
    pages: en "More pages", fr "Autres pages";
    pause: en "Pause", fr "Mettre en pause";
    paused: en "Paused", fr "En pause";
    paused_text:
        en "Nothing is sent until you resume it; events wait.",
        fr "Rien n’est envoyé tant que vous ne le reprenez pas ; les événements attendent.";
    payload: en "Payload", fr "Contenu";
    previous_secret: en "An earlier secret, valid until", fr "Un secret précédent, valable jusqu’au";
    product: en "Webhooks", fr "Webhooks";
    queued: en "Held back", fr "Retenu";
    range_below: en "The range below", fr "La période ci-dessous";
    raw: en "Raw, byte for byte", fr "Brut, octet par octet";
    receivers_answer: en "The receiver’s answer", fr "La réponse du récepteur";
    recording: en "Recording", fr "Enregistrement";
    recover: en "Recover", fr "Récupérer";
    recover_now: en "Send them again", fr "Les renvoyer";
    recover_text:
        en "Was your receiver down? Send again what failed in a range of time, with fresh links. A Zap that is paused and a workflow that is off answer 200 too: nothing has failed then, but the links were not fetched. Test events are left out.",
        fr "Votre récepteur était en panne ? Renvoyez ce qui a échoué pendant une période, avec de nouveaux liens. Un Zap en pause et un workflow désactivé répondent 200 eux aussi : rien n’a alors échoué, mais les liens n’ont pas été téléchargés. Les événements de test sont laissés de côté.";
    recovered: en "All of it was sent again", fr "Tout a été renvoyé";
    recovering: en "Sending again", fr "Renvoi en cours";
    remove: en "Remove this webhook", fr "Supprimer ce webhook";
    remove_header: en "Remove", fr "Supprimer";
    remove_text:
        en "Nothing more is sent to it. You can take that back for an hour.",
        fr "Plus rien ne lui est envoyé. Vous pouvez revenir en arrière pendant une heure.";
    removed_webhook: en "Removed webhook", fr "Webhook supprimé";
    resend: en "Send again", fr "Renvoyer";
    resume: en "Resume", fr "Reprendre";
    retrying: en "Retrying", fr "Nouvel essai";
    rotate: en "Replace the secret", fr "Remplacer le secret";
    rotate_now: en "Make a new secret", fr "Créer un nouveau secret";
    rotate_text:
        en "A new secret is made, and the old one stays valid for 24 hours beside it, however often you do this. Until your receiver takes the new one, events are signed so that either of them fits.",
        fr "Un nouveau secret est créé, et l’ancien reste valable 24 heures à ses côtés, même si vous recommencez. Tant que votre récepteur n’a pas le nouveau, les événements sont signés de façon que l’un ou l’autre convienne.";
    save: en "Save", fr "Enregistrer";
    save_anyway: en "Save it anyway", fr "Enregistrer quand même";
    save_changes: en "Save the changes", fr "Enregistrer les modifications";
    search: en "Search", fr "Rechercher";
    secret: en "Secret", fr "Secret";
    secret_shown_text:
        en "All of it is the key, whsec_ included. Keep it where only your receiver reads it.",
        fr "Tout le texte est la clé, whsec_ compris. Gardez-le là où seul votre récepteur le lit.";
    secret_text:
        en "Your receiver checks with it that events come from us.",
        fr "Votre récepteur vérifie grâce à lui que les événements viennent de nous.";
    see_failed: en "See what failed", fr "Voir ce qui a échoué";
    send_test: en "Send test event", fr "Envoyer un événement de test";
    sending: en "Sending", fr "Envoi en cours";
    sent_again: en "Sent again", fr "Renvoi";
    sent_before: en "This was sent before", fr "Ceci a déjà été envoyé";
    sent_before_text:
        en "It is not known yet what came of it, so nothing was done a second time. Load the page again and see whether it was done.",
        fr "On ne sait pas encore ce qu’il en est advenu : rien n’a donc été fait une seconde fois. Rechargez la page et voyez si c’est fait.";
    settings: en "Settings", fr "Réglages";
    show_all: en "Show all", fr "Tout afficher";
    show_links: en "Show with its links", fr "Afficher avec ses liens";
    show_secret: en "Show secret", fr "Afficher le secret";
    sign_in: en "Sign in", fr "Se connecter";
    sign_in_as_operator: en "Sign in as the operator", fr "Se connecter comme exploitant";
    sign_out: en "Sign out", fr "Se déconnecter";
    signed_out: en "You are signed out", fr "Vous êtes déconnecté";
    signed_out_text: en "Come again by a link from the product.", fr "Revenez par un lien donné par le produit.";
    since: en "since", fr "depuis le";
    skip: en "Skip to the content", fr "Aller au contenu";
    speaker: en "Speaker", fr "Intervenant";
    status: en "Status", fr "État";
    test_event: en "Test event", fr "Événement de test";
    to: en "To", fr "Au";
    token: en "Operator’s token", fr "Jeton de l’exploitant";
    token_hint: en "The first line of the file that admin.token_file names.", fr "La première ligne du fichier nommé par admin.token_file.";
    token_wrong:
        en "That is not the token. Copy the whole first line of the file.",
        fr "Ce n’est pas le jeton. Copiez toute la première ligne du fichier.";
    too_many_secrets:
        en "Eight earlier secrets are still valid, so no other is made now. Show the secret instead, or try again when one of them has expired.",
        fr "Huit secrets précédents sont encore valables : aucun autre n’est créé pour l’instant. Affichez le secret, ou réessayez quand l’un d’eux aura expiré.";
    too_many_tests:
        en "Too many test events: a webhook gets 10 a minute, and all webhooks together 60. Try again in {}.",
        fr "Trop d’événements de test : un webhook en reçoit 10 par minute, et tous ensemble 60. Réessayez dans {}.";
    too_late: en "It can no longer be taken back.", fr "Il est trop tard pour revenir en arrière.";
    too_many_pages_text:
        en "Too many pages of this workspace are being loaded at once. Nothing was changed; try again in a few seconds.",
        fr "Trop de pages de cet espace de travail sont chargées en même temps. Rien n’a été modifié ; réessayez dans quelques secondes.";
    transcript: en "Transcript", fr "Transcription";
    transcript_unavailable:
        en "The store does not answer now. Load the page again in a moment.",
        fr "Le stockage ne répond pas pour l’instant. Rechargez la page dans un moment.";
    transcript_unread:
        en "This transcript has another form or is very long. Open it as a file.",
        fr "Cette transcription a une autre forme ou est très longue. Ouvrez-la comme fichier.";
    unavailable: en "Come back in a moment", fr "Revenez dans un moment";
    unavailable_text:
        en "The database does not answer. Nothing was changed; try again in a few seconds.",
        fr "La base de données ne répond pas. Rien n’a été modifié ; réessayez dans quelques secondes.";
    undo: en "Undo", fr "Annuler la suppression";
    updated: en "Updated", fr "Mis à jour";
    url: en "URL", fr "URL";
    url_hint:
        en "Where events are posted. It begins with https:// and can be reached from the internet.",
        fr "L’adresse où les événements sont envoyés. Elle commence par https:// et est accessible depuis Internet.";
    url_reachable:
        en "Nothing speaks against this URL. Save it, then send a test event.",
        fr "Rien ne s’oppose à cette URL. Enregistrez-la, puis envoyez un événement de test.";
    url_well_formed: en "This URL is well formed.", fr "Cette URL est bien formée.";
    waiting: en "Waiting", fr "En attente";
    webhook: en "Webhook", fr "Webhook";
    webhook_many: en "{} webhooks", fr "{} webhooks";
    webhook_one: en "{} webhook", fr "{} webhook";
    webhooks: en "Webhooks", fr "Webhooks";
    webhooks_text: en "Each completed call is sent to all of these that want it.", fr "Chaque appel terminé est envoyé à tous ceux qui le veulent.";
    what_to_do: en "What to do:", fr "Que faire :";
    when: en "When", fr "Quand";
    which: en "What", fr "Quoi";
    which_all: en "Everything", fr "Tout";
    which_calls: en "Which calls it gets", fr "Les appels qu’il reçoit";
    which_calls_hint:
        en "All, unless you choose here. Other calls are not sent to it; test events are.",
        fr "Tous, sauf si vous choisissez ici. Les autres appels ne lui sont pas envoyés ; les événements de test le sont.";
    which_failed: en "What failed", fr "Ce qui a échoué";
    which_not_fetched: en "What was delivered but not fetched", fr "Ce qui a été livré mais pas téléchargé";
    workspace: en "Workspace", fr "Espace de travail";
    workspaces: en "Workspaces", fr "Espaces de travail";
    would_backfill_many: en "{} calls would be sent.", fr "{} appels seraient envoyés.";
    would_backfill_one: en "{} call would be sent.", fr "{} appel serait envoyé.";
    would_recover_many: en "{} deliveries would be sent again.", fr "{} livraisons seraient renvoyées.";
    would_recover_one: en "{} delivery would be sent again.", fr "{} livraison serait renvoyée.";
    wrong_call:
        en "A call id has 1 to 128 visible characters, without spaces.",
        fr "Un identifiant d’appel a 1 à 128 caractères visibles, sans espaces.";
    wrong_order: en "The range ends before it begins.", fr "La période finit avant de commencer.";
    wrong_range: en "Choose a time, or both ends of a range.", fr "Choisissez une durée, ou les deux bouts d’une période.";
    wrong_time: en "A time is written 2026-11-23T09:30:00Z.", fr "Une date s’écrit 2026-11-23T09:30:00Z.";
    your_secret: en "whsec_… your secret", fr "whsec_… votre secret";
    your_time: en "your time", fr "votre heure";
    ;
    zapier_steps:
        en [
            "Make a Zap whose trigger is “Webhooks by Zapier”: Catch Hook, or Catch Raw Hook if you check signatures.",
            "Leave “Pick off a Child Key” empty, and copy the URL that Zapier shows into the field URL.",
            "Send a test event from here, and let Zapier find it.",
            "Switch the Zap on: one that is off takes nothing.",
        ],
        fr [
            "Créez un Zap dont le déclencheur est « Webhooks by Zapier » : Catch Hook, ou Catch Raw Hook si vous vérifiez les signatures.",
            "Laissez « Pick off a Child Key » vide, et copiez l’URL affichée par Zapier dans le champ URL.",
            "Envoyez un événement de test d’ici, et laissez Zapier le trouver.",
            "Activez le Zap : s’il est éteint, il ne reçoit rien.",
        ];
    n8n_steps:
        en [
            "Begin a workflow with a Webhook node. Set its HTTP Method to POST: it is GET at first, and then every event is refused.",
            "Set Respond to Immediately, so that the answer comes within 10 seconds.",
            "Copy the Production URL. The test URL works for two minutes only.",
            "Publish the workflow (switch it to Active), or the production URL does not exist.",
            "To check signatures, switch on Raw Body and sign it in a Crypto node (Hmac, SHA256, HEX) with your secret.",
        ],
        fr [
            "Commencez un workflow par un nœud Webhook. Réglez HTTP Method sur POST : c’est GET au départ, et tout événement est alors refusé.",
            "Réglez Respond sur Immediately, pour que la réponse arrive en moins de 10 secondes.",
            "Copiez la Production URL. L’URL de test ne vit que deux minutes.",
            "Publiez le workflow (passez-le à Active), sinon l’URL de production n’existe pas.",
            "Pour vérifier les signatures, activez Raw Body et signez-le dans un nœud Crypto (Hmac, SHA256, HEX) avec votre secret.",
        ];
    make_steps:
        en [
            "Begin a scenario with Webhooks: Custom webhook, and copy its address.",
            "Click Run once, then send a test event from here: Make learns the fields from it.",
            "Switch the scenario on. Make deletes an address that no scenario uses after some days.",
            "On a schedule, run it several times a day: the links live 24 hours.",
            "To check signatures, switch on Get request headers and JSON pass-through, and compare x-webhook-signature with sha256 of the raw value and your secret.",
        ],
        fr [
            "Commencez un scénario par Webhooks : Custom webhook, et copiez son adresse.",
            "Cliquez sur Run once, puis envoyez un événement de test d’ici : Make en apprend les champs.",
            "Activez le scénario. Make supprime après quelques jours une adresse qu’aucun scénario n’utilise.",
            "S’il tourne selon un horaire, lancez-le plusieurs fois par jour : les liens vivent 24 heures.",
            "Pour vérifier les signatures, activez Get request headers et JSON pass-through, et comparez x-webhook-signature au sha256 de la valeur brute avec votre secret.",
        ];
    own_steps:
        en [
            "Take POST at a public https:// address, and answer with a status of 2xx within 10 seconds. Work afterwards.",
            "Check X-Webhook-Signature: the HMAC-SHA256 of the raw body in hexadecimal, with the secret as the key.",
            "An event may come twice: its webhook-id stays the same. What a person sends again has a new webhook-id, and “resend” in its body.",
            "Fetch the recording and the transcript by their links within 24 hours.",
        ],
        fr [
            "Acceptez POST à une adresse https:// publique, et répondez avec un statut 2xx en moins de 10 secondes. Travaillez ensuite.",
            "Vérifiez X-Webhook-Signature : le HMAC-SHA256 du corps brut en hexadécimal, avec le secret comme clé.",
            "Un événement peut arriver deux fois : son webhook-id reste le même. Ce qu’une personne renvoie a un nouveau webhook-id, et « resend » dans son corps.",
            "Téléchargez l’enregistrement et la transcription par leurs liens sous 24 heures.",
        ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixMillis;
    use crate::webhook::{Alert, AlertKind};

    #[test]
    fn every_message_has_both_languages_and_the_same_placeholders() {
        let placeholders = |text: &str| text.matches("{}").count();
        for ((name, english), (_, french)) in EN.all().into_iter().zip(FR.all()) {
            assert!(!english.trim().is_empty() && !french.trim().is_empty(), "{name}");
            assert_eq!(placeholders(&english), placeholders(&french), "{name}");
            // An untranslated sentence is the same in both languages.
            assert!(english != french || english.split(' ').count() < 3, "{name}: {english}");
        }
    }
    /// The operator reads the words that the customer sees.
    #[test]
    fn the_page_and_the_alerts_have_the_same_words() {
        for (word, kind) in [
            (EN.is_failing, AlertKind::Failing),
            (EN.on_hold, AlertKind::Held),
            (EN.disabled, AlertKind::Disabled),
            (EN.failed, AlertKind::Exhausted),
            (EN.links_not_fetched, AlertKind::Unfetched),
        ] {
            assert_eq!(word, kind.title());
        }
        let alert = |kind| Alert { kind, ..Alert::test(String::new(), UnixMillis(0)) };
        let disabled = alert(AlertKind::Disabled);
        assert_eq!(EN.disabled_text, format!("{} {}", disabled.message(), disabled.advice().unwrap()));
        assert!(alert(AlertKind::Failing).message().starts_with(EN.failing_since.trim_end_matches(" since")));
    }
}
