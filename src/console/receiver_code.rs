//! Code for receivers, as the documents have it: the tests of the documents run it.

const PAGE: &str = include_str!("../../docs/receivers.md");
const MORE: &str = include_str!("../../docs/receivers-in-more-languages.md");
const PYTHON: &str = include_str!("../../examples/receiver.py");

/// A language, with a whole receiver in it.
pub(super) struct Language {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    /// How to run it, before and after the secret.
    run: (&'static str, &'static str),
}

impl Language {
    const fn of(name: &'static str, label: &'static str, before: &'static str, after: &'static str) -> Self {
        Self { name, label, run: (before, after) }
    }

    /// The language of this name, or the first.
    pub(super) fn named(name: &str) -> &'static Self {
        let [first, ..] = &LANGUAGES;
        LANGUAGES.iter().find(|language| language.name == name).unwrap_or(first)
    }

    /// The commands that run the receiver with this secret.
    pub(super) fn run_with(&self, secret: &str) -> String {
        let (before, after) = self.run;
        format!("{before}WEBHOOK_SECRET='{secret}' {after}")
    }

    pub(super) fn code(&self) -> &'static str {
        match self.name {
            "python" => PYTHON.trim_end(),
            "php" => snippet(PAGE, "webhook.php"),
            "go" => snippet(MORE, "receiver.go"),
            "ruby" => snippet(MORE, "config.ru"),
            "java" => snippet(MORE, "Receiver.java"),
            "csharp" => snippet(MORE, "Receiver.cs"),
            _ => snippet(PAGE, "server.mjs"),
        }
    }
}

pub(super) static LANGUAGES: [Language; 7] = [
    Language::of("node", "Node.js", "", "PORT=3000 node server.mjs"),
    Language::of("python", "Python", "", "python3 receiver.py 3000 calls"),
    Language::of("php", "PHP", "", "php -S 127.0.0.1:3000 webhook.php"),
    Language::of("go", "Go", "", "PORT=3000 go run receiver.go"),
    Language::of("ruby", "Ruby", "gem install rack puma\n", "puma --port 3000 config.ru"),
    Language::of("java", "Java", "", "PORT=3000 java Receiver.java"),
    Language::of("csharp", "C#", "mcs Receiver.cs\n", "PORT=3000 mono Receiver.exe"),
];

/// The code step that checks a signature in Zapier.
pub(super) fn zapier_code() -> &'static str {
    snippet(PAGE, "zapier.js")
}

/// The code block that follows the marker of a snippet in a document; empty if there is none.
fn snippet(document: &'static str, name: &str) -> &'static str {
    let marker = format!("<!-- snippet: {name} -->\n");
    let block = document.split_once(&marker).and_then(|(_, rest)| rest.split_once('\n'));
    block.and_then(|(_, rest)| rest.split_once("\n```")).map_or("", |(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_a_receiver_that_checks_signatures() {
        for language in &LANGUAGES {
            let code = language.code().to_lowercase();
            assert!(
                code.contains("x-webhook-signature") || code.contains("x_webhook_signature"),
                "{}",
                language.name
            );
            assert!(code.lines().count() > 15 && !code.contains("```"), "{}", language.name);
            assert!(language.run_with("whsec_x").contains("WEBHOOK_SECRET='whsec_x' "));
        }
        assert!(zapier_code().starts_with("const {"));
    }
}
