//! The messages of the pages in each language. A language that lacks a message does not compile.

mod en;
mod fr;
mod fr_diagnosis;

use std::fmt;

use crate::webhook::UrlError;

/// A language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lang {
    En,
    Fr,
}

impl Lang {
    const ALL: [Self; 2] = [Self::En, Self::Fr];

    pub(super) fn all(self) -> [Self; 2] {
        Self::ALL
    }

    /// Its tag (RFC 5646).
    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Fr => "fr",
        }
    }

    /// Its name in the language itself.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::En => "English",
            Self::Fr => "Français",
        }
    }

    pub(super) fn messages(self) -> &'static Messages {
        match self {
            Self::En => &en::EN,
            Self::Fr => &fr::FR,
        }
    }

    pub(super) fn of_tag(tag: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lang| lang.tag() == tag)
    }

    /// The language that a browser prefers (RFC 9110 §12.5.4); English if it names none of these.
    pub(super) fn of_accept_language(field: &str) -> Self {
        let mut best = (0.0, Self::En);
        for range in field.split(',') {
            let (tag, weight) = range.split_once(';').unwrap_or((range, ""));
            let weight: f32 = match weight.trim().strip_prefix("q=") {
                Some(weight) => weight.trim().parse().unwrap_or(0.0),
                None => 1.0,
            };
            let primary = tag.trim().split('-').next().unwrap_or_default().to_ascii_lowercase();
            if let Some(lang) = Self::of_tag(&primary).filter(|_| weight > best.0) {
                best = (weight, lang);
            }
        }
        best.1
    }
}

macro_rules! messages {
    ($($name:ident,)* ; $($list:ident,)*) => {
        /// Every message.
        pub(in crate::console) struct Messages {
            $(pub(in crate::console) $name: &'static str,)*
            $(pub(in crate::console) $list: &'static [&'static str],)*
        }

        #[cfg(test)]
        impl Messages {
            fn all(&self) -> Vec<(&'static str, String)> {
                vec![$((stringify!($name), self.$name.to_owned()),)* $((stringify!($list), self.$list.join("\n")),)*]
            }
        }
    };
}

messages! {
    accepted, active, add_webhook, added, all_webhooks, answer, any_status, any_time,
    arrived, as_curl, attempt, attempts, bad_description, bad_form, bad_form_text, began,
    both_valid_until, broken, broken_text, call, call_id, cancel, clear, come_by_link,
    come_by_link_text, copied, copy, decimal_mark, delivered, deliveries, description, description_hint,
    disabled, disabled_text, done_added, done_added_text, done_changed, done_no_webhook, done_paused, done_removed,
    done_resent, done_resumed, done_rotated, done_taken_back, done_under_way, earlier, earlier_attempts, enter,
    enter_once, enter_operator, enter_workspace, failed, failed_again, failed_within, failing, failing_since,
    fetched, follow, from, from_to, given_up, go_on, held_next, held_since, held_text, held_until, hide,
    hide_links, howto, is_failing, language, last_day, last_hour, last_week, later,
    link_expired, link_invalid, link_refused, link_used, links_expired, links_hidden, links_live_until, listen,
    long_tail, navigation, newest, next, next_attempt, no_answer, no_attempts, no_deliveries,
    no_deliveries_text, no_deliveries_yet, no_payload, no_recording, no_transcript, no_webhooks, no_webhooks_text, no_workspaces,
    no_workspaces_text, not_allowed, not_allowed_text, not_fetched, not_found, not_found_text, not_ours, not_ours_text,
    note, nothing_found, nothing_found_text, nothing_to_recover, older, on_hold, on_their_way, open, open_recording,
    open_transcript, open_workspace, optional, own_code, own_server, payload_cut, pages, pause,
    paused, paused_text, payload, previous_secret, product, queued, range_below, raw,
    receivers_answer, recording, recover, recover_now, recover_text, recovered, recovering, remove,
    remove_text, removed_webhook, resend, resume, retrying, rotate, rotate_now, rotate_text,
    save, save_anyway, save_changes, search, secret, secret_shown_text, secret_text, see_failed,
    send_test, sending, settings, show_all, show_links, show_secret, sign_in, sign_in_as_operator,
    sign_out, signed_out, signed_out_text, since, skip, speaker, status, test_event,
    time, to, token, token_hint, token_wrong, too_late, too_many_pages_text, too_many_secrets,
    too_many_tests, transcript, transcript_unavailable,
    transcript_unread, unavailable, unavailable_text, undo, updated, url, url_hint, url_reachable,
    url_well_formed, waiting, webhook, webhook_many, webhook_one, webhooks, webhooks_text, what_to_do,
    when, workspace, workspaces, wrong_call, wrong_order, wrong_range, wrong_time, your_secret,
    your_time, zapier_code,
    ;
    zapier_steps, n8n_steps, make_steps, own_steps,
}

impl Messages {
    /// A message with its placeholder filled.
    pub(super) fn fill(&self, text: &str, with: impl fmt::Display) -> String {
        text.replacen("{}", &with.to_string(), 1)
    }

    /// A message about one thing or several.
    pub(super) fn counted(&self, count: u64, one: &str, many: &str) -> String {
        self.fill(if count == 1 { one } else { many }, count)
    }
}

/// What happened, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) summary: String,
    pub(super) advice: Option<String>,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary)?;
        self.advice.as_ref().map_or(Ok(()), |advice| write!(f, " {advice}"))
    }
}

/// A diagnosis in a language. The ledger keeps the English one; in French the code chooses the words, and what the
/// receiver said is quoted from the English.
pub(super) fn diagnosis_in(lang: Lang, code: &str, summary: &str, advice: Option<&str>) -> Said {
    let english = || Said { summary: summary.to_owned(), advice: advice.map(str::to_owned) };
    match lang {
        Lang::En => english(),
        Lang::Fr => fr_diagnosis::diagnosis(code, summary).unwrap_or_else(english),
    }
}

/// Why a URL is refused, in a language: a sentence.
pub(super) fn url_error_in(lang: Lang, error: &UrlError) -> String {
    let text = match lang {
        Lang::En => error.to_string(),
        Lang::Fr => fr_diagnosis::url_error(error),
    };
    let mut letters = text.chars();
    // A scheme or an address keeps its spelling at the start of a sentence.
    let is_word = text.starts_with("the ") || text.starts_with("this ") || lang == Lang::Fr;
    let first = letters
        .next()
        .map(|first| if is_word { first.to_uppercase().to_string() } else { first.to_string() });
    format!("{}{}.", first.unwrap_or_default(), letters.as_str().trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_language_chooses_the_language() {
        for (field, lang) in [
            ("", Lang::En),
            ("fr", Lang::Fr),
            ("fr-CA,fr;q=0.9,en;q=0.8", Lang::Fr),
            ("en-GB,en;q=0.9,fr;q=0.8", Lang::En),
            ("de, fr;q=0.5", Lang::Fr),
            ("fr;q=0", Lang::En),
            ("en;q=0.3, fr;q=0.7", Lang::Fr),
            ("x;q=nonsense, ;;q,", Lang::En),
        ] {
            assert_eq!(Lang::of_accept_language(field), lang, "{field}");
        }
    }

    #[test]
    fn every_message_has_both_languages_and_the_same_placeholders() {
        let placeholders = |text: &str| text.matches("{}").count();
        for ((name, english), (_, french)) in
            Lang::En.messages().all().into_iter().zip(Lang::Fr.messages().all())
        {
            assert!(!english.trim().is_empty() && !french.trim().is_empty(), "{name}");
            assert_eq!(placeholders(&english), placeholders(&french), "{name}");
            // A sentence that was forgotten stands in both languages.
            assert!(english != french || english.split(' ').count() < 3, "{name}: {english}");
        }
    }
}
