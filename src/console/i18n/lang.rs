//! The languages of the pages.

use super::messages::{EN, FR, Messages};

/// A language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lang {
    En,
    Fr,
}

impl Lang {
    const ALL: [Self; 2] = [Self::En, Self::Fr];

    pub(crate) fn all(self) -> [Self; 2] {
        Self::ALL
    }

    /// The language's tag (RFC 5646).
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Fr => "fr",
        }
    }

    /// The language's name in the language itself.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::En => "English",
            Self::Fr => "Français",
        }
    }

    /// The colon, with the space that French has before it.
    pub(crate) fn colon(self) -> &'static str {
        match self {
            Self::En => ":",
            Self::Fr => " :",
        }
    }

    pub(crate) fn messages(self) -> &'static Messages {
        match self {
            Self::En => &EN,
            Self::Fr => &FR,
        }
    }

    /// Whether a number of things is said in the singular. In French, zero is.
    pub(crate) fn is_singular(self, count: u64) -> bool {
        count == 1 || count == 0 && self == Self::Fr
    }

    /// A message in singular or plural.
    pub(crate) fn counted(self, count: u64, one: &str, many: &str) -> String {
        self.messages().fill(if self.is_singular(count) { one } else { many }, count)
    }

    pub(crate) fn of_tag(tag: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lang| lang.tag() == tag)
    }

    /// The language that a browser prefers (RFC 9110 §12.5.4); English if it accepts none of these.
    pub(crate) fn of_accept_language(field: &str) -> Self {
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
}
