//! Reads request bodies within a limit of bytes and time. Received bytes extend the deadline, so only a client that
//! sends too slowly is disconnected. (`http_body_util::Limited` limits only bytes.)

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until};

use crate::server::client::Client;

/// The time limit of a body that does not arrive. Each
/// [`Timeouts::slowest`](crate::server::deadlines::timeouts::Timeouts) bytes add a second.
const GRACE: Duration = Duration::from_secs(5);

/// The maximum time limit of a body.
const MAX_TIME: Duration = Duration::from_secs(30);

/// If a timer fires this late, the process was suspended, and the deadline is extended.
const SUSPENDED: Duration = Duration::from_secs(1);

/// Why a body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// The body is longer than the limit.
    TooLarge,
    /// The body did not arrive in time.
    TooSlow,
    /// The connection ended, or the framing was invalid.
    Broken,
}

impl Client {
    /// Reads and discards the body of a request that should have none.
    pub(crate) async fn discard_body(&self, body: &mut Incoming, limit: usize) -> Result<(), BodyError> {
        self.recorded(read(body, limit, self.stall_flag.slowest()).await).map(drop)
    }

    /// Reads the body of this client's request. A client that announces more than `limit` bytes gets no `100 Continue`.
    ///
    /// # Errors
    /// [`BodyError`]. The connection is then closed after the response.
    pub async fn read_body(&self, body: Incoming, limit: usize) -> Result<Bytes, BodyError> {
        self.recorded(read(body, limit, self.stall_flag.slowest()).await)
    }

    fn recorded(&self, read: Result<Bytes, BodyError>) -> Result<Bytes, BodyError> {
        match read {
            Ok(_) => self.stall_flag.body_ended(),
            Err(BodyError::TooSlow) => self.count_cut("slow_body"),
            Err(BodyError::TooLarge | BodyError::Broken) => {}
        }
        read
    }
}

async fn read<B>(mut body: B, limit: usize, slowest: u32) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge);
    }
    let (mut bytes, mut began) = (BytesMut::new(), Instant::now());
    loop {
        let time = GRACE + Duration::from_secs(bytes.len() as u64 / u64::from(slowest.max(1)));
        let Some(frame) = next_frame(&mut body, &mut began, time.min(MAX_TIME)).await? else {
            return Ok(bytes.freeze());
        };
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > limit {
            return Err(BodyError::TooLarge);
        }
        bytes.extend_from_slice(&data);
    }
}

async fn next_frame<B>(
    body: &mut B,
    began: &mut Instant,
    time: Duration,
) -> Result<Option<Frame<Bytes>>, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
{
    loop {
        let deadline = *began + time;
        tokio::select! {
            biased;
            frame = body.frame() => return frame.transpose().map_err(|_| BodyError::Broken),
            () = sleep_until(deadline) => {}
        }
        let late = deadline.elapsed();
        if late < SUSPENDED {
            return Err(BodyError::TooSlow);
        }
        *began += late;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt, stream};
    use http_body_util::StreamBody;

    use super::*;

    /// A body that arrives in pieces, with a pause before each.
    fn slow_body(
        pieces: usize,
        size: usize,
        pause: Duration,
    ) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        let piece = move |_| async move {
            tokio::time::sleep(pause).await;
            Ok(Frame::data(Bytes::from(vec![b'x'; size])))
        };
        StreamBody::new(Box::pin(stream::iter(0..pieces).then(piece)))
    }

    async fn after(
        body: impl Body<Data = Bytes, Error = Infallible> + Unpin,
    ) -> (Result<usize, BodyError>, u64) {
        let began = Instant::now();
        let read = read(body, 1 << 20, 1_024).await;
        (read.map(|bytes| bytes.len()), began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_five_seconds_and_one_more_for_each_kibibyte() {
        let second = Duration::from_secs(1);
        assert_eq!(after(slow_body(1, 1, 60 * second)).await, (Err(BodyError::TooSlow), 5));
        assert_eq!(after(slow_body(100, 1, second / 10)).await, (Err(BodyError::TooSlow), 5));
        assert_eq!(after(slow_body(20, 1_024, second)).await, (Ok(20 * 1_024), 20));
        assert_eq!(after(slow_body(1_000, 1_024, second)).await, (Err(BodyError::TooSlow), 30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_bounded_whether_it_announces_its_length_or_not() {
        let now = Duration::ZERO;
        assert_eq!(after(slow_body(16, 1 << 16, now)).await, (Ok(1 << 20), 0));
        assert_eq!(after(slow_body(17, 1 << 16, now)).await, (Err(BodyError::TooLarge), 0));
        let announced = http_body_util::Full::new(Bytes::from(vec![0; (1 << 20) + 1]));
        assert_eq!(after(announced).await, (Err(BodyError::TooLarge), 0));
    }
}
