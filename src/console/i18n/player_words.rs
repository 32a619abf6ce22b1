//! The words of the player: its controls, its keys, and the search in the transcript.

use super::lang::Lang;

/// The words in one language.
pub(crate) struct PlayerWords {
    pub(crate) back: &'static str,
    pub(crate) forward: &'static str,
    pub(crate) speed: &'static str,
    /// The speeds of the menu, as numbers and in words.
    pub(crate) speeds: [(&'static str, &'static str); 6],
    pub(crate) copy_moment: &'static str,
    /// What is said where the link cannot be copied.
    pub(crate) moment_in_address: &'static str,
    pub(crate) keys: &'static str,
    pub(crate) keys_on: &'static str,
    pub(crate) space: &'static str,
    pub(crate) key_play: &'static str,
    pub(crate) key_jump: &'static str,
    pub(crate) key_speed: &'static str,
    pub(crate) search: &'static str,
    pub(crate) nothing_found: &'static str,
    pub(crate) previous: &'static str,
    pub(crate) next: &'static str,
}

const EN: PlayerWords = PlayerWords {
    back: "Back 10 s",
    forward: "Forward 10 s",
    speed: "Speed",
    speeds: [
        ("0.75", "0.75×"),
        ("1", "1×"),
        ("1.25", "1.25×"),
        ("1.5", "1.5×"),
        ("1.75", "1.75×"),
        ("2", "2×"),
    ],
    copy_moment: "Copy a link to this moment",
    moment_in_address: "The address of this page leads to this moment now.",
    keys: "Keyboard",
    keys_on: "Use these keys on this page",
    space: "Space",
    key_play: "Play or pause",
    key_jump: "Back or forward 10 s",
    key_speed: "Slower or faster",
    search: "Search in the transcript",
    nothing_found: "Nothing found",
    previous: "Previous match",
    next: "Next match",
};

const FR: PlayerWords = PlayerWords {
    back: "Reculer de 10 s",
    forward: "Avancer de 10 s",
    speed: "Vitesse",
    speeds: [
        ("0.75", "0,75×"),
        ("1", "1×"),
        ("1.25", "1,25×"),
        ("1.5", "1,5×"),
        ("1.75", "1,75×"),
        ("2", "2×"),
    ],
    copy_moment: "Copier un lien vers ce moment",
    moment_in_address: "L’adresse de cette page mène maintenant à ce moment.",
    keys: "Clavier",
    keys_on: "Utiliser ces touches sur cette page",
    space: "Espace",
    key_play: "Lire ou mettre en pause",
    key_jump: "Reculer ou avancer de 10 s",
    key_speed: "Ralentir ou accélérer",
    search: "Rechercher dans la transcription",
    nothing_found: "Rien trouvé",
    previous: "Occurrence précédente",
    next: "Occurrence suivante",
};

/// The words in a language.
pub(crate) fn player_words(lang: Lang) -> &'static PlayerWords {
    match lang {
        Lang::En => &EN,
        Lang::Fr => &FR,
    }
}
