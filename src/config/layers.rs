//! Merges the layers of settings: defaults, file, environment. (`figment` and `config` also merge, but their errors
//! come from serde, which does not say which values a setting accepts.)

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use strsim::levenshtein;
use toml::{Table, Value};

use super::setting::{Origin, PREFIX, Setting, SettingError, variable, without_credentials};

/// The defaults, in the form that `webhook-assets config` prints and `serve --config` reads.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// The prefix of the keys that set options of the store's client.
const OPTIONS: &str = "store.options.";

/// What stands in the names of options that hold credentials, such as `aws_secret_access_key`.
const SECRET_OPTIONS: [&str; 5] = ["key", "secret", "token", "password", "credential"];

/// The parts that a build may omit: the prefix of their settings, their name, their feature, and whether this build has
/// them.
const PARTS: [(&str, &str, &str, bool); 3] = [
    ("webhooks.", "sender", "sender", cfg!(feature = "sender")),
    ("alerts.", "sender", "sender", cfg!(feature = "sender")),
    ("console.", "settings page", "console", cfg!(feature = "console")),
];

/// The text of a setting (several texts for a list) and its origin.
struct RawValue {
    texts: Vec<String>,
    quoted: bool,
    origin: Origin,
}

/// The merged settings.
pub(super) struct Layers {
    given: BTreeMap<String, RawValue>,
    warnings: Vec<String>,
}

impl Layers {
    pub(super) fn new(
        file: Option<&Path>,
        environment: &[(String, String)],
        undecodable: &[String],
    ) -> Result<Self, SettingError> {
        let mut given = BTreeMap::new();
        flatten("", &parse(DEFAULTS, Path::new("defaults.toml"))?, &Origin::Default, &mut given);
        let defaults = settings(&given);
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .map_err(|error| SettingError::Unreadable(path.to_owned(), error.to_string()))?;
            let mut found = BTreeMap::new();
            flatten("", &parse(&text, path)?, &Origin::File(path.to_owned()), &mut found);
            for (key, value) in found {
                if !given.contains_key(&key) && !key.starts_with(OPTIONS) {
                    let meant = nearest(&key, given.keys().map(String::as_str)).to_owned();
                    return Err(SettingError::Unknown { key, file: path.to_owned(), meant });
                }
                given.insert(key, value);
            }
        }
        if let Some(name) = undecodable.iter().find(|name| given.keys().any(|key| variable(key) == **name)) {
            return Err(SettingError::NotUtf8 { variable: name.clone() });
        }
        let mut layers = Self { given, warnings: Vec::new() };
        layers.take_environment(environment);
        match not_built(&layers.settings().changed_since(&defaults)) {
            Some(error) => Err(error),
            None => Ok(layers),
        }
    }

    fn take_environment(&mut self, environment: &[(String, String)]) {
        let names: BTreeMap<String, String> =
            self.given.keys().map(|key| (variable(key), key.clone())).collect();
        for (name, value) in environment.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
            match names.get(name) {
                Some(key) => {
                    let origin = Origin::Environment(name.clone());
                    self.given
                        .insert(key.clone(), RawValue { texts: vec![value.clone()], quoted: true, origin });
                }
                None if is_kubernetes(name) => {}
                None => {
                    let meant = nearest(name, names.keys().map(String::as_str));
                    self.warnings.push(format!("the variable {name} is no setting; did you mean {meant}?"));
                }
            }
        }
    }

    /// All settings as written.
    pub(super) fn settings(&self) -> Settings {
        settings(&self.given)
    }

    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The settings file, if it holds credentials: in a URL, or as an option of the store's client.
    pub(super) fn file_with_credentials(&self) -> Option<&Path> {
        let is_secret = |key: &str, text: &String| {
            let option = key.strip_prefix(OPTIONS).unwrap_or_default();
            let has_name_of_secret = SECRET_OPTIONS.iter().any(|word| option.contains(word));
            // The path of the alerts' URL is one: who knows it can post to the chat.
            let is_alerts_url = key == "alerts.url" && !text.is_empty();
            has_name_of_secret || is_alerts_url || without_credentials(text) != *text
        };
        self.given.iter().find_map(|(key, given)| match &given.origin {
            Origin::File(path) if given.texts.iter().any(|text| is_secret(key, text)) => Some(path.as_path()),
            _ => None,
        })
    }

    /// The options of the store's client, from the file.
    pub(super) fn store_options(&self) -> Vec<(String, String)> {
        let options = self.given.iter().filter_map(|(key, given)| Some((key.strip_prefix(OPTIONS)?, given)));
        options.map(|(name, given)| (name.to_owned(), given.texts.join(","))).collect()
    }

    /// Parses a setting that has a default.
    pub(super) fn get<T: Setting>(&self, key: &'static str) -> Result<T, SettingError> {
        let text = self.given.get(key).map(|given| given.texts.join(",")).unwrap_or_default();
        let text = if T::TRIMMED { text.trim() } else { &text };
        T::parse(text).ok_or_else(|| self.refuse_as(key, T::takes(text), T::shown))
    }

    /// Parses a setting that may be empty.
    pub(super) fn optional<T: Setting>(&self, key: &'static str) -> Result<Option<T>, SettingError> {
        let empty =
            self.given.get(key).is_none_or(|given| given.texts.iter().all(|text| text.trim().is_empty()));
        if empty { Ok(None) } else { self.get(key).map(Some) }
    }

    /// Parses a required setting.
    pub(super) fn required<T: Setting>(&self, key: &'static str) -> Result<T, SettingError> {
        self.optional(key)?.ok_or(SettingError::Missing { key, takes: T::TAKES })
    }

    /// The error for an invalid value.
    pub(super) fn refuse(&self, key: &'static str, takes: &'static str) -> SettingError {
        self.refuse_as(key, takes, without_credentials)
    }

    fn refuse_as(
        &self,
        key: &'static str,
        takes: &'static str,
        shown: impl Fn(&str) -> String,
    ) -> SettingError {
        match self.given.get(key) {
            Some(given) => {
                let quote = |text: &String| {
                    let shown = shown(text);
                    if given.quoted { format!("{shown:?}") } else { shown }
                };
                let got = given.texts.iter().map(quote).collect::<Vec<_>>().join(", ");
                SettingError::Bad { key, got, origin: given.origin.clone(), takes }
            }
            None => SettingError::Missing { key, takes },
        }
    }
}

/// All settings as written, for finding changes. `Debug` shows no values, because a value may be a credential.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, Vec<String>>);

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} settings", self.0.len())
    }
}

impl Settings {
    /// The keys whose values differ from `before`.
    #[must_use]
    pub fn changed_since(&self, before: &Self) -> Vec<String> {
        let keys: BTreeSet<&String> = self.0.keys().chain(before.0.keys()).collect();
        keys.into_iter().filter(|key| self.0.get(*key) != before.0.get(*key)).cloned().collect()
    }

    /// Copies the values of these keys from `others`.
    pub fn take_over(&mut self, others: &Self, keys: &[&String]) {
        for key in keys {
            if let Some(value) = others.0.get(*key) {
                self.0.insert((*key).clone(), value.clone());
            }
        }
    }
}

fn settings(given: &BTreeMap<String, RawValue>) -> Settings {
    Settings(given.iter().map(|(key, given)| (key.clone(), given.texts.clone())).collect())
}

/// The error for a changed setting whose part this build omits.
fn not_built(changed: &[String]) -> Option<SettingError> {
    changed.iter().find_map(|key| {
        let (_, part, feature, _) =
            PARTS.iter().find(|(prefix, .., is_built)| !is_built && key.starts_with(prefix))?;
        Some(SettingError::NotBuilt { key: key.clone(), part, feature })
    })
}

fn parse(text: &str, path: &Path) -> Result<Table, SettingError> {
    text.parse().map_err(|error: toml::de::Error| {
        let line = error
            .span()
            .map_or(0, |span| text.get(..span.start).unwrap_or_default().matches('\n').count() + 1);
        SettingError::NotToml(path.to_owned(), format!("line {line}: {}", error.message().replace('\n', " ")))
    })
}

/// Flattens tables: `[store] url = …` becomes `store.url`.
fn flatten(prefix: &str, table: &Table, origin: &Origin, into: &mut BTreeMap<String, RawValue>) {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        let (texts, quoted) = match value {
            Value::Table(inner) => {
                flatten(&format!("{key}."), inner, origin, into);
                continue;
            }
            Value::String(text) => (vec![text.clone()], true),
            Value::Array(items) => (items.iter().map(text_of).collect(), true),
            other => (vec![text_of(other)], false),
        };
        into.insert(key, RawValue { texts, quoted, origin: origin.clone() });
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Whether Kubernetes sets this variable: it sets variables for each service in every container, and those of a service
/// named `webhook-assets` have our prefix.
fn is_kubernetes(name: &str) -> bool {
    let rest = name.strip_prefix(PREFIX).unwrap_or_default();
    rest.starts_with("SERVICE_") || rest == "PORT" || rest.starts_with("PORT_")
}

/// The candidate most similar to `word`.
fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> &'c str {
    candidates.min_by_key(|candidate| levenshtein(word, candidate)).unwrap_or_default()
}
