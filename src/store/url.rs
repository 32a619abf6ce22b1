//! Parses a store's URL strictly. A part that a URL parser silently changes or drops (`..`, `\`, line breaks, a port)
//! is an error: otherwise the store would serve and erase objects in a different place than configured.

use std::fmt;
use std::path::{Component, Path as FilePath, PathBuf};
use std::str::FromStr;

use object_store::path::Path;
use url::Url;

use super::open_error::OpenError;

/// The location of the objects.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A local folder: `file:///srv/assets`.
    File(PathBuf),
    /// Memory, empty at startup, for trials: `memory:///`.
    Memory,
    /// Amazon S3 and compatible stores: `s3://bucket/prefix`.
    S3(Bucket),
    /// Google Cloud Storage: `gs://bucket/prefix`.
    Gcs(Bucket),
    /// Azure Blob Storage: `az://container/prefix`.
    Azure(Bucket),
}

/// A bucket or container, and the prefix of the objects in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Bucket {
    pub(super) name: String,
    pub(super) prefix: Path,
}

impl FromStr for StoreUrl {
    type Err = OpenError;

    fn from_str(text: &str) -> Result<Self, OpenError> {
        let text = text.trim();
        let url = Url::parse(text).map_err(|_| OpenError::Url)?;
        let bare = url.username().is_empty() && url.password().is_none() && url.port().is_none();
        if !bare || url.query().is_some() || url.fragment().is_some() || !stands_as_written(text) {
            return Err(OpenError::Url);
        }
        match (url.scheme(), url.host_str()) {
            ("file", None | Some("")) if text.get(5..).is_some_and(|rest| rest.starts_with('/')) => {
                folder_of(&url).map(Self::File)
            }
            ("memory", None | Some("")) if matches!(url.path(), "" | "/") => Ok(Self::Memory),
            ("s3" | "s3a", Some(name)) => Bucket::of(name, &url, "").map(Self::S3),
            ("gs", Some(name)) => Bucket::of(name, &url, "").map(Self::Gcs),
            // Azure's system containers are `$root`, `$web` and `$logs`.
            ("az" | "azure" | "abfs" | "abfss", Some(name)) if !name.contains('.') => {
                Bucket::of(name, &url, "$").map(Self::Azure)
            }
            _ => Err(OpenError::Url),
        }
    }
}

/// Whether the URL parser keeps the text unchanged: it drops line breaks and tabs, resolves dot segments, and reads `\`
/// as `/`.
fn stands_as_written(text: &str) -> bool {
    let is_dots = |segment: &str| matches!(&*segment.to_ascii_lowercase().replace("%2e", "."), "." | "..");
    !text.chars().any(is_stray) && !text.split('/').any(is_dots)
}

/// Characters that no folder or key contains intentionally.
fn is_stray(c: char) -> bool {
    c.is_control() || c == '\\'
}

fn folder_of(url: &Url) -> Result<PathBuf, OpenError> {
    let folder = url.to_file_path().map_err(|()| OpenError::Url)?;
    // `%2F`, `%00` and similar are already decoded here.
    let strays = folder.to_string_lossy().chars().any(is_stray);
    let climbs = folder.components().any(|part| part == Component::ParentDir);
    if strays || climbs { Err(OpenError::Url) } else { Ok(folder) }
}

impl Bucket {
    /// `name` may contain letters, digits, `.`, `-`, `_` and the characters in `more`.
    fn of(name: &str, url: &Url, more: &str) -> Result<Self, OpenError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c) || more.contains(c);
        let begins = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        if !name.chars().all(allowed) || !name.starts_with(begins) || name.contains("..") {
            return Err(OpenError::Url);
        }
        let prefix = Path::from_url_path(url.path()).map_err(|_| OpenError::Url)?;
        if prefix.as_ref().chars().any(is_stray) {
            return Err(OpenError::Url);
        }
        Ok(Self { name: name.to_owned(), prefix })
    }
}

impl StoreUrl {
    /// The kind of store, as a word that may be logged.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "local files",
            Self::Memory => "memory",
            Self::S3(_) => "S3",
            Self::Gcs(_) => "GCS",
            Self::Azure(_) => "Azure",
        }
    }

    /// The folder, if the store is a folder.
    #[must_use]
    pub fn folder(&self) -> Option<&FilePath> {
        if let Self::File(folder) = self { Some(folder) } else { None }
    }

    /// Whether the store is reached over a network.
    pub(super) fn is_remote(&self) -> bool {
        self.variables().is_some()
    }

    /// The prefix of its cloud's variables, if it is in a cloud.
    #[must_use]
    pub fn variables(&self) -> Option<&'static str> {
        match self {
            Self::File(_) | Self::Memory => None,
            Self::S3(_) => Some("AWS_"),
            Self::Gcs(_) => Some("GOOGLE_"),
            Self::Azure(_) => Some("AZURE_"),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bucket")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<StoreUrl> {
        text.parse().ok()
    }

    fn bucket(name: &str, prefix: &str) -> Bucket {
        Bucket { name: name.into(), prefix: Path::parse(prefix).unwrap() }
    }

    #[test]
    fn a_store_url_is_one_of_five() {
        assert_eq!(read("file:///srv/a%20b"), Some(StoreUrl::File("/srv/a b".into())));
        assert_eq!(read("file:/srv//a/"), Some(StoreUrl::File("/srv//a/".into())));
        assert_eq!(read("memory:///"), Some(StoreUrl::Memory));
        assert_eq!(read("s3://bucket/a/b"), Some(StoreUrl::S3(bucket("bucket", "a/b"))));
        assert_eq!(read(" s3a://My_Bucket.x/a/ \n"), Some(StoreUrl::S3(bucket("My_Bucket.x", "a"))));
        assert_eq!(read("gs://bucket"), Some(StoreUrl::Gcs(bucket("bucket", ""))));
        assert_eq!(read("az://$web/é"), Some(StoreUrl::Azure(bucket("$web", "é"))));
        for bad in
            ["", "/srv", "srv", "file:srv", "file://host/x", "ftp://x/y", "s3://", "s3:bucket", "memory:///x"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_part_that_a_parser_drops_or_changes_is_refused_in_every_scheme() {
        for scheme in ["s3://b", "s3a://b", "gs://b", "az://b", "abfss://b", "file://"] {
            for path in [
                "/a/../b",
                "/..",
                "/./a",
                "/%2e%2E/b",
                "/a/.%2e",
                "/a\\b",
                "/%5C",
                "/%00",
                "/a%0Ab",
                "/a\nb",
                "/a\tb",
                "/a\u{7f}",
                "/a\u{85}b",
                "/a?b",
                "/a?",
                "/a#b",
                "/..%2Fb",
                "/a%2F..",
            ] {
                assert_eq!(read(&format!("{scheme}{path}")), None, "{scheme}{path:?}");
            }
        }
        for scheme in ["s3://b", "gs://b", "az://b"] {
            for path in ["//a", "/a//b", "/a//", "/%FF", "/a/%C3%28", "/a%2F%2Fb"] {
                assert_eq!(read(&format!("{scheme}{path}")), None, "{scheme}{path:?}");
            }
        }
    }

    #[test]
    fn a_bucket_has_a_plain_name() {
        for name in [
            "minio:9000",
            "user@b",
            "user:pass@b",
            "b%20c",
            "bü",
            "..",
            ".",
            "-b",
            "[::1]",
            "a..b",
            "a,b",
            "$x",
        ] {
            assert_eq!(read(&format!("s3://{name}/x")), None, "{name}");
            assert_eq!(read(&format!("gs://{name}/x")), None, "{name}");
        }
        assert_eq!(read("az://blob.mydomain/x"), None);
    }
}
