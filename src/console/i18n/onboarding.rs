//! The words of the steps to a first webhook, of receivers' code, and of the fields that are mapped, in both languages.

use super::words::words;

words! {
    /// The words of the steps to a first webhook, of receivers' code, and of the fields that are mapped.
    OnboardingWords in onboarding_words;

    steps: "Steps to your first webhook", "Étapes vers votre premier webhook";
    step_platform: "Choose the platform", "Choisissez la plateforme";
    step_chosen: "Platform: {}", "Plateforme : {}";
    step_url: "Give its URL", "Donnez son URL";
    step_test: "Send a test", "Envoyez un test";
    done: "done", "fait";
    where_to: "Where do your calls go?", "Où vont vos appels ?";
    own: "A program of your own", "Votre propre programme";
    other: "Another tool", "Un autre outil";
    zapier_hint: "A Zap starts with each call.", "Un Zap démarre à chaque appel.";
    n8n_hint: "A workflow starts with each call.", "Un workflow démarre à chaque appel.";
    make_hint: "A scenario starts with each call.", "Un scénario démarre à chaque appel.";
    own_hint: "Code for seven languages, ready to run.", "Du code prêt à lancer, en sept langages.";
    other_hint: "Whatever takes a POST with JSON.", "Tout ce qui accepte un POST en JSON.";
    test_zapier:
        "In Zapier, the trigger waits under “Test”. Send the test here, then let Zapier find it.",
        "Dans Zapier, le déclencheur attend sous « Test ». Envoyez le test ici, puis laissez Zapier le trouver.";
    test_n8n:
        "The production URL answers only after the workflow was published (switched to Active).",
        "L’URL de production ne répond qu’une fois le workflow publié (passé à Active).";
    test_make:
        "In Make, click “Run once” first: the scenario then waits for the test, and learns the fields from it.",
        "Dans Make, cliquez d’abord sur « Run once » : le scénario attend alors le test, et en apprend les champs.";
    test_own:
        "Your receiver must run. The test has the fields of a real call, and “test”: true.",
        "Votre récepteur doit être en marche. Le test a les champs d’un vrai appel, et « test » : true.";
    test_text:
        "The next page shows what was sent, what your receiver answered, and which fields to use.",
        "La page suivante montre ce qui a été envoyé, ce que votre récepteur a répondu, et quels champs utiliser.";
    all_set: "The test arrived: your webhook is ready, and gets each completed call from now on.", "Le test est arrivé : votre webhook est prêt, et reçoit désormais chaque appel terminé.";
    not_yet: "The test did not arrive yet. What happened, and what to do, stands below.", "Le test n’est pas encore arrivé. Ce qui s’est passé, et que faire, se trouve ci-dessous.";
    to_webhook: "To the webhook", "Vers le webhook";
    fields: "The fields to use", "Les champs à utiliser";
    fields_text:
        "They are marked in the body below. It comes in one line; here it is spread out for reading.",
        "Ils sont marqués dans le corps ci-dessous. Il arrive en une seule ligne ; ici, il est présenté pour la lecture.";
    field: "Field", "Champ";
    named_in: "In {}", "Dans {}";
    use_for: "What it is for", "À quoi il sert";
    own_code: "Code in seven languages: a whole receiver that checks the signature", "Du code en sept langages : un récepteur complet, qui vérifie la signature";
    code_languages: "Programming language", "Langage de programmation";
    code: "Code", "Code";
    run_it: "Run it", "Le lancer";
    zapier_code:
        "To check signatures use Catch Raw Hook, and a step “Code by Zapier” with the inputs rawBody, signature (the header X-Webhook-Signature) and secret:",
        "Pour vérifier les signatures, prenez Catch Raw Hook et une étape « Code by Zapier » avec les entrées rawBody, signature (l’en-tête X-Webhook-Signature) et secret :";
    ;
    other_steps: [
        (
            "Find the tool’s incoming webhook (“Webhook”, “HTTP trigger” or “Catch hook”). It must take POST with JSON.",
            "Trouvez le webhook entrant de l’outil (« Webhook », « HTTP trigger » ou « Catch hook »). Il doit accepter POST en JSON."
        ),
        (
            "Copy its public https:// address into the field URL.",
            "Copiez son adresse https:// publique dans le champ URL."
        ),
        (
            "If it asks for a key or a password, give it under “Headers and credentials”.",
            "S’il demande une clé ou un mot de passe, indiquez-le sous « En-têtes et identifiants »."
        ),
        (
            "It has to answer with a status of 2xx within 10 seconds.",
            "Il doit répondre avec un statut 2xx en moins de 10 secondes."
        ),
    ];
    field_uses: [
        (
            "Names the event. It is the same when an event comes twice: skip what you have seen.",
            "Nomme l’événement. Il reste le même si un événement arrive deux fois : ignorez ce que vous avez déjà vu."
        ),
        (
            "Names the call, in all its events: find your record of the call by it.",
            "Nomme l’appel, dans tous ses événements : retrouvez-y votre fiche de l’appel."
        ),
        (
            "Opens the recording (MP3) for 24 hours. Put it into a file field, or download it. Empty if there is none.",
            "Ouvre l’enregistrement (MP3) pendant 24 heures. Mettez-le dans un champ de fichier, ou téléchargez-le. Vide s’il n’y en a pas."
        ),
        (
            "Opens the transcript (JSON) for 24 hours; with &format=txt at its end as plain text.",
            "Ouvre la transcription (JSON) pendant 24 heures ; avec &format=txt à la fin, en texte brut."
        ),
        ("What was talked about, for a note in the CRM.", "Ce qui s’est dit, pour une note dans le CRM."),
        (
            "How the call went. Filter by it, for example to leave out calls that nobody answered.",
            "L’issue de l’appel. Filtrez avec, par exemple pour écarter les appels restés sans réponse."
        ),
        (
            "When the call ended, in UTC. Events can overtake each other: order them by it.",
            "La fin de l’appel, en UTC. Les événements peuvent se doubler : triez avec."
        ),
        ("Finds the person in your CRM.", "Retrouve la personne dans votre CRM."),
        ("The person’s record in your CRM, if it is known.", "La fiche de la personne dans votre CRM, si elle est connue."),
        ("The colleague who made or took the call.", "Le collègue qui a passé ou reçu l’appel."),
        (
            "Only in tests. Filter them out before they reach your CRM.",
            "Seulement dans les tests. Écartez-les avant votre CRM."
        ),
    ];
}
