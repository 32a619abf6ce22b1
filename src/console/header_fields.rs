//! The form fields of a webhook's headers. A page shows their names, and never a value.

use super::form::Form;
use super::i18n::{Lang, header_error_in};
use crate::webhook::{HeaderChanges, HeaderError};

/// The fields, as a page shows them.
#[derive(Debug, Clone, Default)]
pub(super) struct HeaderFields {
    /// The headers that are set, and whether the form removes them.
    pub(super) set: Vec<(String, bool)>,
    /// The name of the one to add.
    pub(super) name: String,
    /// The user name to add.
    pub(super) user: String,
    /// Why the form's headers are refused.
    pub(super) refused: Option<String>,
}

impl HeaderFields {
    pub(super) fn of(names: &[String]) -> Self {
        Self { set: names.iter().map(|name| (name.clone(), false)).collect(), ..Self::default() }
    }

    /// The fields of a posted form that was refused. Values have to be entered again.
    pub(super) fn posted(form: &Form, names: &[String], refused: Option<String>) -> Self {
        Self {
            set: names.iter().map(|name| (name.clone(), removes(form, name))).collect(),
            name: form.get("header_name").to_owned(),
            user: form.get("basic_user").to_owned(),
            refused,
        }
    }

    /// Whether the page shows them unfolded.
    pub(super) fn is_open(&self) -> bool {
        !self.set.is_empty() || !self.name.is_empty() || !self.user.is_empty() || self.refused.is_some()
    }
}

fn removes(form: &Form, name: &str) -> bool {
    form.get(&format!("remove-{name}")) == "1"
}

/// The changes of a posted form, to an endpoint with these headers; or why they are refused.
pub(super) fn posted(form: &Form, names: &[String], lang: Lang) -> Result<HeaderChanges, String> {
    changes(form, names).map_err(|error| header_error_in(lang, &error))
}

fn changes(form: &Form, names: &[String]) -> Result<HeaderChanges, HeaderError> {
    let mut changes = HeaderChanges::default();
    for name in names.iter().filter(|name| removes(form, name)) {
        changes.remove(name)?;
    }
    if form.has("header_name") || form.has("header_value") {
        changes.set(form.get("header_name"), form.get("header_value"))?;
    }
    if form.has("basic_user") || form.has("basic_password") {
        changes.set_basic(form.get("basic_user"), form.get("basic_password"))?;
    }
    Ok(changes)
}
