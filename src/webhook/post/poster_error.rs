//! Why a poster cannot be made.

use std::fmt;
use std::io;
use std::path::PathBuf;

use tokio_rustls::rustls;

/// Why a poster cannot be made.
#[derive(Debug)]
pub enum PosterError {
    /// The file of authorities cannot be read.
    CaFile {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file of authorities contains no certificate, or an unusable one.
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The file of the proxy's credentials cannot be used.
    ProxyCredentials {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// TLS cannot be set up; most likely the machine has no certificate authorities.
    Tls(rustls::Error),
}

impl fmt::Display for PosterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CaFile { path, source } => write!(f, "{}: {source}", path.display()),
            Self::NoCertificate { path } => {
                write!(f, "{}: there is no usable certificate in it; it has to be PEM", path.display())
            }
            Self::ProxyCredentials { path, why } => write!(f, "{}: {why}", path.display()),
            Self::Tls(error) => {
                write!(f, "TLS cannot be set up ({error}); install the package ca-certificates")
            }
        }
    }
}

impl std::error::Error for PosterError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::CaFile { source, .. } => Some(source),
            Self::Tls(error) => Some(error),
            _ => None,
        }
    }
}
