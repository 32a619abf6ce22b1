//! The three steps to a first webhook: choose the platform, give its URL, send a test. The address of each page has the chosen
//! platform, so every step works without a script, can be reloaded, and be gone back to.

use super::context::RequestContext;
use super::guides::Guide;
use super::i18n::{OnboardingWords, onboarding_words};
use super::platform::Platform;
use super::route::in_path;
use crate::ledger::{Delivery, DeliveryState, Endpoint};

/// The steps, as a page shows them.
pub(super) struct Steps {
    pub(super) words: &'static OnboardingWords,
    pub(super) steps: Vec<Step>,
}

/// One step: past ones lead back.
pub(super) struct Step {
    pub(super) title: String,
    pub(super) is_current: bool,
    pub(super) is_done: bool,
    pub(super) href: Option<String>,
}

/// A platform to choose.
pub(super) struct Offer {
    pub(super) label: &'static str,
    pub(super) hint: &'static str,
    pub(super) href: String,
    pub(super) is_chosen: bool,
}

/// The last step, on the page of a webhook that was just added.
pub(super) struct TestStep {
    pub(super) steps: Steps,
    pub(super) platform: &'static str,
    pub(super) hint: &'static str,
}

impl RequestContext<'_> {
    pub(super) fn onboarding_words(&self) -> &'static OnboardingWords {
        onboarding_words(self.lang)
    }

    /// The platform that the person chose: in the address, or in the form that leads on.
    pub(super) fn chosen_platform(&self) -> Option<Platform> {
        Platform::named(self.query.get("platform")).or_else(|| Platform::named(self.form.get("platform")))
    }

    /// The query that carries the chosen platform on, behind another field.
    pub(super) fn platform_query(&self, before: &str) -> String {
        self.chosen_platform()
            .map(|platform| format!("{before}platform={}", platform.name()))
            .unwrap_or_default()
    }

    /// The platforms to choose from.
    pub(super) fn offers(&self) -> Vec<Offer> {
        let chosen = self.chosen_platform();
        let offer = |platform: Platform| {
            let (label, hint) = self.words_of(platform);
            let href = self.path(&format!("/webhooks/new?platform={}", platform.name()));
            Offer { label, hint, href, is_chosen: chosen == Some(platform) }
        };
        Platform::ALL.into_iter().map(offer).collect()
    }

    fn words_of(&self, platform: Platform) -> (&'static str, &'static str) {
        let words = self.onboarding_words();
        match platform {
            Platform::Zapier => ("Zapier", words.zapier_hint),
            Platform::N8n => ("n8n", words.n8n_hint),
            Platform::Make => ("Make", words.make_hint),
            Platform::Own => (words.own, words.own_hint),
            Platform::Other => (words.other, words.other_hint),
        }
    }

    /// The steps, of which this one (1 to 3) is at hand, or none (4). Steps before it are done; `webhook` is what they have
    /// added.
    pub(super) fn steps(&self, current: usize, webhook: Option<&str>) -> Steps {
        let words = self.onboarding_words();
        let chosen = self.chosen_platform();
        let first = match chosen {
            Some(platform) => self.lang.messages().fill(words.step_chosen, self.words_of(platform).0),
            None => words.step_platform.to_owned(),
        };
        let choose = self.path("/webhooks/new");
        let added = webhook.map(|id| self.path(&format!("/webhooks/{}", in_path(id))));
        let titles =
            [(first, Some(choose)), (words.step_url.to_owned(), added), (words.step_test.to_owned(), None)];
        let step = |(at, (title, href)): (usize, (String, Option<String>))| Step {
            title,
            is_current: at + 1 == current,
            is_done: at + 1 < current,
            // Another platform would belong to another webhook.
            href: href.filter(|_| at + 1 < current && (at > 0 || webhook.is_none())),
        };
        Steps { words, steps: titles.into_iter().enumerate().map(step).collect() }
    }

    /// The steps on the page of the test, if the person comes from there.
    pub(super) fn steps_to_test(&self, delivery: &Delivery) -> Option<Steps> {
        let current = if delivery.state == DeliveryState::Delivered { 4 } else { 3 };
        self.chosen_platform().map(|_| self.steps(current, Some(&delivery.endpoint)))
    }

    /// The last step, if the person comes from the one before.
    pub(super) fn test_step(&self, id: &str) -> Option<TestStep> {
        let words = self.onboarding_words();
        let platform = self.chosen_platform().filter(|_| self.query.get("done") == "added")?;
        let hint = match platform {
            Platform::Zapier => words.test_zapier,
            Platform::N8n => words.test_n8n,
            Platform::Make => words.test_make,
            Platform::Own | Platform::Other => words.test_own,
        };
        Some(TestStep { steps: self.steps(3, Some(id)), platform: platform.name(), hint })
    }

    /// The platform of a webhook: the chosen one, or that of its URL.
    pub(super) fn platform_of(&self, endpoint: &Endpoint) -> Platform {
        let of_url = || self.sender.url(&endpoint.url).map_or(Platform::Own, |url| Platform::of(&url));
        self.chosen_platform().unwrap_or_else(of_url)
    }

    /// The instructions on the page of a new webhook.
    pub(super) fn guides_of_new(&self) -> Vec<Guide> {
        self.guides(self.chosen_platform(), &self.path("/webhooks/new"), self.lang.messages().your_secret)
    }
}
