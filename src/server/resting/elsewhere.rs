//! Where the kernel has no epoll(7), nobody is at rest: each connection gets a task.

use std::future::pending;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::{Handler, Presence, Server};

pub(super) struct Resting<H>(PhantomData<H>);

impl<H: Handler> Resting<H> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }

    pub(super) fn welcome(
        &mut self,
        server: &Arc<Server<H>>,
        stream: std::net::TcpStream,
        peer: SocketAddr,
        presence: Presence,
    ) {
        server.keep(peer, presence, move |server, presence| async move {
            let _presence = presence;
            server.speak_from_the_beginning(TcpStream::from_std(stream)?, peer).await
        });
    }

    pub(super) async fn attend(&mut self) {
        pending().await
    }

    pub(super) fn is_busy(&self) -> bool {
        false
    }
}
