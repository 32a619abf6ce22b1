//! Checks the store: whether it answers, its clock, and the folders of a local one.

use std::path::Path;

use crate::AssetKind;
use crate::cli::check_result::CheckResult::{self, Failed, Passed, Warning};
use crate::cli::check_result::Fault;
use crate::cli::metrics::Metrics;
use crate::config::Config;
use crate::store::{Store, StoreError, unknown_variables, unusable_folders};

pub(super) fn check_store(config: &Config) -> Vec<CheckResult> {
    let store = match Store::open(&config.store, Metrics::default().store) {
        Ok(store) => store,
        Err(error) => return vec![Failed(Fault::Settings, error.to_string())],
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return vec![Failed(Fault::Machine, error.to_string())],
    };
    let kind = config.store.url.kind();
    let mut found = vec![match runtime.block_on(store.probe()) {
        Ok(()) => Passed(format!("{kind}: it answers and lets us read")),
        Err(error @ StoreError::TimedOut { .. }) => {
            Failed(Fault::Network, format!("{kind}: {error}; check the endpoint and the network between"))
        }
        Err(error) => Failed(Fault::Store, format!("{kind}: {error}")),
    }];
    let clocks = store.clocks_differ().filter(|_| matches!(found.first(), Some(Passed(_))));
    found.extend(clocks.map(|words| {
        Failed(
            Fault::Machine,
            format!(
                "{words}: set it, and keep it by NTP; stores refuse requests and links end at the wrong time"
            ),
        )
    }));
    for name in unknown_variables(&config.store) {
        found.push(Warning(
            Fault::Settings,
            format!("the variable {name} is not a setting of this store; is it misspelt?"),
        ));
    }
    found.extend(config.store.url.folder().into_iter().flat_map(check_folders));
    found
}

/// Checks the folders of recordings and transcripts. Symbolic links below the root are not followed.
fn check_folders(root: &Path) -> Vec<CheckResult> {
    let unusable = unusable_folders(root);
    let mut found = Vec::new();
    for folder in AssetKind::ALL.map(|kind| root.join(kind.folder())) {
        let path = folder.display();
        if unusable.contains(&folder) {
            found.push(Failed(
                Fault::Store,
                format!(
                    "{path} is a symlink or no folder, and below the store's root none is followed: everything in it is 404; \
                     make it a folder, or mount the other one over it (mount --bind)"
                ),
            ));
        } else if !folder.is_dir() {
            let words = format!("there is no folder {path}; everything that belongs there is 404");
            found.push(Warning(Fault::Store, words));
        }
    }
    found
}
