//! The head of an answer.

/// Its length, and the fields that the client needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) length: usize,
    pub(crate) status: u16,
    /// Its body's length; `None` if it comes in chunks.
    pub(crate) body: Option<u64>,
    pub(crate) closes: bool,
}

/// Parses a head as far as it has arrived; `None` if its end is missing.
pub(crate) fn head(bytes: &[u8]) -> Result<Option<Head>, String> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..end]).map_err(|_| "a head that is no text")?;
    let field = |wanted: &str| {
        let mut fields = text.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    };
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.ok_or_else(|| format!("a head that is not of HTTP/1.1:\n{text}"))?;
    let body = field("content-length").and_then(|value| value.parse().ok());
    if body.is_none() && field("transfer-encoding") != Some("chunked") {
        return Err(format!("an answer without a length:\n{text}"));
    }
    let closes = field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    Ok(Some(Head { length: end + 4, status, body, closes }))
}
