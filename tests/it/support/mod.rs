//! What all tests use: a [`Site`] (gateway and admin listener on loopback, with a clock that stands still), links to
//! it, and a client that sends bytes and parses an [`Answer`].

pub mod access_log;
pub mod bucket;
pub mod client;
pub mod collector;
pub mod database;
pub mod http2;
pub mod odd_store;
pub mod process;
pub mod ready_handler;
pub mod receiver;
pub mod requests;
pub mod slow_client;
pub mod stores;
pub mod tls;
pub mod waiting;
pub mod webhooks;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use database::open_ledger;
use http::{Request, Response};
use hyper::body::Incoming;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use webhook_assets::admin::{self, Admin};
use webhook_assets::cli::Metrics;
use webhook_assets::clock::{Clock, ManualClock, UnixSeconds};
use webhook_assets::console;
use webhook_assets::gateway::{self, AllowedOrigins, Gateway};
use webhook_assets::keys::ActiveKeyring;
use webhook_assets::ledger::DatabaseUrl;
use webhook_assets::sender::{self, Sender};
use webhook_assets::server::{self, Bodies, Certificate, Drain, Handler, Server};
use webhook_assets::signed_url::BaseUrl;
use webhook_assets::store::{self, CloudVariables, Store, StoreMetrics, StoreUrl};
use webhook_assets::telemetry::RequestLogs;
use webhook_assets::telemetry::trace::{Tracing, TracingConfig};
use webhook_assets::tokens::Tokens;
use webhook_assets::{AssetRef, Keyring, Minter, SecretKey};

pub use client::{Answer, Client, request_head};
pub use webhooks::sending;

/// The call that every site has.
pub const CALL: Uuid = uuid::uuid!("550e8400-e29b-41d4-a716-446655440000");

/// A call that no site has.
pub const ABSENT: Uuid = uuid::uuid!("11111111-2222-4333-8444-555555555555");

/// Where every site's clock stands at first: long after its objects were written.
pub const NOW: UnixSeconds = UnixSeconds(4_000_000_000);

/// A full lifetime.
pub const DAY: Duration = Duration::from_secs(86_400);

/// The store's deadlines where it hangs.
pub const SHORT: Duration = Duration::from_millis(400);

/// A listener on a free port.
async fn on_free_port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// The recording's bytes, without repetitions nearby.
pub fn recording() -> Vec<u8> {
    (0..300_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// The transcript's bytes: the sample of `fixtures/`.
pub fn transcript() -> Vec<u8> {
    std::fs::read(format!("{}/fixtures/transcripts/{CALL}.json", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// A store in memory with the call's two assets.
pub async fn sample_store() -> Arc<InMemory> {
    let store = Arc::new(InMemory::new());
    store.put(&Path::from(AssetRef::recording(CALL).object_path()), recording().into()).await.unwrap();
    store.put(&Path::from(AssetRef::transcript(CALL).object_path()), transcript().into()).await.unwrap();
    store
}

/// A store in memory with one object, in chunks of 16 KiB.
pub async fn store_of_one(asset: AssetRef, bytes: Vec<u8>) -> Arc<stores::FaultyStore> {
    let store = Arc::new(InMemory::new());
    store.put(&Path::from(asset.object_path()), bytes.into()).await.unwrap();
    stores::FaultyStore::around(store)
}

/// `length` bytes without repetitions nearby.
pub fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|at| ((at as u32).wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// Forty downloads at once, each of another range; every one must get exactly that range of the recording's bytes.
pub async fn downloads_at_once(site: Site, recording: Vec<u8>) {
    let (site, all) = (Arc::new(site), Arc::new(recording));
    let downloads = (0..40_usize).map(|at| {
        let (site, all) = (Arc::clone(&site), Arc::clone(&all));
        tokio::spawn(async move {
            let (first, last) = (at * 7_001, all.len() - 1 - at * 3_001);
            let answer = site.get(&site.recording(), &[("Range", &format!("bytes={first}-{last}"))]).await;
            assert!(answer.body == all[first..=last], "{first}-{last}");
        })
    });
    for download in downloads.collect::<Vec<_>>() {
        download.await.unwrap();
    }
}

/// The key of every site.
pub fn key() -> SecretKey {
    SecretKey::from_bytes(&[7; 32]).unwrap()
}

/// What a site is made of; a test changes what it is about.
pub struct Plan {
    pub objects: Arc<dyn ObjectStore>,
    pub keyring: Keyring,
    pub public_url: &'static str,
    pub store: store::Config,
    pub gateway: gateway::Config,
    pub server: server::Config,
    pub certificate: Option<Certificate>,
    pub admin_token: Option<&'static str>,
    /// The file of named tokens, if there is one.
    pub tokens_file: Option<PathBuf>,
    /// The admin listener's connection limit, if it differs.
    pub admin_connections: Option<usize>,
    pub console: console::Config,
    /// Where traces go, if they are recorded.
    pub tracing: Option<TracingConfig>,
    /// Whether the site sends webhooks, from a fresh database.
    pub sender: Option<sender::Config>,
    /// Whether that database is the one that the last release wrote.
    pub last_release: bool,
    /// Whether hyper serves every request, even plain ones.
    pub through_hyper: bool,
}

/// A gateway whose fast path declines every request.
#[derive(Clone)]
struct ThroughHyper(Gateway);

impl Handler for ThroughHyper {
    type Body = gateway::Body;

    const BODIES: Bodies = Gateway::BODIES;

    fn answer(&self, request: Request<Incoming>, client: server::Client) -> server::Answer<gateway::Body> {
        Handler::answer(&self.0, request, client)
    }

    fn refuse(
        &self,
        request: &Request<Incoming>,
        peer: SocketAddr,
        refused: Response<Bytes>,
    ) -> Response<gateway::Body> {
        self.0.refuse(request, peer, refused)
    }
}

impl Plan {
    /// The usual site: prefix `/api`, the sample call in memory, one key, any origin.
    pub async fn usual() -> Self {
        Self::on(sample_store().await)
    }

    /// The usual site with other objects.
    pub fn on(objects: Arc<dyn ObjectStore>) -> Self {
        Self {
            objects,
            keyring: Keyring::of_one("k1", key()),
            public_url: "https://app.example.com/api",
            store: store::Config {
                url: StoreUrl::Memory,
                // Longer than a test waits, as every deadline here that is not what a test is about.
                connect_timeout: 2 * waiting::WAIT_LIMIT,
                first_byte_timeout: 2 * waiting::WAIT_LIMIT,
                stall_timeout: 2 * waiting::WAIT_LIMIT,
                // Broken bodies stay broken, except in the tests about resumption.
                resume_tries: 0,
                resume_timeout: 2 * waiting::WAIT_LIMIT,
                read_ahead: 1,
                ca_file: None,
                options: Vec::new(),
                cloud: CloudVariables::default(),
            },
            gateway: gateway::Config {
                prefix: "/api".into(),
                longest_lifetime: DAY,
                allowed_origins: AllowedOrigins::Any,
                requests_in_flight: 1_000,
                requests_per_address: None,
                retry_after: Duration::from_secs(5),
            },
            server: server::Config {
                header_timeout: 2 * waiting::WAIT_LIMIT,
                idle_timeout: 2 * waiting::WAIT_LIMIT,
                drain_delay: Duration::ZERO,
                slowest_client: 1_024,
                stall_timeout: 2 * waiting::WAIT_LIMIT,
                connections: 1_000,
                connections_per_address: None,
                http2_resets: 20,
                trusted_proxies: server::Networks::default(),
                proxy_protocol: false,
                client_header: None,
                drain_timeout: 2 * waiting::WAIT_LIMIT,
                longest_target: 8_192,
                longest_head: 32_768,
                connection_buffer: 65_536,
                http2_streams: 100,
            },
            certificate: None,
            admin_token: None,
            tokens_file: None,
            admin_connections: None,
            console: console::Config {
                url: None,
                link_lifetime: Duration::from_secs(900),
                session_lifetime: Duration::from_secs(8 * 3_600),
            },
            tracing: None,
            sender: None,
            last_release: false,
            through_hyper: false,
        }
    }

    /// The usual site with a sender that may send to this machine.
    pub async fn sending() -> Self {
        Self { sender: Some(sending()), ..Self::usual().await }
    }

    /// The usual site on the files below `folder`, which the store opens as in the program.
    pub fn on_files(folder: &std::path::Path) -> Self {
        let mut plan = Self::on(Arc::new(InMemory::new()));
        plan.store.url = StoreUrl::File(folder.to_owned());
        plan
    }

    /// Waits for the store for no longer than this.
    pub fn soon_out_of_patience(mut self) -> Self {
        self.store.first_byte_timeout = SHORT;
        self.store.stall_timeout = SHORT;
        self
    }

    /// The store of the plan: its URL's, or its objects.
    fn open_store(&self, metrics: StoreMetrics) -> Store {
        match self.store.url {
            StoreUrl::File(_) | StoreUrl::S3(_) => Store::open(&self.store, metrics).unwrap(),
            _ => Store::new(Arc::clone(&self.objects), &self.store, metrics),
        }
    }

    fn open_gateway(
        &self,
        keyring: &ActiveKeyring,
        store: &Store,
        clock: &ManualClock,
        metrics: &Metrics,
    ) -> Gateway {
        let clock = Arc::new(clock.clone());
        let traces =
            self.tracing.as_ref().map(|config| Tracing::start(config, metrics.trace.clone()).unwrap());
        Gateway::new(&self.gateway, keyring.clone(), store.clone(), clock, metrics.requests.clone())
            .with_logs(RequestLogs { access: Some(access_log::log()), audit: None, traces })
    }

    /// The gateway alone.
    pub fn gateway_alone(&self) -> Gateway {
        let metrics = Metrics::default();
        let keyring = ActiveKeyring::new(self.keyring.clone(), metrics.keyring.clone());
        let store = self.open_store(metrics.store.clone());
        self.open_gateway(&keyring, &store, &ManualClock::at(NOW), &metrics)
    }

    /// Opens both listeners and serves.
    pub async fn start(self) -> Site {
        let metrics = Metrics::default();
        let clock = ManualClock::at(NOW);
        let store = self.open_store(metrics.store.clone());
        let keyring = ActiveKeyring::new(self.keyring.clone(), metrics.keyring.clone());
        let (drain, base) = (Drain::new(), BaseUrl::parse(self.public_url).unwrap());
        let mut gateway = self.open_gateway(&keyring, &store, &clock, &metrics);
        let folder = tempfile::tempdir().unwrap();
        let (mut sender, mut sender_ended, mut database_url) = (None, CancellationToken::new(), None);
        if let Some(config) = self.sender {
            let (ledger, url) = open_ledger(folder.path(), self.last_release).await;
            database_url = Some(url);
            let (downloads, told) = tokio::sync::mpsc::channel(100);
            gateway = gateway.with_downloads(downloads);
            tokio::spawn(sender::record_downloads(told, ledger.clone(), Arc::new(clock.clone())));
            let services = sender::Services {
                ledger,
                store: store.clone(),
                keyring: keyring.clone(),
                base: base.clone(),
                clock: Arc::new(clock.clone()),
                metrics: metrics.sender.clone(),
            };
            let made = Sender::new(config, services).unwrap();
            sender_ended = run(made.clone());
            sender = Some(made);
        }
        let token = self.admin_token.map(|token| admin::Token::new(token).unwrap());
        let tokens = Tokens::open(token, self.tokens_file.as_deref()).unwrap();
        let services = admin::Services {
            base: base.clone(),
            longest_lifetime: self.gateway.longest_lifetime,
            keyring: keyring.clone(),
            store,
            tokens,
            clock: Arc::new(clock.clone()),
            drain: drain.clone(),
            registry: metrics.registry.clone(),
            audit: None,
            refusals: metrics.refusals.clone(),
            sender: sender.clone(),
        };
        let admin = Admin::new(self.console, services);
        let (gateway_listener, admin_listener) = (on_free_port().await, on_free_port().await);
        let site = Site {
            address: gateway_listener.local_addr().unwrap(),
            admin_address: admin_listener.local_addr().unwrap(),
            clock,
            keyring,
            base,
            drain: drain.clone(),
            metrics: metrics.clone(),
            sender,
            sender_ended,
            database: database_url,
            _folder: folder,
        };
        let (config, connections) = (self.server.clone(), metrics.connections);
        if self.through_hyper {
            let server = Server::new(config, ThroughHyper(gateway), drain).with_tls(self.certificate);
            tokio::spawn(server.counting(connections).serve(gateway_listener));
        } else {
            let server = Server::new(config, gateway, drain).with_tls(self.certificate);
            tokio::spawn(server.counting(connections).serve(gateway_listener));
        }
        let connections = self.admin_connections.unwrap_or(self.server.connections);
        let server = Server::new(server::Config { connections, ..self.server }, admin, Drain::new());
        tokio::spawn(server.evicting(metrics.admin_connections).serve(admin_listener));
        site
    }
}

/// Runs a sender. The token is cancelled when it has ended.
fn run(sender: Sender) -> CancellationToken {
    let ended = CancellationToken::new();
    let end = ended.clone().drop_guard();
    tokio::spawn(async move {
        sender.run().await;
        drop(end);
    });
    ended
}

/// A running gateway with its admin listener.
pub struct Site {
    pub address: SocketAddr,
    pub admin_address: SocketAddr,
    pub clock: ManualClock,
    pub keyring: ActiveKeyring,
    pub base: BaseUrl,
    pub drain: Drain,
    pub metrics: Metrics,
    pub sender: Option<Sender>,
    sender_ended: CancellationToken,
    /// The sender's database.
    pub database: Option<DatabaseUrl>,
    /// The folder of its files.
    _folder: tempfile::TempDir,
}

impl Site {
    /// The usual site.
    pub async fn usual() -> Self {
        Plan::usual().await.start().await
    }

    /// The usual site on a store that counts requests and can fail.
    pub async fn on_faulty_store() -> (Self, Arc<stores::FaultyStore>) {
        let store = stores::FaultyStore::around(sample_store().await);
        (Plan::on(store.clone()).soon_out_of_patience().start().await, store)
    }

    /// Stops the sender and waits until it has ended. Until then its background tasks act on a clock that the test moves.
    pub async fn stop_sender(&self) {
        self.sender.as_ref().unwrap().stop();
        let ended = self.sender_ended.cancelled();
        tokio::time::timeout(waiting::WAIT_LIMIT, ended).await.expect("the sender ends");
    }

    /// Path and query of a good link, valid for a day, prefix included.
    pub fn link(&self, asset: AssetRef) -> String {
        self.link_for(asset, DAY)
    }

    /// The same for `lifetime`.
    pub fn link_for(&self, asset: AssetRef, lifetime: Duration) -> String {
        let minter = Minter::for_base(self.base.clone(), self.keyring.load());
        let link = minter.mint_at(asset, lifetime, self.clock.now()).unwrap();
        link.as_str()[self.base.origin().len()..].to_owned()
    }

    /// A link minted by a clock that shows `now`, valid for a day.
    pub fn link_made_at(&self, asset: AssetRef, now: UnixSeconds) -> String {
        let minter = Minter::for_base(self.base.clone(), self.keyring.load());
        let link = minter.mint_at(asset, DAY, now).unwrap();
        link.as_str()[self.base.origin().len()..].to_owned()
    }

    /// A link to the call's recording.
    pub fn recording(&self) -> String {
        self.link(AssetRef::recording(CALL))
    }

    /// A link to the call's transcript.
    pub fn transcript(&self) -> String {
        self.link(AssetRef::transcript(CALL))
    }

    /// A client of the gateway.
    pub fn client(&self) -> Client {
        Client::of(self.address)
    }

    /// A client of the admin listener.
    pub fn admin(&self) -> Client {
        Client::of(self.admin_address)
    }

    /// GET with these header fields.
    pub async fn get(&self, target: &str, fields: &[(&str, &str)]) -> Answer {
        self.client().request("GET", target, fields, b"").await
    }

    /// HEAD with these header fields.
    pub async fn head(&self, target: &str, fields: &[(&str, &str)]) -> Answer {
        self.client().request("HEAD", target, fields, b"").await
    }
}
