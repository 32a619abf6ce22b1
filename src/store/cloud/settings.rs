//! Validates the settings of a store's client, from the cloud's variables and `[store.options]`. Written by hand,
//! because object_store accepts any text and panics on some of it at the first request. No error shows a value, which
//! may be a credential.

use std::str::FromStr;

use http::uri::{Authority, Uri};
use object_store::{Certificate, ClientConfigKey};
use url::Url;

use crate::store::config::Config;
use crate::store::http::connector::flag;
use crate::store::open_error::OpenError;

/// One setting of a client whose keys are `K`.
#[derive(Clone)]
pub(crate) struct ClientSetting<K> {
    /// The name that the user wrote: `AWS_REGION` or `store.options.region`.
    pub(crate) name: String,
    pub(crate) key: K,
    pub(crate) value: String,
}

/// Returns the non-empty settings, trimmed and validated. If two have the same key, the later one counts: variables
/// come before `[store.options]`.
///
/// # Errors
/// An [`OpenError`] names the invalid setting.
pub(crate) fn read<K: FromStr + AsRef<str>>(config: &Config) -> Result<Vec<ClientSetting<K>>, OpenError> {
    let prefix = config.url.variables().unwrap_or_default();
    for (name, kind) in READ_BY_LIBRARIES {
        // A library reads this variable directly, so its value cannot be trimmed here.
        if config.cloud.get(name).is_some_and(|value| !value.is_empty() && !kind.takes(value)) {
            return Err(OpenError::Value(name.to_owned(), kind.words()));
        }
    }
    let outside = OUTSIDE_PREFIXES.into_iter().filter_map(|name| Some((name, config.cloud.get(name)?)));
    let mut variables: Vec<_> = outside.chain(config.cloud.with_prefix(prefix)).collect();
    variables.sort_by_key(|(name, _)| *name == S3_ENDPOINT);
    let mut settings = Vec::new();
    for (name, value) in variables {
        // A variable of another tool is not a setting.
        let Ok(key) = key_of(name) else { continue };
        settings.extend(setting(name.to_owned(), key, value)?);
    }
    for (name, value) in &config.options {
        let key = name.to_ascii_lowercase().parse();
        let key: K = key.map_err(|_| OpenError::Option(name.clone(), config.url.kind()))?;
        settings.extend(setting(format!("store.options.{name}"), key, value)?);
    }
    Ok(settings)
}

/// Variables of Azure and Google without the prefix of their cloud.
const OUTSIDE_PREFIXES: [&str; 2] = ["IDENTITY_ENDPOINT", "SERVICE_ACCOUNT"];

/// The variable of S3's endpoint, which takes precedence over the endpoint of all services.
const S3_ENDPOINT: &str = "AWS_ENDPOINT_URL_S3";

/// Variables that object_store or its HTTP client reads directly.
const READ_BY_LIBRARIES: [(&str, Kind); 10] = [
    ("AZURITE_BLOB_STORAGE_URL", Kind::Base),
    ("GCE_METADATA_HOST", Kind::Host),
    ("GCE_METADATA_ROOT", Kind::Host),
    ("GCE_METADATA_IP", Kind::Host),
    ("HTTP_PROXY", Kind::Proxy),
    ("http_proxy", Kind::Proxy),
    ("HTTPS_PROXY", Kind::Proxy),
    ("https_proxy", Kind::Proxy),
    ("ALL_PROXY", Kind::Proxy),
    ("all_proxy", Kind::Proxy),
];

fn key_of<K: FromStr>(variable: &str) -> Result<K, K::Err> {
    match variable {
        // Both endpoints share a key, so that an option takes precedence.
        S3_ENDPOINT => "endpoint".parse(),
        "IDENTITY_ENDPOINT" => "msi_endpoint".parse(),
        other => other.to_ascii_lowercase().parse(),
    }
}

fn setting<K: AsRef<str>>(name: String, key: K, value: &str) -> Result<Option<ClientSetting<K>>, OpenError> {
    let (kind, value) = (Kind::of(key.as_ref()), value.trim());
    if value.is_empty() || (kind == Kind::Bucket && !name.contains('.')) {
        return Ok(None);
    }
    if !kind.takes(value) {
        return Err(OpenError::Value(name, kind.words()));
    }
    Ok(Some(ClientSetting { name, key, value: value.to_owned() }))
}

impl<K: AsRef<str>> ClientSetting<K> {
    /// The HTTP client's key, if this is a setting of the HTTP client.
    pub(crate) fn of_http(&self) -> Option<ClientConfigKey> {
        self.key.as_ref().parse().ok()
    }

    /// Whether this is an endpoint without TLS.
    pub(crate) fn is_plain_http(&self) -> bool {
        let is_http = self.value.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("http://"));
        is_http && Kind::of(self.key.as_ref()) == Kind::Base
    }
}

/// The form of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A URL that paths are appended to.
    Base,
    /// A whole URL.
    Link,
    /// The path of a URL.
    UrlPath,
    /// Part of a host's name, or of a path.
    Name,
    /// A host, with an optional port.
    Host,
    /// A proxy: a URL or a host, with an optional password.
    Proxy,
    /// One word of a header field.
    Word,
    /// One line.
    Line,
    /// Several lines, or a path: any text.
    Any,
    Pem,
    Flag,
    Duration,
    Number,
    /// An HTTP/2 frame size (RFC 9113 §4.2). The client panics on other numbers.
    FrameSize,
    /// Not allowed, because `store.url` names the bucket.
    Bucket,
}

impl Kind {
    /// The form of the value of object_store's key.
    fn of(key: &str) -> Self {
        match key {
            "aws_endpoint" | "aws_endpoint_url_s3" | "azure_storage_endpoint" | "google_base_url" => {
                Self::Base
            }
            "aws_endpoint_url_sts"
            | "aws_metadata_endpoint"
            | "aws_container_credentials_full_uri"
            | "azure_storage_authority_host"
            | "azure_msi_endpoint"
            | "azure_fabric_token_service_url" => Self::Link,
            "aws_container_credentials_relative_uri" => Self::UrlPath,
            "aws_region"
            | "aws_default_region"
            | "azure_storage_account_name"
            | "azure_storage_tenant_id" => Self::Name,
            "azure_fabric_workload_host" => Self::Host,
            "proxy_url" => Self::Proxy,
            "aws_access_key_id"
            | "aws_session_token"
            | "azure_storage_account_key"
            | "azure_storage_token"
            | "azure_fabric_session_token"
            | "azure_fabric_cluster_identifier"
            | "google_bearer_token" => Self::Word,
            "google_service_account"
            | "google_service_account_key"
            | "google_application_credentials"
            | "aws_web_identity_token_file"
            | "aws_container_authorization_token_file"
            | "azure_federated_token_file" => Self::Any,
            "proxy_ca_certificate" => Self::Pem,
            "aws_bucket" | "azure_container_name" | "google_bucket" => Self::Bucket,
            "http2_max_frame_size" => Self::FrameSize,
            "pool_max_idle_per_host" => Self::Number,
            _ if key.ends_with("_timeout") || key == "timeout" || key.ends_with("_interval") => {
                Self::Duration
            }
            _ if FLAGS.iter().any(|flag| key.ends_with(flag)) => Self::Flag,
            _ => Self::Line,
        }
    }

    fn takes(self, value: &str) -> bool {
        let plain = value.chars().all(|c| c.is_ascii_graphic());
        match self {
            Self::Base => plain && is_url(value) && !value.contains('?'),
            Self::Link => plain && is_url(value),
            Self::UrlPath => {
                plain
                    && value.starts_with('/')
                    && is_url(&format!("http://host{value}"))
                    && !value.contains("//")
            }
            Self::Name => value.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)),
            Self::Host => plain && is_host(value),
            Self::Proxy => plain && is_proxy(value),
            Self::Word => plain,
            Self::Line => value.chars().all(|c| c.is_ascii_graphic() || c == ' '),
            Self::Any => !value.contains('\0'),
            Self::Pem => Certificate::from_pem_bundle(value.as_bytes()).is_ok_and(|found| !found.is_empty()),
            Self::Flag => flag(value).is_some(),
            Self::Duration => {
                humantime::parse_duration(value).is_ok_and(|it| !it.is_zero() && it < TEN_YEARS)
            }
            Self::Number => value.parse::<u32>().is_ok(),
            Self::FrameSize => value.parse().is_ok_and(|size: u32| (16_384..16_777_216).contains(&size)),
            Self::Bucket => false,
        }
    }

    /// A description for errors.
    fn words(self) -> &'static str {
        match self {
            Self::Base => {
                "takes a URL with scheme and host, such as https://minio.example:9000, without user, query and spaces"
            }
            Self::Link => {
                "takes a URL with scheme and host, such as https://sts.example, without user and spaces"
            }
            Self::UrlPath => "takes the path of a URL, such as /v2/credentials/id",
            Self::Name => "takes letters, digits, dots, hyphens and underscores",
            Self::Host => "takes a host, such as metadata.example or 10.0.0.1:8080",
            Self::Proxy => {
                "takes the http:// or https:// URL of a proxy, such as http://proxy.example:3128, in one line without spaces"
            }
            Self::Word => {
                "takes one word of ASCII characters, copied whole, without a line break or space in it"
            }
            Self::Line => "takes one line of ASCII characters",
            Self::Any => "takes a text without NUL",
            Self::Pem => "takes a certificate in PEM, from BEGIN to END",
            Self::Flag => "takes true or false",
            Self::Duration => "takes a duration such as 30s",
            Self::Number => "takes a whole number",
            Self::FrameSize => "takes a whole number from 16384 to 16777215",
            Self::Bucket => "is no option here: the bucket or container stands in store.url",
        }
    }
}

/// The suffixes of keys whose values are flags.
const FLAGS: [&str; 17] = [
    "allow_http",
    "allow_invalid_certificates",
    "disable_system_certificates",
    "http1_only",
    "http2_only",
    "http2_keep_alive_while_idle",
    "randomize_addresses",
    "imdsv1_fallback",
    "virtual_hosted_style_request",
    "s3_express",
    "unsigned_payload",
    "skip_signature",
    "disable_tagging",
    "disable_bulk_delete",
    "use_emulator",
    "use_fabric_endpoint",
    "use_azure_cli",
];

/// Longer durations overflow a clock.
const TEN_YEARS: std::time::Duration = std::time::Duration::from_secs(10 * 366 * 86_400);

/// object_store parses URLs with two crates: both must accept a URL.
fn is_url(value: &str) -> bool {
    let (Ok(url), Ok(uri)) = (Url::parse(value), value.parse::<Uri>()) else { return false };
    let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    bare && !value.contains(['@', '#', '\\'])
        && matches!(url.scheme(), "http" | "https")
        && url.host_str().is_some_and(|host| !host.is_empty())
        && uri.scheme().is_some()
        && uri.authority().is_some()
}

fn is_host(value: &str) -> bool {
    value.parse::<Authority>().is_ok_and(|host| !host.host().is_empty() && !value.contains('@'))
        && is_url(&format!("http://{value}/"))
}

/// The client ignores a proxy that it cannot parse, and connects directly.
fn is_proxy(value: &str) -> bool {
    let Ok(uri) = value.parse::<Uri>() else { return false };
    let http = uri.scheme_str().is_none_or(|scheme| matches!(scheme, "http" | "https"));
    let host = |authority: &Authority| {
        let host = authority.as_str().split_once('@').map_or(authority.as_str(), |(_, host)| host);
        is_host(host)
    };
    http && uri.authority().is_some_and(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_a_form_that_the_client_can_use() {
        use Kind as K;

        let cases: [(Kind, &[&str], &[&str]); 10] = [
            (
                K::Base,
                &["http://minio:9000", "https://s3.example/path/", "http://[::1]:9000", "HTTP://x"],
                &[
                    "minio:9000",
                    "minio",
                    "http://",
                    "http:minio",
                    "http:///x",
                    "ftp://x",
                    "http://a b",
                    "http://x:99999",
                    "http://u:p@x",
                    "http://x/?a",
                    "http://x/#a",
                    "http://[::1",
                    "http://bü",
                    "http://a/\u{1}",
                    "//x",
                    "http://a\\b",
                    "\"http://x\"",
                    "http://x y/",
                    "http://",
                    "http://:9000",
                    "https://xn--a",
                ],
            ),
            (K::Link, &["http://169.254.170.23/v1/x?id=1"], &["169.254.170.23", "http://@x"]),
            (K::UrlPath, &["/v2/credentials/x?a=b"], &["v2", "//evil", "/a b", "/\u{e9}"]),
            (K::Name, &["eu-central-1", "garage"], &["eu central", "eu\n1", "é", "a/b", "a:b", "a\0"]),
            (K::Host, &["metadata", "10.0.0.1:80", "[::1]:80"], &["a b", "http://x", "u@x", "a/b", "é"]),
            (
                K::Proxy,
                &["http://p:3128", "p:3128", "p", "https://user:p%40ss@p:3128/"],
                &["http://p:3128\n", "socks5://p", "://", "p q", "http://user:p@ss@p", "/p", "p:x", "é"],
            ),
            (K::Word, &["AKIA+/=x"], &["a b", "a\nb", "é", "a\0", "\u{feff}a"]),
            (K::Flag, &["true", "No", "1"], &["maybe", "2"]),
            (K::Duration, &["30s"], &["0s", "30", "soon", "18446744073709551615s"]),
            (K::FrameSize, &["16384"], &["0", "16383", "16777216"]),
        ];
        for (kind, good, bad) in cases {
            assert!(good.iter().all(|value| kind.takes(value)), "{kind:?}: {good:?}");
            for value in bad {
                assert!(!kind.takes(value), "{kind:?}: {value:?}");
            }
        }
    }
}
