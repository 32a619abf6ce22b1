//! zstd's encoder. Each thread keeps one for its next transcript: the tables and buffers of a fresh one are page faults,
//! a twelfth of a transcript of 100 KB (the row *zstd*).

use std::cell::Cell;
use std::io;

use async_compression::codecs::EncodeV2;
use async_compression::core::util::{PartialBuffer, WriteBuffer};
use zstd::stream::raw::{CParameter, Encoder, Operation, OutBuffer};

const LEVEL: i32 = 1;

thread_local! {
    static SPARE: Cell<Option<Encoder<'static>>> = const { Cell::new(None) };
}

pub(super) struct ZstdEncoder {
    /// `None` behind the end.
    encoder: Option<Encoder<'static>>,
}

impl ZstdEncoder {
    pub(super) fn new(window_log: u32) -> io::Result<Self> {
        let encoder = match SPARE.take() {
            Some(encoder) => encoder,
            None => {
                let mut encoder = Encoder::new(LEVEL)?;
                encoder.set_parameter(CParameter::WindowLog(window_log))?;
                encoder
            }
        };
        Ok(Self { encoder: Some(encoder) })
    }

    fn encoder(&mut self) -> io::Result<&mut Encoder<'static>> {
        self.encoder.as_mut().ok_or_else(|| io::Error::other("the zstd frame has ended"))
    }
}

impl EncodeV2 for ZstdEncoder {
    fn encode(&mut self, input: &mut PartialBuffer<&[u8]>, output: &mut WriteBuffer<'_>) -> io::Result<()> {
        let done = self.encoder()?.run_on_buffers(input.unwritten(), output.initialize_unwritten())?;
        input.advance(done.bytes_read);
        output.advance(done.bytes_written);
        Ok(())
    }

    fn flush(&mut self, output: &mut WriteBuffer<'_>) -> io::Result<bool> {
        let mut room = OutBuffer::around(output.initialize_unwritten());
        let left = self.encoder()?.flush(&mut room)?;
        let written = room.pos();
        output.advance(written);
        Ok(left == 0)
    }

    fn finish(&mut self, output: &mut WriteBuffer<'_>) -> io::Result<bool> {
        let mut room = OutBuffer::around(output.initialize_unwritten());
        let left = self.encoder()?.finish(&mut room, false)?;
        let written = room.pos();
        output.advance(written);
        if left == 0 {
            // Behind the end of a frame, an encoder begins the next one.
            SPARE.set(self.encoder.take());
        }
        Ok(left == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compresses `text`, and leaves the frame unfinished unless it `ends`.
    fn compressed(text: &[u8], ends: bool) -> Vec<u8> {
        let mut encoder = ZstdEncoder::new(19).unwrap();
        let mut room = vec![0; 100_000];
        let mut output = WriteBuffer::new_initialized(&mut room);
        encoder.encode(&mut PartialBuffer::new(text), &mut output).unwrap();
        if ends {
            assert!(encoder.finish(&mut output).unwrap());
        }
        output.written().to_vec()
    }

    #[test]
    fn an_encoder_that_is_used_again_writes_a_frame_alone() {
        let text = b"what one speaker says, and what one speaker says".repeat(50);
        let first = compressed(&text, true);
        let spare = SPARE.take();
        assert!(spare.is_some());
        SPARE.set(spare);
        assert_eq!(compressed(&text, true), first);
        assert_eq!(zstd::stream::decode_all(&first[..]).unwrap(), text);
    }

    #[test]
    fn an_encoder_that_stops_within_a_transcript_is_not_used_again() {
        compressed(b"a transcript whose client disconnects", false);
        assert_eq!(zstd::stream::decode_all(&compressed(b"the next", true)[..]).unwrap(), b"the next");
    }
}
