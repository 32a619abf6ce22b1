//! Bodies in the chunked coding (RFC 9112 §7.1): what compresses while it sends knows no length.

/// Follows a body up to its end.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    /// The bytes of all chunks, so far.
    pub(crate) bytes: u64,
    /// How many bytes of the chunk have not arrived.
    missing: usize,
    line: Vec<u8>,
    last: bool,
}

impl Chunks {
    /// Takes in what has arrived. Returns whether the body is complete.
    pub(crate) fn take(&mut self, mut arrived: &[u8]) -> Result<bool, String> {
        while let Some(&byte) = arrived.first() {
            let data = self.missing.min(arrived.len());
            if data > 0 {
                self.missing -= data;
                arrived = &arrived[data..];
                continue;
            }
            arrived = &arrived[1..];
            match byte {
                b'\n' if self.ends_line()? => {
                    return if arrived.is_empty() {
                        Ok(true)
                    } else {
                        Err("bytes behind the last chunk".into())
                    };
                }
                b'\r' | b'\n' => {}
                _ => self.line.push(byte),
            }
        }
        Ok(false)
    }

    /// Handles a line: a chunk's length, or the empty line behind a chunk. Returns whether it ends the body.
    fn ends_line(&mut self) -> Result<bool, String> {
        if self.line.is_empty() {
            return Ok(self.last);
        }
        let text = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        self.missing = usize::from_str_radix(&text, 16).map_err(|_| format!("a chunk of {text:?} bytes"))?;
        self.bytes += self.missing as u64;
        self.last = self.missing == 0;
        Ok(false)
    }
}
