//! One suite, every kind of store: what the gateway promises over HTTP must not depend on the store.
//!
//! Local files and memory are always tested. `bash tests/run stores` starts real object stores, passes their addresses
//! in variables, and runs this again over all of them, with an object of 200 MB.
#![cfg(test)]
#![expect(unreachable_pub, reason = "the vocabulary in `support` reads like a library's")]
#![expect(clippy::cast_possible_truncation, reason = "test data is small, and made of truncated numbers")]

mod backend;
mod contract;
#[path = "../it/ranges/multipart.rs"]
mod multipart;
mod program;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "shared with the other suite, which uses all of it")]
mod support;
mod trouble;

use backend::Backend;
use program::Home;

/// Runs the suite over a store behind the real program, if this run has that store.
async fn keeps_the_contract(backend: Option<Backend>) {
    let Some(backend) = backend else { return };
    contract::fill(&backend.seed).await;
    // Its folder has the webhooks' database, and has to stay.
    let home = Home::of(&backend.variables);
    let server = home.serve();
    contract::holds(backend.name, &server.served(), &backend.seed).await;
    contract::holds_at_length(backend.name, &server.served(), &backend.seed).await;
    let log = server.log();
    assert!(!log.contains("\"level\":\"ERROR\""), "{}: {log}", backend.name);
    backend.is_hidden_in(&log);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_contract() {
    let objects = std::sync::Arc::new(object_store::memory::InMemory::new());
    let seed = backend::Seed::Client(objects.clone());
    contract::fill(&seed).await;
    let site = support::Plan::on(objects).start().await;
    let served = contract::Served { address: site.address, now: support::NOW };
    contract::holds("memory", &served, &seed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn local_files_keep_the_contract() {
    keeps_the_contract(Some(Backend::local_files())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seaweedfs_keeps_the_contract() {
    keeps_the_contract(Backend::seaweedfs()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garage_keeps_the_contract() {
    keeps_the_contract(Backend::garage()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ceph_keeps_the_contract() {
    keeps_the_contract(Backend::ceph()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn azurite_keeps_the_contract() {
    keeps_the_contract(Backend::azurite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fake_gcs_keeps_the_contract() {
    keeps_the_contract(Backend::fake_gcs()).await;
}
