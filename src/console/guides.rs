//! The instructions for receivers: for each platform its steps and its code.

use super::context::RequestContext;
use super::i18n::OnboardingWords;
use super::platform::Platform;
use super::receiver_code::{LANGUAGES, Language, zapier_code};

/// The instructions for one platform.
pub(super) struct Guide {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) steps: &'static [&'static str],
    pub(super) open: bool,
    pub(super) code: Option<Code>,
}

/// Code to copy, and what belongs to it.
pub(super) struct Code {
    pub(super) id: String,
    pub(super) intro: &'static str,
    /// Whether it is unfolded: the person asked for a language or for the secret.
    pub(super) open: bool,
    /// The languages, by their label and address; `None` is the one that is shown.
    pub(super) languages: Vec<(&'static str, Option<String>)>,
    pub(super) text: &'static str,
    /// What to do with the secret.
    pub(super) setup: String,
}

impl RequestContext<'_> {
    /// The instructions for all platforms, first for the chosen one. `path` is that of the page; the secret is a placeholder
    /// unless the page shows it.
    pub(super) fn guides(&self, chosen: Option<Platform>, path: &str, secret: &str) -> Vec<Guide> {
        let others = Platform::ALL.into_iter().filter(|platform| Some(*platform) != chosen);
        let others = others.filter(|platform| *platform != Platform::Other);
        chosen.into_iter().chain(others).map(|platform| self.guide(platform, chosen, path, secret)).collect()
    }

    fn guide(&self, platform: Platform, chosen: Option<Platform>, path: &str, secret: &str) -> Guide {
        let (t, words) = (self.lang.messages(), self.onboarding_words());
        let (label, steps, code) = match platform {
            Platform::Zapier => ("Zapier", t.zapier_steps, Some(zapier_setup(words, secret))),
            Platform::N8n => ("n8n", t.n8n_steps, None),
            Platform::Make => ("Make", t.make_steps, None),
            Platform::Own => (words.own, t.own_steps, Some(self.receiver_code(path, secret))),
            Platform::Other => (words.other, words.other_steps, None),
        };
        Guide { name: platform.name(), label, steps, open: chosen == Some(platform), code }
    }

    /// A whole receiver in the chosen language, with links to the others.
    fn receiver_code(&self, path: &str, secret: &str) -> Code {
        let language = Language::named(self.query.get("language"));
        let shown = self.query.query(&["shown"]);
        let joint = if shown.is_empty() { "" } else { "&" };
        let address = |name: &str| format!("{path}?{shown}{joint}platform=own&language={name}#own");
        let link = |other: &Language| (other.name != language.name).then(|| address(other.name));
        Code {
            id: "own-code".to_owned(),
            intro: self.onboarding_words().own_code,
            open: self.query.has("language") || !shown.is_empty(),
            languages: LANGUAGES.iter().map(|other| (other.label, link(other))).collect(),
            text: language.code(),
            setup: language.run_with(secret),
        }
    }
}

fn zapier_setup(words: &OnboardingWords, secret: &str) -> Code {
    Code {
        id: "zapier-code".to_owned(),
        intro: words.zapier_code,
        open: true,
        languages: Vec::new(),
        text: zapier_code(),
        setup: format!("secret: {secret}"),
    }
}
