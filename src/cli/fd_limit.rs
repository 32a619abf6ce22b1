//! Adapts the connection limit to the limit of open files: each connection needs a descriptor, and so does each
//! download from local files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::store::{max_cached_files, max_pipes};

/// Descriptors for other purposes than connections, downloads, cached files and pipes: listeners, database, log, store.
const RESERVE: u64 = 128;

/// Raises the file limit as far as the system allows, and lowers `server.connections` to fit, with a warning. Without
/// free descriptors, the program could answer no client, not even health checks.
pub(super) fn lower_connections(config: &mut Config) {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit = raised;
        }
    }
    let Some(files) = limit.current else { return };
    let OpenFiles { connections: most, .. } = room(config, files);
    let connections = config.server.connections;
    if most < connections {
        tracing::warn!(
            files,
            "server.connections is {connections}, but the limit on open files has room for {most} with their downloads; \
             taking {most} ({RAISE})"
        );
        config.server.connections = most;
    }
}

/// How to raise the limit.
pub(super) const RAISE: &str = "raise it: `ulimit -n`, LimitNOFILE= of systemd, or --ulimit of docker";

/// A limit on open files, and the connections for which it has room.
pub(super) struct OpenFiles {
    pub(super) files: u64,
    pub(super) connections: usize,
}

/// The limit to which `serve` raises its own; `None` if there is none.
pub(super) fn largest(config: &Config) -> Option<OpenFiles> {
    getrlimit(Resource::Nofile).maximum.map(|files| room(config, files))
}

fn room(config: &Config, files: u64) -> OpenFiles {
    let in_flight = config.gateway.requests_in_flight as u64;
    let (connections, admin) = (config.server.connections as u64, config.admin_connections as u64);
    let most = connections_that_fit(files, connections, in_flight, admin);
    OpenFiles { files, connections: usize::try_from(most).unwrap_or(usize::MAX) }
}

/// How many connections fit besides those of the admin listener. At most `in_flight` of them have a download, which
/// needs a second descriptor.
fn connections_that_fit(files: u64, connections: u64, in_flight: u64, admin: u64) -> u64 {
    let reserve = RESERVE + admin + max_cached_files(files) + 2 * max_pipes(files);
    let room = files.saturating_sub(reserve.min(files / 2));
    let besides_downloads = room.saturating_sub(in_flight).max(room / 2);
    connections.min(besides_downloads).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_and_their_downloads_fit_into_the_limit() {
        assert_eq!(connections_that_fit(1 << 20, 8_192, 4_096, 128), 8_192);
        assert_eq!(connections_that_fit(20_000, 8_192, 4_096, 128), 8_192);
        assert_eq!(connections_that_fit(10_256, 8_192, 4_096, 128), 4_751);
        assert_eq!(connections_that_fit(1_024, 8_192, 4_096, 128), 320);
        assert_eq!(connections_that_fit(64, 8_192, 4_096, 128), 16);
        assert_eq!(connections_that_fit(0, 8_192, 4_096, 128), 1);
    }
}
