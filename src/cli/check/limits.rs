//! Compares the limit on open files with the settings.

use crate::cli::check_result::CheckResult::{self, Passed, Warning};
use crate::cli::check_result::Fault;
use crate::cli::fd_limit::{self, OpenFiles};
use crate::config::Config;

pub(super) fn check_open_files(config: &Config) -> CheckResult {
    let Some(OpenFiles { files, connections }) = fd_limit::largest(config) else {
        return Passed("open files are not limited".into());
    };
    let wanted = config.server.connections;
    if connections < wanted {
        return Warning(
            Fault::Machine,
            format!(
                "{files} open files are allowed here, which is room for {connections} of server.connections = {wanted} with \
                 their downloads; `serve` takes no more. {}",
                fd_limit::RAISE
            ),
        );
    }
    Passed(format!("{files} open files are allowed here, enough for server.connections = {wanted}"))
}
