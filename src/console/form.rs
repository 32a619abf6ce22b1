//! Parses query strings and form bodies.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use hyper::body::Incoming;
use sha2::{Digest, Sha256};

use super::error::PageError;
use crate::server::{BodyError, Client};

/// The largest form body in bytes: enough for a URL and a description.
const MAX_BODY: usize = 16 * 1024;

/// The most fields to parse.
const MAX_FIELDS: usize = 64;

/// The fields that carry a secret. A page never repeats them.
const SECRETS: [&str; 4] = ["token", "pass", "header_value", "basic_password"];

/// The names and values of a form. A name that occurs twice has no value, because either value may be the intended one.
#[derive(Debug, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn parse(bytes: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(bytes).take(MAX_FIELDS).map(|(a, b)| (a.into(), b.into())).collect())
    }

    /// The value of a field, trimmed; empty if the field is missing.
    pub(super) fn get(&self, name: &str) -> &str {
        let mut values = self.0.iter().filter(|(found, _)| found == name).map(|(_, value)| value.trim());
        match (values.next(), values.next()) {
            (Some(value), None) => value,
            _ => "",
        }
    }

    /// All values of a field that may be given several times.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.trim())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        !self.get(name).is_empty()
    }

    /// What a person typed or chose: the fields with a value, without secrets.
    pub(super) fn typed(&self) -> impl Iterator<Item = (&str, &str)> {
        let fields = self.0.iter().map(|(name, value)| (name.as_str(), value.trim()));
        fields.filter(|(name, value)| *name != "csrf" && !SECRETS.contains(name) && !value.is_empty())
    }

    pub(super) fn has_secrets(&self) -> bool {
        SECRETS.iter().any(|name| self.has(name))
    }

    /// Whether the form has a field of this name, empty or not.
    pub(super) fn includes(&self, name: &str) -> bool {
        self.0.iter().any(|(found, _)| found == name)
    }

    /// An id of a form that is sent to this path, with these values.
    pub(super) fn id(&self, path: &str) -> String {
        let mut hash = Sha256::new();
        for part in
            std::iter::once(path).chain(self.0.iter().flat_map(|(name, value)| [name.as_str(), value]))
        {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        format!("form_{}", hex::encode(hash.finalize()))
    }

    /// These fields as a query string, without empty values.
    pub(super) fn query(&self, names: &[&str]) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for name in names.iter().filter(|name| self.has(name)) {
            query.append_pair(name, self.get(name));
        }
        query.finish()
    }
}

/// The request body with a form, if there is one, and the client that sends it.
pub(super) struct PostedBody<'p> {
    pub(super) body: Option<Incoming>,
    pub(super) client: &'p Client,
}

/// Reads the posted form.
pub(super) async fn read(
    headers: &HeaderMap,
    PostedBody { body, client }: PostedBody<'_>,
) -> Result<Form, PageError> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(PageError::BadForm);
    }
    let body = body.ok_or(PageError::BadForm)?;
    let bytes = client.read_body(body, MAX_BODY).await.map_err(|error| match error {
        BodyError::TooSlow => PageError::FormTooSlow,
        BodyError::TooLarge | BodyError::Broken => PageError::BadForm,
    })?;
    Ok(Form::parse(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_password_field_of_a_page_is_a_secret_that_is_not_repeated() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/console/templates");
        let mut passwords = Vec::new();
        for file in std::fs::read_dir(folder).unwrap() {
            let template = std::fs::read_to_string(file.unwrap().path()).unwrap();
            for field in template.split("<input ").filter(|field| field.contains("type=\"password\"")) {
                let name = field.split_once("name=\"").unwrap().1.split('"').next().unwrap();
                passwords.push(name.to_owned());
            }
        }
        assert!(
            passwords.len() >= 3 && passwords.iter().all(|name| SECRETS.contains(&name.as_str())),
            "{passwords:?}"
        );
        let form =
            Form::parse(b"csrf=c&url=https://a.example&header_name=X&header_value=v&description=&pause=");
        let typed: Vec<_> = form.typed().collect();
        assert_eq!(typed, [("url", "https://a.example"), ("header_name", "X")]);
        assert!(form.has_secrets());
    }

    #[test]
    fn a_repeated_field_has_no_value() {
        let form = Form::parse(b"a=1&b=2&b=3&c=%20x%26+&d");
        assert_eq!((form.get("a"), form.get("b"), form.get("c"), form.get("d")), ("1", "", "x&", ""));
        assert_eq!(form.query(&["c", "b", "a", "z"]), "c=x%26&a=1");
    }

    #[test]
    fn the_id_of_a_form_is_that_of_its_path_and_of_all_its_values() {
        let id = |path: &str, body: &str| Form::parse(body.as_bytes()).id(path);
        assert_eq!(id("/a", "x=1&y=2"), id("/a", "x=1&y=2"));
        for (path, body) in [
            ("/b", "x=1&y=2"),
            ("/a", "x=1&y=3"),
            ("/a", "x=1"),
            ("/a", "x=1y=2"),
            ("/a", "y=2&x=1"),
            ("/", "ax=1&y=2"),
        ] {
            assert_ne!(id("/a", "x=1&y=2"), id(path, body), "{path} {body}");
        }
    }
}
