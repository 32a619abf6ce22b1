//! The words of the player: its controls, its keys, and the search in the transcript.

use super::words::words;

words! {
    /// The words of the player.
    PlayerWords in player_words;

    back: "Back 10 s", "Reculer de 10 s";
    forward: "Forward 10 s", "Avancer de 10 s";
    speed: "Speed", "Vitesse";
    copy_moment: "Copy a link to this moment", "Copier un lien vers ce moment";
    /// What is said when the recording does not load.
    unheard: "The browser could not load the recording. Reload this page. If it still does not play, open the recording by the link below: what opens says why.", "Le navigateur n’a pas pu charger l’enregistrement. Rechargez cette page. S’il ne se lit toujours pas, ouvrez l’enregistrement par le lien ci-dessous : ce qui s’ouvre dit pourquoi.";
    /// What is said where the link cannot be copied.
    moment_in_address: "The address of this page leads to this moment now.", "L’adresse de cette page mène maintenant à ce moment.";
    keys: "Keyboard", "Clavier";
    keys_on: "Use these keys on this page", "Utiliser ces touches sur cette page";
    space: "Space", "Espace";
    key_play: "Play or pause", "Lire ou mettre en pause";
    key_jump: "Back or forward 10 s", "Reculer ou avancer de 10 s";
    key_speed: "Slower or faster", "Ralentir ou accélérer";
    search: "Search in the transcript", "Rechercher dans la transcription";
    nothing_found: "Nothing found", "Rien trouvé";
    previous: "Previous match", "Occurrence précédente";
    next: "Next match", "Occurrence suivante";
}
