//! An HTTP/2 client (RFC 9113, prior knowledge) that shows how each stream ended.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::Request;
use tokio::net::TcpStream;

/// A connection.
pub struct Http2(SendRequest<Bytes>);

impl Http2 {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self(requests)
    }

    /// A connection on which an unread stream fills its own window, not that of all streams together.
    pub async fn roomy(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut client = h2::client::Builder::new();
        client.initial_window_size(65_535).initial_connection_window_size(1 << 20);
        let (requests, connection) = client.handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self(requests)
    }

    /// Sends GET and waits for the head of the answer.
    pub async fn get(&mut self, target: &str, fields: &[(&str, &str)]) -> http::Response<RecvStream> {
        self.try_get(target, fields).await.unwrap()
    }

    /// The same for a stream that may be reset before the head: then returns the reason.
    pub async fn try_get(
        &mut self,
        target: &str,
        fields: &[(&str, &str)],
    ) -> Result<http::Response<RecvStream>, Reason> {
        let mut request = Request::get(format!("http://localhost{target}"));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        self.0 = self.0.clone().ready().await.unwrap();
        let (answer, _) = self.0.send_request(request.body(()).unwrap(), true).unwrap();
        answer.await.map_err(|error| error.reason().expect("a stream is answered or reset"))
    }
}

/// Reads a body to its end: the bytes, and the reason if the stream was reset instead of ended.
pub async fn read(mut body: RecvStream) -> (Vec<u8>, Option<Reason>) {
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        match piece {
            Ok(piece) => {
                let _ = body.flow_control().release_capacity(piece.len());
                bytes.extend_from_slice(&piece);
            }
            Err(error) => return (bytes, Some(error.reason().expect("a stream ends or is reset"))),
        }
    }
    (bytes, None)
}
