//! Explains why a store cannot be opened, and which setting to correct.

use std::fmt;
use std::path::PathBuf;

use super::cause::Cause;

/// Why a store cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The URL is not a store URL.
    Url,
    /// The folder cannot be used.
    Folder(PathBuf, std::io::Error),
    /// The private CA's certificate cannot be used.
    Authority(PathBuf),
    /// An option that this kind of store does not have.
    Option(String, &'static str),
    /// A variable or an option whose value is invalid, and a description of valid values.
    Value(String, &'static str),
    /// A setting whose URL does not use TLS, and the variable that allows this.
    PlainHttp(String, &'static str),
    /// The settings contradict each other.
    Cloud(Cause),
    /// The client panics at its first request.
    Unusable(&'static str),
}

impl OpenError {
    /// A description of valid store URLs.
    pub const TAKES: &'static str = "a URL: file:///folder, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or \
                                     memory:///; without port, user and query, and in its path no \"..\", no backslash, no \
                                     control character and, in a bucket, nothing empty between two slashes";
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => write!(f, "store.url: a store is {}", Self::TAKES),
            Self::Folder(path, error) => write!(
                f,
                "store.url: the folder {} cannot be used ({error}); create it or give this user read permission",
                path.display()
            ),
            Self::Authority(path) => write!(
                f,
                "store.ca_file: {} is no readable certificate; takes a PEM file of one or more certificates",
                path.display()
            ),
            Self::Option(name, kind) => write!(
                f,
                "store.options.{}: no such option of a store on {kind}; takes those of object_store, e.g. {}",
                name.escape_debug(),
                if *kind == "local files" { "none" } else { "endpoint, region or allow_http" }
            ),
            Self::Value(name, takes) => {
                write!(f, "{}: {takes}; what it has is not shown, it may be a secret", name.escape_debug())
            }
            Self::PlainHttp(name, allow) => write!(
                f,
                "{name}: http:// sends requests and objects unencrypted; take https://, or set {allow}=true if the \
                 network between is trusted"
            ),
            Self::Cloud(cause) => write!(f, "store.url: the store's settings do not fit together: {cause}"),
            Self::Unusable(variables) => write!(
                f,
                "store.url: no request can be made from the store's settings; look through the variables {variables}… and \
                 [store.options] for a value that is not whole"
            ),
        }
    }
}

impl std::error::Error for OpenError {}
