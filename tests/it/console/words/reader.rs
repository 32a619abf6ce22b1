//! What a person reads on a page, and what no page should say.

/// English words that no French page shows. Words that French has too (`minute`, `on`, `total`) are not here.
const ENGLISH: &str = "\
    the and of is was were are not with when after before since until this that your you it its ago day days hour \
    hours seconds yesterday fetched delivered failed waiting sending retrying incoming outgoing connected busy \
    missed canceled no-answer voicemail true false null january february march april june july august september \
    october november december aug dec feb just now yes";

/// French words that no English page shows.
const FRENCH: &str = "le les des une est sont pas avec pour dans depuis jusqu avant après aucun aucune votre vous vos ce cette il elle \
    livraison livraisons tentative tentatives appel appels réussie réussies échouée échouées échoué envoyé envoyée jour jours \
    heure heures seconde secondes";

/// Nouns that follow a number, in the singular.
const SINGULAR: [&str; 2] = [
    "attempt delivery webhook call day hour minute second event request link secret entry",
    "tentative livraison webhook appel jour heure minute seconde événement requête lien secret réussie échouée arrivée",
];

/// Names that are written like names of a program's types.
const NAMES: [&str; 8] =
    ["JavaScript", "TypeScript", "PostgreSQL", "GitHub", "HubSpot", "OpenAPI", "OpenSSL", "ActivePieces"];

/// Attributes whose values people read or hear; those of `body` are said by the script.
const READ: [&str; 14] = [
    "title",
    "aria-label",
    "placeholder",
    "alt",
    "data-label",
    "data-copied",
    "data-updated",
    "data-just-now",
    "data-soon",
    "data-over",
    "data-stopped",
    "data-unchecked",
    "data-hits",
    "label",
];

/// What a page says that it should not: words of the other language, left-over patterns, names of a program.
pub(super) fn odd_in(page: &str, lang: &str) -> Vec<String> {
    let text = words(page, lang)
        .replace("&#39;", "'")
        .replace("&#38;", "&")
        .replace("&#34;", "\"")
        .replace("&#60;", "<");
    let mut found = Vec::new();
    let mut before = "";
    for token in text.split_whitespace() {
        let word = token.trim_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '{' | '}'));
        // As a receiver reads it: `recording_url is null`.
        let is_value = word == "null" && before == "is";
        if !is_value && (is_foreign(word, lang) || is_of_a_program(token, word) || is_glued(word)) {
            found.push(token.to_owned());
        }
        if does_not_fit(before, token, word, lang) {
            found.push(format!("{before} {token}"));
        }
        before = token;
    }
    found
}

fn is_foreign(word: &str, lang: &str) -> bool {
    let foreign = if lang == "fr" { ENGLISH } else { FRENCH };
    let parts = word.split(|c: char| !c.is_alphanumeric() && !matches!(c, '-' | '_'));
    // "l’heure" is two words.
    parts.map(str::to_lowercase).any(|part| foreign.split_whitespace().any(|word| word == part))
}

/// Whether a word is the name of a variant, a field, a placeholder or a missing value. People copy fields of the payload, ids,
/// secrets, and the operator's setting.
fn is_of_a_program(token: &str, word: &str) -> bool {
    let is_copied = word.ends_with("_url")
        || word.contains("token_file")
        || ["ep_", "dlv_", "msg_", "evt_", "whsec_"].iter().any(|start| word.starts_with(start));
    let mut letters = word.chars().skip(1);
    let is_camel = word.starts_with(|c: char| c.is_ascii_uppercase())
        && word.chars().all(|c| c.is_ascii_alphabetic())
        && word.chars().nth(1).is_some_and(|c| c.is_ascii_lowercase())
        && letters.any(|c| c.is_ascii_uppercase());
    word.contains('_') && !is_copied
        || is_camel && !NAMES.contains(&word)
        || ["{}", "Some(", "Ok(", "Err("].iter().any(|mark| token.contains(mark))
        || ["None", "undefined", "NaN", "null", "true", "false"].contains(&word)
}

/// Whether a number and the word after it have no space between them, as in `1day`.
fn is_glued(word: &str) -> bool {
    let letters = word.trim_start_matches(|c: char| c.is_ascii_digit());
    letters.len() < word.len() && letters.len() > 2 && letters.chars().all(char::is_alphabetic)
}

/// Whether a number and the word after it do not go together: `1 attempts`, `2 attempt`, `0 s`.
fn does_not_fit(number: &str, token: &str, word: &str, lang: &str) -> bool {
    const SAME: [&str; 8] = ["s", "ms", "is", "was", "succès", "fois", "dans", "sous"];
    let number = number.trim_start_matches(['(', '“', '«']);
    let Ok(count) = number.replace([',', '\u{a0}', '\u{202f}'], "").parse::<f64>() else { return false };
    let is_singular = count == 1.0 || count == 0.0 && lang == "fr";
    let singular = SINGULAR[usize::from(lang == "fr")].split_whitespace();
    let is_plural = word.ends_with('s') && word.chars().all(char::is_alphabetic) && !SAME.contains(&word);
    is_singular && is_plural && token.starts_with(char::is_lowercase)
        || !is_singular && singular.into_iter().any(|noun| noun == word)
        || count == 0.0 && ["s", "second", "seconds", "seconde", "secondes"].contains(&word)
}

/// The words that a person reads: without code, names and texts that are marked as another language's.
fn words(page: &str, lang: &str) -> String {
    let title = page.split_once("<title>").map_or("", |(_, rest)| rest.split("</title>").next().unwrap());
    let body = page.split_once("<body").expect("a page").1;
    let mut text = title.to_owned();
    let mut hidden: Option<(String, usize)> = None;
    for part in format!("<body{body}").split('<').skip(1) {
        let (tag, rest) = part.split_once('>').unwrap_or((part, ""));
        let name = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap_or_default().to_owned();
        if let Some((of, depth)) = hidden.take() {
            let depth = match (of == name, tag.starts_with('/')) {
                (true, true) => depth - 1,
                (true, false) => depth + 1,
                (false, _) => depth,
            };
            if depth > 0 {
                hidden = Some((of, depth));
                continue;
            }
        } else if is_hidden(&name, tag, lang) {
            hidden = Some((name, 1));
            continue;
        }
        for attribute in READ {
            if let Some((_, value)) = tag.split_once(&format!(" {attribute}=\"")) {
                text.extend(["\n", value.split('"').next().unwrap_or_default(), "\n"]);
            }
        }
        text.push('\n');
        text.push_str(rest);
    }
    text
}

/// Whether an element holds code, a name, or a text in another language.
fn is_hidden(name: &str, tag: &str, lang: &str) -> bool {
    let marked = [" class=\"mono", " class=\"quiet mono"].iter().any(|mark| tag.contains(mark));
    let other = if lang == "fr" { " lang=\"en\"" } else { " lang=\"fr\"" };
    !tag.starts_with('/') && (marked || tag.contains(other) || matches!(name, "pre" | "code" | "script"))
}

#[test]
fn what_no_page_should_say_is_seen() {
    let odd = |text: &str, lang| odd_in(&format!("<title>t</title><body>{text}"), lang);
    for (text, lang) in [
        ("delivered after 0 s", "en"),
        ("1day ago", "en"),
        ("<p>1 attempts</p>", "en"),
        ("3 attempt", "en"),
        ("<b title=\"2 hour ago\">x</b>", "en"),
        ("pas encore", "en"),
        ("NotFetched", "en"),
        ("not_fetched", "en"),
        ("Some(3)", "en"),
        ("{} left", "en"),
        ("1 tentatives", "fr"),
        ("0 réussies", "fr"),
        ("2 réussie", "fr"),
        ("il y a 0 seconde", "fr"),
        ("Transcription fetched", "fr"),
        ("<p data-label=\"the state\">x</p>", "fr"),
    ] {
        assert_eq!(odd(text, lang).len(), 1, "{text}: {:?}", odd(text, lang));
    }
    for (text, lang) in [
        ("1 attempt, 0 succeeded; 12 ms, 1.5 s, 24 hours", "en"),
        ("<a lang=\"fr\">pas avec</a> <code>not_fetched</code> recording_url JavaScript", "en"),
        ("0 tentative, 1 réussie, 2 réussies, 1 fois, 0,4 s", "fr"),
        ("<pre>the</pre> <span class=\"mono\">is</span>", "fr"),
    ] {
        assert_eq!(odd(text, lang), [""; 0], "{text}");
    }
}
