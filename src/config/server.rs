//! The settings of listeners and connections.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::layers::Layers;
use super::setting::{Setting, SettingError};
use super::values::LONGEST_DURATION;
use crate::server;

pub(super) fn read(layers: &Layers) -> Result<server::Config, SettingError> {
    let connection_buffer = layers.get("server.connection_buffer")?;
    if connection_buffer < 8_192 {
        return Err(layers.refuse("server.connection_buffer", "a number of bytes from 8192 up"));
    }
    let trusted_proxies: server::Networks = layers.get("server.trusted_proxies")?;
    let proxy_protocol = layers.get("server.proxy_protocol")?;
    let client_header = layers.optional("server.client_header")?;
    if trusted_proxies.is_empty() && proxy_protocol {
        return Err(layers.refuse("server.proxy_protocol", NEEDS_PROXIES));
    }
    if trusted_proxies.is_empty() && client_header.is_some() {
        return Err(layers.refuse("server.client_header", NEEDS_PROXIES));
    }
    Ok(server::Config {
        header_timeout: layers.get("server.header_timeout")?,
        idle_timeout: layers.get("server.idle_timeout")?,
        drain_delay: layers.get::<DurationOrNone>("server.drain_delay")?.0,
        drain_timeout: layers.get("server.drain_timeout")?,
        slowest_client: layers.get("server.slowest_client")?,
        stall_timeout: layers.get("server.stall_timeout")?,
        connections: layers.get("server.connections")?,
        connections_per_address: layers.optional("server.connections_per_address")?,
        longest_target: layers.get("server.longest_target")?,
        longest_head: layers.get("server.longest_head")?,
        connection_buffer,
        http2_streams: layers.get("server.http2_streams")?,
        http2_resets: layers.get("server.http2_resets")?,
        trusted_proxies,
        proxy_protocol,
        client_header,
    })
}

/// More threads than any machine has cores.
const MOST_THREADS: usize = 1_024;

/// The number of threads that serve links.
pub(super) fn read_threads(layers: &Layers) -> Result<NonZeroUsize, SettingError> {
    let threads: Option<usize> = layers.optional("gateway.threads")?;
    let Some(threads) = threads else {
        return Ok(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN));
    };
    NonZeroUsize::new(threads).filter(|threads| threads.get() <= MOST_THREADS).ok_or_else(|| {
        layers.refuse("gateway.threads", "a whole number from 1 to 1024; not set, one for each core")
    })
}

/// Why a setting that identifies clients needs trusted proxies.
const NEEDS_PROXIES: &str =
    "effect only with server.trusted_proxies, the networks of the proxies that may say it";

pub(super) fn read_tls(layers: &Layers) -> Result<Option<server::TlsConfig>, SettingError> {
    let certificate = layers.optional("tls.certificate")?;
    let key = layers.optional("tls.key")?;
    let handshake_timeout = layers.get("tls.handshake_timeout")?;
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(server::TlsConfig { certificate, key, handshake_timeout })),
        (None, None) => Ok(None),
        (Some(_), None) => {
            Err(layers.refuse("tls.key", "the path of the certificate's key, because tls.certificate is set"))
        }
        (None, Some(_)) => {
            Err(layers.refuse("tls.certificate", "the path of a certificate, because tls.key is set"))
        }
    }
}

/// A duration, or zero to turn the setting off.
struct DurationOrNone(Duration);

impl Setting for DurationOrNone {
    const TAKES: &'static str = "a duration such as 5s, or 0s for none";

    fn parse(text: &str) -> Option<Self> {
        humantime::parse_duration(text).ok().filter(|duration| *duration <= LONGEST_DURATION).map(Self)
    }
}
