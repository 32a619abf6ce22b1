//! Bodies of requests, read within a bound of bytes and of time. Time grows with what arrives, so that a client which
//! sends too little is not waited for.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until};

use crate::server::connection::requests::Client;

/// How long a body may take of which nothing arrives. Each [`Limits::slowest`](crate::server::deadlines::activity::Limits) bytes add a second.
const GRACE: Duration = Duration::from_secs(5);

/// How long a body may take at most.
const LONGEST: Duration = Duration::from_secs(30);

/// A timer that fires so late means that the process was stopped meanwhile: the client had no chance.
const FROZEN: Duration = Duration::from_secs(1);

/// Why a body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// It has more bytes than are read.
    TooLarge,
    /// It did not arrive in time.
    TooSlow,
    /// The client broke it off.
    Broken,
}

impl Client {
    /// Reads the body of a request that should have none, and throws it away.
    pub(super) async fn ignore_body(&self, body: &mut Incoming, largest: usize) -> Result<(), BodyError> {
        self.noting(read(body, largest, self.patience.slowest()).await).map(drop)
    }

    /// Reads the body of this client's request. One that announces more than `largest` bytes is not begun, so a client that
    /// expects `100 Continue` is never asked for it.
    ///
    /// # Errors
    /// [`BodyError`]; the connection is then closed behind the answer.
    pub async fn read_body(&self, body: Incoming, largest: usize) -> Result<Bytes, BodyError> {
        self.noting(read(body, largest, self.patience.slowest()).await)
    }

    fn noting(&self, read: Result<Bytes, BodyError>) -> Result<Bytes, BodyError> {
        match read {
            Ok(_) => self.patience.body_ended(),
            Err(BodyError::TooSlow) => self.count_cut("slow_body"),
            Err(BodyError::TooLarge | BodyError::Broken) => {}
        }
        read
    }
}

async fn read<B>(mut body: B, largest: usize, slowest: u32) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.size_hint().lower() > largest as u64 {
        return Err(BodyError::TooLarge);
    }
    let (mut bytes, mut began) = (BytesMut::new(), Instant::now());
    loop {
        let time = GRACE + Duration::from_secs(bytes.len() as u64 / u64::from(slowest.max(1)));
        let Some(frame) = next_frame(&mut body, &mut began, time.min(LONGEST)).await? else {
            return Ok(bytes.freeze());
        };
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > largest {
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
        if late < FROZEN {
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

    /// A body of so many pieces, one after each pause.
    fn dripping(
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
        assert_eq!(after(dripping(1, 1, 60 * second)).await, (Err(BodyError::TooSlow), 5));
        assert_eq!(after(dripping(100, 1, second / 10)).await, (Err(BodyError::TooSlow), 5));
        assert_eq!(after(dripping(20, 1_024, second)).await, (Ok(20 * 1_024), 20));
        assert_eq!(after(dripping(1_000, 1_024, second)).await, (Err(BodyError::TooSlow), 30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_bounded_whether_it_announces_its_length_or_not() {
        let now = Duration::ZERO;
        assert_eq!(after(dripping(16, 1 << 16, now)).await, (Ok(1 << 20), 0));
        assert_eq!(after(dripping(17, 1 << 16, now)).await, (Err(BodyError::TooLarge), 0));
        let announced = http_body_util::Full::new(Bytes::from(vec![0; (1 << 20) + 1]));
        assert_eq!(after(announced).await, (Err(BodyError::TooLarge), 0));
    }
}
