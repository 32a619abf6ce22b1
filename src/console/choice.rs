//! The options of a `<select>`.

/// An option of a `<select>`.
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) word: String,
    pub(super) chosen: bool,
}

impl Choice {
    /// Options of values and words.
    pub(super) fn list(choices: &[(&str, &str)], chosen: &str) -> Vec<Self> {
        let choice = |(value, word): &(&str, &str)| Self {
            value: (*value).to_owned(),
            word: (*word).to_owned(),
            chosen: *value == chosen,
        };
        choices.iter().map(choice).collect()
    }
}
