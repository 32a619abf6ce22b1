//! The words for a call: its status, its direction, and its assets.

use super::lang::Lang;
use crate::asset::AssetKind;
use crate::webhook::{CallStatus, Direction};

/// How a call ended.
pub(crate) fn status_label(lang: Lang, status: CallStatus) -> &'static str {
    let (english, french) = match status {
        CallStatus::Connected => ("Connected", "Abouti"),
        CallStatus::NoAnswer => ("No answer", "Sans réponse"),
        CallStatus::Busy => ("Busy", "Occupé"),
        CallStatus::Voicemail => ("Voicemail", "Répondeur"),
        CallStatus::LeftVoicemail => ("Left a voicemail", "Message laissé"),
        CallStatus::Missed => ("Missed", "Manqué"),
        CallStatus::Failed => ("Failed", "Échoué"),
        CallStatus::Canceled => ("Canceled", "Annulé"),
    };
    if lang == Lang::Fr { french } else { english }
}

/// Who called whom.
pub(crate) fn direction_label(lang: Lang, direction: Direction) -> &'static str {
    let (english, french) = match direction {
        Direction::Incoming => ("Incoming", "Entrant"),
        Direction::Outgoing => ("Outgoing", "Sortant"),
    };
    if lang == Lang::Fr { french } else { english }
}

/// Whether the receiver has downloaded an asset.
pub(crate) fn fetched_label(lang: Lang, kind: AssetKind, fetched: bool) -> &'static str {
    match (lang, kind, fetched) {
        (Lang::En, _, true) => "fetched",
        (Lang::En, _, false) => "not fetched yet",
        (Lang::Fr, AssetKind::Recording, true) => "téléchargé",
        (Lang::Fr, AssetKind::Recording, false) => "pas encore téléchargé",
        (Lang::Fr, AssetKind::Transcript, true) => "téléchargée",
        (Lang::Fr, AssetKind::Transcript, false) => "pas encore téléchargée",
    }
}
