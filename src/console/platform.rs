//! The products that receive webhooks: how each is recognised, and how it names a field of the body.

use crate::webhook::EndpointUrl;

/// The product behind a receiver's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Platform {
    Zapier,
    N8n,
    Make,
    Own,
    Other,
}

impl Platform {
    pub(super) const ALL: [Self; 5] = [Self::Zapier, Self::N8n, Self::Make, Self::Own, Self::Other];

    /// The platform of a URL. Any server that is none of the known ones is a program of the person.
    pub(super) fn of(url: &EndpointUrl) -> Self {
        let (host, path) = (url.host(), url.path());
        if host == "hooks.zapier.com" {
            Self::Zapier
        } else if host.starts_with("hook.")
            && (host.ends_with(".make.com") || host.ends_with(".integromat.com"))
        {
            Self::Make
        } else if host.contains("n8n") || path.starts_with("/webhook/") || path.starts_with("/webhook-test/")
        {
            Self::N8n
        } else {
            Self::Own
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|platform| platform.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Zapier => "zapier",
            Self::N8n => "n8n",
            Self::Make => "make",
            Self::Own => "own",
            Self::Other => "other",
        }
    }

    /// A field of the body, as a person writes or finds it in this product.
    pub(super) fn field(self, path: &str) -> String {
        match self {
            Self::Zapier => path.replace('.', "__"),
            Self::N8n => format!("{{{{ $json.body.{path} }}}}"),
            Self::Make => format!("{{{{1.{path}}}}}"),
            Self::Own | Self::Other => path.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_platform_names_a_field_in_its_way() {
        let named = Platform::ALL.map(|platform| platform.field("call.id"));
        assert_eq!(named, ["call__id", "{{ $json.body.call.id }}", "{{1.call.id}}", "call.id", "call.id"]);
        for platform in Platform::ALL {
            assert_eq!(Platform::named(platform.name()), Some(platform));
        }
        assert_eq!(Platform::named(""), None);
    }
}
