//! The task of a connection that waits for more than input. It drives the connection until it ends.

use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use super::error::ConnectionError;
use super::state_machine::Connection;
use crate::server::deadlines::timeouts::Timeout;
use crate::server::deadlines::watchdog::Watchdog;
use crate::server::handler::Handler;
use crate::server::listener::eviction::Slot;
use crate::server::socket::tcp::Transport;
use crate::tasks::Task;

/// Starts a task that drives the connection from now on. Draining waits for it.
pub(crate) fn start<S: Transport, H: Handler>(mut connection: Box<Connection<S, H>>) {
    let server = Arc::clone(&connection.context().server);
    server.drain.track(async move {
        let _watched = Task::Connection.panic_guard();
        if let Err(error) = run(&mut connection).await {
            connection.log(&error);
        }
    });
}

/// Drives a connection until it ends or passes a deadline.
async fn run<S: Transport, H: Handler>(connection: &mut Connection<S, H>) -> Result<(), ConnectionError> {
    connection.attach()?;
    let (server, activity) = (Arc::clone(&connection.context().server), Arc::clone(connection.activity()));
    let mut watchdog = Watchdog::new(Arc::clone(&activity));
    // Input that has arrived is answered before the task checks for draining.
    if let Poll::Ready(ended) = poll_fn(|cx| Poll::Ready(connection.poll(cx))).await {
        return ended;
    }
    let mut finishing = false;
    loop {
        // The order matters. A connection that is always ready uses up the task's budget, so it must not come before
        // the check for draining. The watchdog comes last because it has to see the connection's latest activity.
        tokio::select! {
            biased;
            () = server.drain.begun(), if !finishing => {}
            () = evicted(activity.slot()) => {
                server.count_cut("evicted");
                return Err(ConnectionError::Evicted);
            }
            ended = poll_fn(|cx| connection.poll(cx)) => return ended,
            timeout = watchdog.expired() => {
                if finishing || timeout != Timeout::Idle {
                    return Err(connection.timed_out(timeout));
                }
            }
        }
        // Requests in flight are answered, no further ones.
        connection.finish();
        finishing = true;
    }
}

async fn evicted(slot: Option<&Slot>) {
    match slot {
        Some(slot) => slot.evicted().await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::SocketAddr;
    use std::pin::Pin;
    use std::task::{Context, ready};
    use std::time::Duration;

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::Full;
    use hyper::body::Incoming;
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
    use tokio::task::coop;

    use super::*;
    use crate::clock::Moment;
    use crate::server::context::{Admission, ConnectionContext};
    use crate::server::deadlines::activity::Activity;
    use crate::server::socket::tcp::Socket;
    use crate::server::{
        Answer, Bodies, Client, Config, Drain, FastPath, Networks, PlainRequest, ResponseWriter, Server,
    };

    /// A client that always has another request ready and reads every response.
    struct Endless;

    impl AsyncRead for Endless {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            room: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            ready!(coop::poll_proceed(cx)).made_progress();
            let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
            while room.remaining() >= request.len() {
                room.put_slice(request);
            }
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Endless {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            ready!(coop::poll_proceed(cx)).made_progress();
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Transport for Endless {
        fn tcp(&mut self) -> Option<&mut Socket> {
            None
        }
    }

    #[derive(Clone, Copy)]
    enum Answers {
        FastPath,
        Hyper,
    }

    impl Handler for Answers {
        type Body = Full<Bytes>;

        const BODIES: Bodies = Bodies::Refused;

        fn try_answer<'w>(
            &self,
            _: &PlainRequest<'_>,
            _: &Client,
            _: Moment,
            mut writer: ResponseWriter<'w>,
        ) -> FastPath<'w, Self::Body> {
            if matches!(self, Self::Hyper) {
                return FastPath::Declined(writer);
            }
            writer.text().extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n");
            FastPath::Answered(writer, Full::default())
        }

        fn answer(&self, _: Request<Incoming>, _: Client) -> Answer<Self::Body> {
            Answer::Ready(Response::new(Full::default()))
        }
    }

    /// Limits that these tests never reach.
    fn patient() -> Config {
        let long = Duration::from_secs(60);
        Config {
            header_timeout: long,
            idle_timeout: long,
            drain_delay: long,
            drain_timeout: long,
            slowest_client: 1,
            stall_timeout: long,
            connections: 1,
            connections_per_address: Some(1),
            longest_target: 1_024,
            longest_head: 8_192,
            connection_buffer: 8_192,
            http2_streams: 1,
            http2_resets: 1,
            trusted_proxies: Networks::default(),
            proxy_protocol: false,
            client_header: None,
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn draining_ends_a_connection_that_is_always_ready() {
        for answers in [Answers::FastPath, Answers::Hyper] {
            let drain = Drain::new();
            let server = Arc::new(Server::new(patient(), answers, drain.clone()));
            let activity = Activity::of_connection(server.timeouts, None);
            let context = ConnectionContext::http1(&server, SocketAddr::from(([127, 0, 0, 1], 1)), activity);
            let admission = Admission { _permit: None, share: None, _open: None };
            let mut connection = Connection::new(Endless, context, admission);
            drain.track(async move {
                let ended = run(&mut connection).await;
                assert!(ended.is_ok(), "{ended:?}");
            });
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(drain.finish(Duration::from_secs(10)).await, 0);
        }
    }

    #[test]
    fn an_idle_connection_takes_less_than_half_a_kibibyte() {
        let size = size_of::<Connection<Socket, Answers>>();
        assert!(size <= 480, "{size}");
    }
}
