//! The sources of settings: a file and the environment. Only this file reads the environment.

use std::path::PathBuf;

use super::layers::Layers;
use super::setting::SettingError;

/// The sources of settings.
#[derive(Debug, Clone)]
pub struct Sources {
    file: Option<PathBuf>,
    pub(super) environment: Vec<(String, String)>,
    /// The names of variables whose values are not UTF-8.
    pub(super) undecodable: Vec<String>,
}

impl Sources {
    /// The process's environment, and `file` if given.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
    pub fn of_process(file: Option<PathBuf>) -> Self {
        let mut sources = Self::of(file, Vec::new());
        for (name, value) in std::env::vars_os() {
            // The program has no variable with such a name.
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => sources.environment.push((name, value)),
                Err(_) => sources.undecodable.push(name),
            }
        }
        sources
    }

    /// Uses these variables instead of the process's environment.
    #[must_use]
    pub fn of(file: Option<PathBuf>, environment: Vec<(String, String)>) -> Self {
        Self { file, environment, undecodable: Vec::new() }
    }

    /// Sets one variable, as a command-line flag does.
    #[must_use]
    pub fn with(mut self, name: &str, value: String) -> Self {
        self.environment.retain(|(other, _)| other != name);
        self.undecodable.retain(|other| other != name);
        self.environment.push((name.to_owned(), value));
        self
    }

    /// The user who runs the program, also through sudo, for the audit trail.
    #[cfg(feature = "sender")]
    #[must_use]
    pub fn user(&self) -> Option<String> {
        let named =
            |wanted: &str| self.environment.iter().find(|(name, value)| name == wanted && !value.is_empty());
        let found = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(named);
        found.map(|(_, user)| user.clone())
    }

    pub(super) fn layers(&self) -> Result<Layers, SettingError> {
        Layers::new(self.file.as_deref(), &self.environment, &self.undecodable)
    }
}
