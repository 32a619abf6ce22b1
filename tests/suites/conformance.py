"""HTTP/2 as in RFC 9113 and RFC 7541: each case sends frames and says what a server may do then.

h2spec is in none of the registries that this suite installs from, so the cases are written here after the two RFCs, section
by section. Other people's code sends and reads: hyperframe parses frames, hpack header blocks. Beside
them two whole clients that are strict about what they get, h2 (PyPI) and nghttp (Debian), download and compare.
"""

import hashlib
import socket
import struct
import subprocess
import sys
import time

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import hpack
import hyperframe.exceptions
import hyperframe.frame as frames

from program import ABSENT, Program

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 1
END_HEADERS, PADDED, PRIORITIZED = 4, 8, 32
PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM = 1, 3, 5, 6, 7
COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 9, 11
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT, INITIAL_WINDOW, MAX_FRAME = 1, 2, 3, 4, 5
LARGEST_WINDOW = (1 << 31) - 1
# The wait for an answer that must come. The wait for one that must not come is short.
PATIENCE, MOMENT = 5, 0.15

# Where this server departs from the RFC: what it does, and why that stands. Any other behaviour there, the right one
# included, fails the run.
UNREADABLE = "code 1, not of", "the connection is broken, as it must be; hyper calls every frame that it cannot read a PROTOCOL_ERROR"
SPACES = "answered 200", "hyper passes it on; no field that is read here means something else by a space"
STANDS = {
    "3.4 a preface is followed by SETTINGS": ("stays open", "hyper takes what comes first; nothing is sent before SETTINGS have come"),
    "8.3 a pseudo-header in trailers": ("no refusal", "hyper drops it, and no trailers are read here"),
    "8.2.1 a value that begins with a space": SPACES,
    "8.2.1 a value that ends with a space": SPACES,
    "6.5.2 SETTINGS_INITIAL_WINDOW_SIZE of 2^31": UNREADABLE,
    "6.3 PRIORITY of four bytes": UNREADABLE,
} | {name: UNREADABLE for name in (
    "4.3 a header block that cannot be read", "4.3 a header block that ends in the middle", "6 RST_STREAM of three bytes",
    "6 SETTINGS of three bytes", "6 SETTINGS that acknowledge and set", "6 PING of six bytes",
    "6 WINDOW_UPDATE of three bytes on stream 0", "6 WINDOW_UPDATE of three bytes on a stream", "6 GOAWAY of four bytes",
    "HPACK 2.3.3 an index beyond both tables", "HPACK 2.3.3 a literal whose name has an index beyond both tables",
    "HPACK 4.2 a table's size after a field", "HPACK 5.2 Huffman padding of more than seven bits",
    "HPACK 5.2 Huffman padding of zeros", "HPACK 5.2 Huffman with an end of string", "HPACK 5.1 an integer without end",
    "HPACK 6.1 index 0", "HPACK 6.3 a table larger than SETTINGS_HEADER_TABLE_SIZE",
)}


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    length = len(payload) if length is None else length
    return struct.pack(">I", length)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def settings(*pairs):
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", name, value) for name, value in pairs))


def window_update(stream, increment):
    return frame(WINDOW_UPDATE, stream=stream, payload=struct.pack(">I", increment))


def ping(opaque=b"still on", flags=0, stream=0):
    return frame(PING, flags, stream, opaque)


class Wrong(Exception):
    """The server did something that it must not do."""


class Wire:
    """A connection that sends what the case says, and keeps what came back."""

    def __init__(self, site, said=(), start=True):
        self.site, self.encoder, self.decoder = site, hpack.Encoder(), hpack.Decoder()
        self.socket = socket.create_connection(site.program.gateway, timeout=PATIENCE)
        if site.program.tls:
            self.socket = site.program.trust("h2").wrap_socket(self.socket, server_hostname="localhost")
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.seen, self.closed = b"", [], False
        if start:
            self.send(PREFACE + settings(*said))
            self.until(lambda f: isinstance(f, frames.SettingsFrame), "its SETTINGS")
            self.send(frame(SETTINGS, ACK))

    def send(self, *parts):
        try:
            self.socket.sendall(b"".join(parts))
        except OSError:
            # What it sent before it closed is still read.
            pass
        return self

    def block(self, *extra, drop=(), method=b"GET", first=(), target=None):
        target = self.site.target if target is None else target
        fields = [(b":method", method), (b":scheme", b"http"), (b":path", target), (b":authority", b"h")]
        fields = [field for field in fields if field[0] not in drop]
        return self.encoder.encode([*first, *fields, *extra])

    def request(self, stream=1, *extra, flags=END_STREAM | END_HEADERS, **more):
        return self.send(frame(HEADERS, flags, stream, self.block(*extra, **more)))

    # --- reading ------------------------------------------------------------------------------------------------------

    def next(self, end):
        """The next frame; None once the connection is closed. TimeoutError when the time has come."""
        while True:
            if len(self.buffer) >= 9:
                read, length = frames.Frame.parse_frame_header(memoryview(self.buffer[:9]))
                if len(self.buffer) >= 9 + length:
                    read.parse_body(memoryview(self.buffer[9:9 + length]))
                    self.buffer = self.buffer[9 + length:]
                    self.seen.append(read)
                    return read
            if self.closed:
                return None
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self.socket.settimeout(left)
            try:
                got = self.socket.recv(65_536)
            except TimeoutError:
                raise
            except OSError:
                got = b""
            self.closed = not got
            self.buffer += got

    def until(self, wanted, what, seconds=PATIENCE):
        end = time.monotonic() + seconds
        try:
            while (read := self.next(end)) is not None:
                if wanted(read):
                    return read
        except TimeoutError:
            raise Wrong(f"no {what}; it sent {self.said()}") from None
        raise Wrong(f"closed instead of {what}; it sent {self.said()}")

    def said(self):
        return [f"{type(f).__name__}({f.stream_id}{code(f)})" for f in self.seen] or "nothing"

    # --- what a server may do -----------------------------------------------------------------------------------------

    def breaks(self, *codes):
        """A connection error (5.4.1): GOAWAY with one of these codes, if anything, and the connection is closed."""
        end = time.monotonic() + PATIENCE
        try:
            while (read := self.next(end)) is not None:
                if isinstance(read, frames.GoAwayFrame) and read.error_code not in codes:
                    raise Wrong(f"GOAWAY with code {read.error_code}, not of {codes}")
        except TimeoutError:
            raise Wrong(f"the connection stays open; it sent {self.said()}") from None

    def refuses(self, *codes, stream=1, statuses=()):
        """A stream error (5.4.2): RST_STREAM, or the same as an error of the connection. A malformed request may be
        answered before that (8.1.1)."""
        def judged(read):
            if isinstance(read, frames.HeadersFrame) and read.stream_id == stream:
                status = self.status_of(read)
                if status not in statuses:
                    raise Wrong(f"answered {status}")
                return True
            if isinstance(read, (frames.RstStreamFrame, frames.GoAwayFrame)):
                if read.error_code not in codes:
                    raise Wrong(f"{type(read).__name__} with code {read.error_code}, not of {codes}")
                return True
            return False
        try:
            self.until(judged, "refusal")
        except Wrong as wrong:
            if "closed instead" not in str(wrong):
                raise

    def malformed(self, stream=1):
        self.refuses(PROTOCOL_ERROR, stream=stream, statuses=(400, 431))

    def lives(self):
        """The connection works as before."""
        self.send(ping(b"are you?"))
        self.until(lambda f: isinstance(f, frames.PingFrame) and f.opaque_data == b"are you?", "answer to a PING")

    def status_of(self, read):
        return int(dict(self.decoder.decode(read.data))[":status"])

    def answers(self, *statuses, stream=1):
        answer = self.until(lambda f: isinstance(f, frames.HeadersFrame) and f.stream_id == stream, "answer")
        status = self.status_of(answer)
        if status not in statuses:
            raise Wrong(f"answered {status}, not of {statuses}")
        return answer

    def data(self, stream=1):
        return self.until(lambda f: isinstance(f, frames.DataFrame) and f.stream_id == stream, "DATA").data

    def body(self, stream=1):
        got = b""
        def ended(read):
            nonlocal got
            if isinstance(read, frames.DataFrame) and read.stream_id == stream:
                got += read.data
                self.send(window_update(0, max(len(read.data), 1)), window_update(stream, max(len(read.data), 1)))
            return read.stream_id == stream and "END_STREAM" in read.flags
        self.until(ended, "end of the body")
        return got

    def silent(self, kind):
        """The server sends no such frame for a moment."""
        try:
            self.until(lambda f: isinstance(f, kind), "frame", MOMENT)
        except Wrong as wrong:
            if "closed" in str(wrong):
                raise
            return
        raise Wrong(f"sent a {kind.__name__}")


def code(read):
    return f", code {read.error_code}" if isinstance(read, (frames.RstStreamFrame, frames.GoAwayFrame)) else ""


CASES = []


def case(name):
    def register(run):
        assert name not in (known for known, _ in CASES), name
        CASES.append((name, run))
        return run
    return register


def cases(section, outcome, table):
    """Cases with one outcome: what they send, by name. `w` is a connection on which SETTINGS have been exchanged."""
    for name, send in table.items():
        def run(site, send=send):
            wire = Wire(site)
            send(wire)
            outcome(wire)
        case(f"{section} {name}")(run)


def opened(wire, stream=1):
    """A stream that is open on both sides: our HEADERS do not end it, and its answer, which need not wait for what we
    still have to say (8.1), has begun and is held up by a window of nothing."""
    wire.send(settings((INITIAL_WINDOW, 0))).request(stream, flags=END_HEADERS)
    wire.answers(200, stream=stream)
    return wire


def half_closed(wire):
    """A stream that we have ended and whose answer is held up by a window of nothing."""
    wire.send(settings((INITIAL_WINDOW, 0)))
    return wire.request()


def answered(wire):
    """The same, when the head of its answer has come."""
    half_closed(wire).answers(200)
    return wire


def ended(wire):
    wire.request(method=b"HEAD")
    wire.answers(200)
    return wire


def reset(wire):
    return half_closed(wire).send(frame(RST_STREAM, stream=1, payload=struct.pack(">I", 8)))


def broken_by(*codes):
    return lambda wire: wire.breaks(*codes)


def refused_by(*codes, statuses=()):
    return lambda wire: wire.refuses(*codes, statuses=statuses)


# --- 3: starting ------------------------------------------------------------------------------------------------------

@case("3.4 SETTINGS is the first that a server says")
def _(site):
    wire = Wire(site, start=False).send(PREFACE, settings())
    first = wire.until(lambda _: True, "frame")
    if not isinstance(first, frames.SettingsFrame) or "ACK" in first.flags:
        raise Wrong(f"{type(first).__name__} came first")


@case("3.4 what is no preface starts no HTTP/2")
def _(site):
    wire = Wire(site, start=False).send(b"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n")
    got = b""
    while chunk := wire.socket.recv(4096):
        got += chunk
    # In TLS the handshake has agreed on the protocol.
    if got and not got.startswith(b"HTTP/1.1 400 ") and got[3] not in (SETTINGS, GOAWAY):
        raise Wrong(f"answered {got[:60]!r}")


@case("3.4 a preface is followed by SETTINGS")
def _(site):
    Wire(site, start=False).send(PREFACE, ping()).breaks(PROTOCOL_ERROR)


# --- 4: frames --------------------------------------------------------------------------------------------------------

cases("4.1", Wire.lives, {
    "a frame of an unknown type is ignored": lambda w: w.send(frame(0x16, payload=b"12345678")),
    "flags without a meaning are ignored": lambda w: w.send(frame(PRIORITY, 0xFF, 3, struct.pack(">IB", 0, 15))),
    "the reserved bit of a stream's number is ignored": lambda w: w.send(frame(PING, stream=1 << 31, payload=b"12345678")),
})
cases("4.2", Wire.lives, {
    "a frame of 16,384 bytes is taken": lambda w: w.send(frame(0x16, payload=bytes(16_384))),
})
cases("4.2", broken_by(FRAME_SIZE_ERROR), {
    "HEADERS longer than SETTINGS_MAX_FRAME_SIZE": lambda w: w.send(frame(HEADERS, 5, 1, bytes(16_385))),
    "SETTINGS longer than SETTINGS_MAX_FRAME_SIZE": lambda w: w.send(frame(SETTINGS, payload=bytes(16_386))),
    "an unknown frame longer than SETTINGS_MAX_FRAME_SIZE": lambda w: w.send(frame(0x16, payload=bytes(16_385))),
})
cases("4.2", refused_by(FRAME_SIZE_ERROR), {
    "DATA longer than SETTINGS_MAX_FRAME_SIZE": lambda w: opened(w).send(frame(DATA, 1, 1, bytes(16_385))),
})
cases("4.3", broken_by(COMPRESSION_ERROR), {
    "a header block that cannot be read": lambda w: w.send(frame(HEADERS, 5, 1, b"\x40\xff\xff\xff\xff\xff\xff")),
    "a header block that ends in the middle": lambda w: w.send(frame(HEADERS, 5, 1, b"\x40\x0aabc")),
})
cases("4.3", broken_by(PROTOCOL_ERROR), {
    "PRIORITY within a header block":
        lambda w: w.request(flags=END_STREAM).send(frame(PRIORITY, stream=1, payload=bytes(5))),
    "HEADERS of another stream within a header block": lambda w: w.request(flags=END_STREAM).request(3),
    "a frame of an unknown type within a header block":
        lambda w: w.request(flags=END_STREAM).send(frame(0x16, stream=1)),
})

# --- 5: streams -------------------------------------------------------------------------------------------------------

RST = struct.pack(">I", 8)
FOUR = {
    "DATA": lambda w, s: w.send(frame(DATA, 1, s, b"x")),
    "RST_STREAM": lambda w, s: w.send(frame(RST_STREAM, stream=s, payload=RST)),
    "WINDOW_UPDATE": lambda w, s: w.send(window_update(s, 1)),
    "HEADERS": lambda w, s: w.request(s),
    "CONTINUATION": lambda w, s: w.send(frame(CONTINUATION, END_HEADERS, s, w.block())),
    "PRIORITY": lambda w, s: w.send(frame(PRIORITY, stream=s, payload=bytes(4) + b"\x0f")),
}
cases("5.1 idle:", broken_by(PROTOCOL_ERROR), {
    name: lambda w, send=FOUR[name]: send(w, 1) for name in ("DATA", "RST_STREAM", "WINDOW_UPDATE", "CONTINUATION")
})
cases("5.1 idle:", Wire.lives, {"PRIORITY": lambda w: FOUR["PRIORITY"](w, 1)})
cases("5.1 half-closed:", refused_by(STREAM_CLOSED, PROTOCOL_ERROR, statuses=(200,)), {
    name: lambda w, send=FOUR[name]: send(half_closed(w), 1) for name in ("DATA", "HEADERS")
})
cases("5.1 half-closed:", broken_by(PROTOCOL_ERROR, STREAM_CLOSED), {
    "CONTINUATION": lambda w: FOUR["CONTINUATION"](half_closed(w), 1),
})
cases("5.1 half-closed:", Wire.lives, {
    name: lambda w, send=FOUR[name]: send(half_closed(w), 1) for name in ("WINDOW_UPDATE", "RST_STREAM", "PRIORITY")
})
cases("5.1 closed by RST_STREAM:", refused_by(STREAM_CLOSED, PROTOCOL_ERROR, statuses=(200,)), {
    name: lambda w, send=FOUR[name]: send(reset(w), 1) for name in ("DATA", "HEADERS")
})
cases("5.1 closed by RST_STREAM:", broken_by(STREAM_CLOSED, PROTOCOL_ERROR), {
    "CONTINUATION": lambda w: FOUR["CONTINUATION"](reset(w), 1),
})
cases("5.1 closed by its end:", refused_by(STREAM_CLOSED, PROTOCOL_ERROR), {
    name: lambda w, send=FOUR[name]: send(ended(w), 1) for name in ("DATA", "HEADERS")
})
cases("5.1 closed by its end:", broken_by(STREAM_CLOSED, PROTOCOL_ERROR), {
    "CONTINUATION": lambda w: FOUR["CONTINUATION"](ended(w), 1),
})
cases("5.1 closed by its end:", Wire.lives, {
    name: lambda w, send=FOUR[name]: send(ended(w), 1) for name in ("WINDOW_UPDATE", "RST_STREAM", "PRIORITY")
})
cases("5.1.1", broken_by(PROTOCOL_ERROR, STREAM_CLOSED), {
    "a stream with an even number": lambda w: w.request(2),
    "a number smaller than one before": lambda w: w.request(5).request(3),
})


@case("5.1.2 more streams than SETTINGS_MAX_CONCURRENT_STREAMS")
def _(site):
    wire = Wire(site, [(INITIAL_WINDOW, 0)])
    most = next(f for f in wire.seen if isinstance(f, frames.SettingsFrame)).settings.get(MAX_CONCURRENT)
    if most is None:
        raise Wrong("there is no limit")
    for stream in range(1, 2 * most + 3, 2):
        wire.request(stream)
    wire.until(lambda f: isinstance(f, (frames.RstStreamFrame, frames.GoAwayFrame))
               and f.error_code in (PROTOCOL_ERROR, REFUSED_STREAM), "refusal of the one too many")


@case("5.4.1 after an error the connection is closed")
def _(site):
    Wire(site).send(frame(DATA, 0, 0, b"x")).breaks(PROTOCOL_ERROR)


cases("5.5", Wire.lives, {
    "RST_STREAM with an unknown code": lambda w: half_closed(w).send(frame(RST_STREAM, stream=1, payload=b"\0\0\0\xff")),
    "an unknown setting": lambda w: w.send(settings((0xFF, 1))),
    "PRIORITY that depends on itself is no error of the connection": lambda w: w.send(frame(PRIORITY, stream=3, payload=b"\0\0\0\5\x0f")),
})

# --- 6: what each frame takes -----------------------------------------------------------------------------------------

cases("6", broken_by(PROTOCOL_ERROR), {
    "DATA on stream 0": lambda w: w.send(frame(DATA, 0, 0, b"x")),
    "HEADERS on stream 0": lambda w: w.send(frame(HEADERS, 5, 0, w.block())),
    "PRIORITY on stream 0": lambda w: w.send(frame(PRIORITY, stream=0, payload=bytes(5))),
    "RST_STREAM on stream 0": lambda w: w.send(frame(RST_STREAM, stream=0, payload=RST)),
    "SETTINGS on a stream": lambda w: w.send(frame(SETTINGS, stream=1)),
    "PING on a stream": lambda w: w.send(ping(b"12345678", stream=1)),
    "GOAWAY on a stream": lambda w: w.send(frame(GOAWAY, stream=1, payload=bytes(8))),
    "CONTINUATION on stream 0": lambda w: w.request(flags=END_STREAM).send(frame(CONTINUATION, END_HEADERS, 0, b"")),
    "PUSH_PROMISE from a client": lambda w: half_closed(w).send(frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2" + w.block())),
    "DATA that is more padding than there is": lambda w: opened(w).send(frame(DATA, PADDED, 1, b"\x06pad")),
    "HEADERS that are more padding than there is": lambda w: w.send(frame(HEADERS, 5 | PADDED, 1, b"\xff" + w.block()[:20])),
})
cases("6", broken_by(FRAME_SIZE_ERROR), {
    "RST_STREAM of three bytes": lambda w: half_closed(w).send(frame(RST_STREAM, stream=1, payload=b"\0\0\0")),
    "SETTINGS of three bytes": lambda w: w.send(frame(SETTINGS, payload=b"\0\3\0")),
    "SETTINGS that acknowledge and set": lambda w: w.send(frame(SETTINGS, ACK, payload=struct.pack(">HI", 3, 1))),
    "PING of six bytes": lambda w: w.send(ping(b"123456")),
    "WINDOW_UPDATE of three bytes on stream 0": lambda w: w.send(frame(WINDOW_UPDATE, payload=b"\0\0\1")),
    "WINDOW_UPDATE of three bytes on a stream": lambda w: half_closed(w).send(frame(WINDOW_UPDATE, stream=1, payload=b"\0\0\1")),
    "GOAWAY of four bytes": lambda w: w.send(frame(GOAWAY, payload=bytes(4))),
})
cases("6.3", refused_by(FRAME_SIZE_ERROR), {
    # The server has answered its stream by then: the outcome must not depend on which of two frames it reads first.
    "PRIORITY of four bytes": lambda w: answered(w).send(frame(PRIORITY, stream=1, payload=bytes(4))),
})
cases("6.1", refused_by(STREAM_CLOSED, PROTOCOL_ERROR), {
    "DATA on a stream that has ended": lambda w: ended(w).send(frame(DATA, 1, 1, b"x")),
})
cases("6.2", lambda wire: wire.answers(200), {
    "HEADERS with padding": lambda w: w.send(frame(HEADERS, 5 | PADDED, 1, b"\x05" + w.block() + bytes(5))),
    "HEADERS with a priority": lambda w: w.send(frame(HEADERS, 5 | PRIORITIZED, 1, b"\0\0\0\0\x0f" + w.block())),
    "HEADERS with both": lambda w: w.send(frame(HEADERS, 45, 1, b"\x05\0\0\0\0\x0f" + w.block() + bytes(5))),
})
cases("6.5.2", broken_by(PROTOCOL_ERROR), {
    "SETTINGS_ENABLE_PUSH of 2": lambda w: w.send(settings((ENABLE_PUSH, 2))),
    "SETTINGS_MAX_FRAME_SIZE of 16,383": lambda w: w.send(settings((MAX_FRAME, 16_383))),
    "SETTINGS_MAX_FRAME_SIZE of 16,777,216": lambda w: w.send(settings((MAX_FRAME, 1 << 24))),
})
cases("6.5.2", broken_by(FLOW_CONTROL_ERROR), {
    "SETTINGS_INITIAL_WINDOW_SIZE of 2^31": lambda w: w.send(settings((INITIAL_WINDOW, 1 << 31))),
})


@case("6.5.3 settings are acknowledged")
def _(site):
    wire = Wire(site)
    before = len(wire.seen)
    wire.send(settings((MAX_CONCURRENT, 100))).until(lambda f: isinstance(f, frames.SettingsFrame) and "ACK" in f.flags, "ACK")
    assert len(wire.seen) > before


@case("6.5.3 settings are taken in the order in which they stand")
def _(site):
    wire = Wire(site, [(INITIAL_WINDOW, 100), (INITIAL_WINDOW, 1)]).request()
    expect_bytes(wire, 1)


def expect_bytes(wire, count):
    got = wire.data()
    if len(got) != count:
        raise Wrong(f"{len(got)} bytes instead of {count}")


@case("6.5.2 a client's table of nothing is kept to")
def _(site):
    wire = Wire(site, [(HEADER_TABLE_SIZE, 0)])
    for stream in (1, 3):
        answer = wire.request(stream, method=b"HEAD").until(
            lambda f, stream=stream: isinstance(f, frames.HeadersFrame) and f.stream_id == stream, "answer")
        wire.decoder.header_table.maxsize = 0
        if wire.status_of(answer) != 200:
            raise Wrong("no 200")


@case("6.7 PING is answered with its own eight bytes")
def _(site):
    wire = Wire(site).send(ping(b"h2 alive"))
    wire.until(lambda f: isinstance(f, frames.PingFrame) and f.opaque_data == b"h2 alive" and "ACK" in f.flags, "PING")


@case("6.7 the answer to a PING is not answered")
def _(site):
    Wire(site).send(ping(b"answered", ACK)).silent(frames.PingFrame)


@case("6.8 who says GOAWAY is still answered")
def _(site):
    wire = Wire(site, [(INITIAL_WINDOW, 0)]).request()
    wire.send(frame(GOAWAY, payload=bytes(8)), window_update(1, 100_000)).answers(200)
    if len(wire.body()) != TRANSCRIPT_SIZE_SENT:
        raise Wrong("a short body")


cases("6.9", broken_by(PROTOCOL_ERROR), {"WINDOW_UPDATE by nothing": lambda w: w.send(window_update(0, 0))})
cases("6.9", refused_by(PROTOCOL_ERROR, statuses=(200,)), {
    "WINDOW_UPDATE of a stream by nothing": lambda w: half_closed(w).send(window_update(1, 0)),
})
cases("6.9.1", broken_by(FLOW_CONTROL_ERROR), {
    "the connection's window beyond 2^31-1": lambda w: w.send(window_update(0, LARGEST_WINDOW), window_update(0, LARGEST_WINDOW)),
})
cases("6.9.1", refused_by(FLOW_CONTROL_ERROR, statuses=(200,)), {
    "a stream's window beyond 2^31-1":
        lambda w: half_closed(w).send(window_update(1, LARGEST_WINDOW), window_update(1, LARGEST_WINDOW)),
})
cases("6.9.2", refused_by(FLOW_CONTROL_ERROR, statuses=(200,)), {
    "a stream's window beyond 2^31-1 by SETTINGS":
        lambda w: half_closed(w).send(window_update(1, LARGEST_WINDOW), settings((INITIAL_WINDOW, LARGEST_WINDOW))),
})


@case("6.9.1 no more is sent than the window lets through")
def _(site):
    wire = Wire(site, [(INITIAL_WINDOW, 1)]).request()
    expect_bytes(wire, 1)
    wire.silent(frames.DataFrame)


@case("6.9.2 a window that grows by SETTINGS lets its bytes through")
def _(site):
    wire = Wire(site, [(INITIAL_WINDOW, 0)]).request()
    wire.answers(200)
    wire.silent(frames.DataFrame)
    expect_bytes(wire.send(settings((INITIAL_WINDOW, 1))), 1)


@case("6.9.2 a window can be less than nothing")
def _(site):
    wire = Wire(site, [(INITIAL_WINDOW, 3)]).request()
    expect_bytes(wire, 3)
    wire.send(settings((INITIAL_WINDOW, 2)))
    wire.silent(frames.DataFrame)
    expect_bytes(wire.send(window_update(1, 2)), 1)


@case("6.9.1 the connection's window holds all streams together")
def _(site):
    wire = Wire(site, [(INITIAL_WINDOW, 100_000)])
    wire.request(1).request(3)
    got, end = 0, time.monotonic() + 2
    try:
        while got < 65_536 and (read := wire.next(end)) is not None:
            got += len(read.data) if isinstance(read, frames.DataFrame) else 0
            end = min(end, time.monotonic() + 2 * MOMENT) if got == 65_535 else end
    except TimeoutError:
        pass
    if got != 65_535:
        raise Wrong(f"{got} bytes")


def in_pieces(wire, count):
    block = wire.block()
    size = -(-len(block) // count)
    pieces = [block[at:at + size] for at in range(0, len(block), size)]
    wire.send(frame(HEADERS, END_STREAM, 1, pieces[0]))
    for at, piece in enumerate(pieces[1:], 2):
        wire.send(frame(CONTINUATION, END_HEADERS if at == len(pieces) else 0, 1, piece))


cases("6.10", lambda wire: wire.answers(200), {
    "HEADERS in two": lambda w: in_pieces(w, 2),
    "HEADERS in five": lambda w: in_pieces(w, 5),
})
cases("6.10", broken_by(PROTOCOL_ERROR, STREAM_CLOSED), {
    "DATA within HEADERS": lambda w: w.request(flags=END_STREAM).send(frame(DATA, 1, 1, b"x")),
    "CONTINUATION of HEADERS that have ended": lambda w: opened(w).send(frame(CONTINUATION, END_HEADERS, 1, w.block())),
    "CONTINUATION after the last CONTINUATION":
        lambda w: (in_pieces(w, 2), w.send(frame(CONTINUATION, END_HEADERS, 1, w.block()))),
    "CONTINUATION after DATA":
        lambda w: opened(w).send(frame(DATA, 0, 1, b"x"), frame(CONTINUATION, END_HEADERS, 1, w.block())),
})

# --- 8: requests ------------------------------------------------------------------------------------------------------

cases("8.1", refused_by(PROTOCOL_ERROR), {
    "trailers that do not end the stream":
        lambda w: opened(w).send(frame(HEADERS, END_HEADERS, 1, w.encoder.encode([(b"x", b"y")]))),
})


def literal(name, value):
    """A literal field, without Huffman and without indexing."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def with_field(name, value):
    return lambda w: w.send(frame(HEADERS, 5, 1, w.block() + literal(name, value)))


cases("8.2.1", Wire.malformed, {
    "a name with a capital letter": with_field(b"X-Upper", b"1"),
    "a name with a space": with_field(b"x y", b"1"),
    "a name with a colon": with_field(b"x:y", b"1"),
    "a name with a byte beyond ASCII": with_field(b"x\xff", b"1"),
    "an empty name": with_field(b"", b"1"),
    "a value with a line feed": with_field(b"x", b"a\nb"),
    "a value with a carriage return": with_field(b"x", b"a\rb"),
    "a value with a NUL": with_field(b"x", b"a\0b"),
    "a value that begins with a space": with_field(b"x", b" a"),
    "a value that ends with a space": with_field(b"x", b"a "),
})
cases("8.2.2", Wire.malformed, {
    "connection": with_field(b"connection", b"keep-alive"),
    "keep-alive": with_field(b"keep-alive", b"1"),
    "proxy-connection": with_field(b"proxy-connection", b"keep-alive"),
    "transfer-encoding": with_field(b"transfer-encoding", b"chunked"),
    "upgrade": with_field(b"upgrade", b"websocket"),
    "te of anything but trailers": with_field(b"te", b"gzip"),
})
cases("8.2.2", lambda wire: wire.answers(200), {"te of trailers": with_field(b"te", b"trailers")})
cases("8.3", Wire.malformed, {
    "an unknown pseudo-header": lambda w: w.request(1, first=[(b":test", b"ok")]),
    "an answer's pseudo-header": lambda w: w.request(1, first=[(b":status", b"200")]),
    "a pseudo-header after a field": lambda w: w.request(1, (b":scheme", b"http"), drop=(b":scheme",), first=[(b"x", b"y")]),
    "a pseudo-header in trailers":
        lambda w: opened(w).send(frame(HEADERS, 5, 1, w.encoder.encode([(b":method", b"GET")]))),
    "no :method": lambda w: w.request(1, drop=(b":method",)),
    "no :scheme": lambda w: w.request(1, drop=(b":scheme",)),
    "no :path": lambda w: w.request(1, drop=(b":path",)),
    "an empty :path": lambda w: w.request(1, target=b""),
    ":method twice": lambda w: w.request(1, first=[(b":method", b"GET")]),
    ":scheme twice": lambda w: w.request(1, first=[(b":scheme", b"http")]),
    ":path twice": lambda w: w.request(1, first=[(b":path", b"/")]),
    ":authority twice": lambda w: w.request(1, first=[(b":authority", b"g")]),
    "Host that contradicts :authority": lambda w: w.request(1, (b"host", b"other")),
})
# HAProxy's health check has neither; the server may still serve it.
cases("8.3.1", lambda wire: wire.answers(200), {
    "neither :authority nor Host": lambda w: w.request(1, drop=(b":authority",)),
})
cases("8.3.1", lambda wire: wire.answers(204), {
    "OPTIONS * without :authority": lambda w: w.request(1, method=b"OPTIONS", target=b"*", drop=(b":authority",)),
    "OPTIONS / without :authority": lambda w: w.request(1, method=b"OPTIONS", target=b"/", drop=(b":authority",)),
})
cases("8.3", lambda wire: wire.refuses(PROTOCOL_ERROR, statuses=(400, 404, 405)), {
    "a :path that is no path": lambda w: w.request(1, target=b"no-slash"),
})
cases("8.5", lambda wire: wire.refuses(PROTOCOL_ERROR, statuses=(400, 404, 405)), {
    "CONNECT": lambda w: w.request(1, method=b"CONNECT", drop=(b":scheme", b":path")),
    "CONNECT with :path": lambda w: w.request(1, method=b"CONNECT"),
})
cases("8.1.1", lambda wire: wire.refuses(PROTOCOL_ERROR, statuses=(400, 405, 413)), {
    "a content-length that DATA does not keep": lambda w: opened_with_length(w).send(frame(DATA, 1, 1, b"test")),
    "a content-length that two DATA do not keep":
        lambda w: opened_with_length(w).send(frame(DATA, 0, 1, b"test"), frame(DATA, 1, 1, b"test")),
})


def opened_with_length(wire):
    return wire.request(1, (b"content-length", b"1"), flags=END_HEADERS, method=b"POST")


@case("8.4 nothing is pushed")
def _(site):
    wire = Wire(site).request()
    wire.body()
    if any(isinstance(f, frames.PushPromiseFrame) for f in wire.seen):
        raise Wrong("PUSH_PROMISE")


for method, statuses in ((b"GET", (200,)), (b"HEAD", (200,)), (b"OPTIONS", (200, 204)), (b"POST", (405,)), (b"BREW", (405,))):
    @case(f"8 {method.decode()} is answered as it should be")
    def _(site, method=method, statuses=statuses):
        wire = Wire(site).request(1, method=method)
        wire.answers(*statuses)


@case("8.1 HEAD has the same length and no DATA")
def _(site):
    wire = Wire(site).request(1, method=b"HEAD")
    answer = wire.until(lambda f: isinstance(f, frames.HeadersFrame), "answer")
    fields = dict(wire.decoder.decode(answer.data))
    if "END_STREAM" not in answer.flags or int(fields["content-length"]) != TRANSCRIPT_SIZE_SENT:
        raise Wrong(f"{fields}")


@case("8.1 the body is the object")
def _(site):
    wire = Wire(site).request()
    if hashlib.sha256(wire.body()).hexdigest() != site.program.digests["transcript"]:
        raise Wrong("another body")


@case("8.2.2 an answer has no field of a connection")
def _(site):
    wire = Wire(site).request(1, target=b"/nowhere")
    answer = wire.until(lambda f: isinstance(f, frames.HeadersFrame), "answer")
    names = [name for name, _ in wire.decoder.decode(answer.data)]
    if {"connection", "transfer-encoding", "keep-alive", "upgrade"} & set(names) or names != [n.lower() for n in names]:
        raise Wrong(f"{names}")


@case("8.1 streams are answered side by side")
def _(site):
    wire = Wire(site, [(INITIAL_WINDOW, 1)])
    wire.request(1).request(3)
    wire.data(3)
    wire.send(window_update(3, 1 << 20))
    if len(wire.body(3)) + 1 != TRANSCRIPT_SIZE_SENT:
        raise Wrong("a stream whose window is shut holds up another")


# --- 10: abuse --------------------------------------------------------------------------------------------------------

@case("10.5.1 more header fields than are taken")
def _(site):
    wire = Wire(site)
    block = wire.block() + b"".join(literal(b"x%d" % at, b"y" * 120) for at in range(400))
    wire.send(frame(HEADERS, END_STREAM, 1, block[:16_000]))
    for at in range(16_000, len(block), 16_000):
        wire.send(frame(CONTINUATION, END_HEADERS if at + 16_000 >= len(block) else 0, 1, block[at:at + 16_000]))
    wire.refuses(PROTOCOL_ERROR, ENHANCE_YOUR_CALM, COMPRESSION_ERROR, statuses=(431,))


@case("10.5 CONTINUATION without end")
def _(site):
    wire = Wire(site).request(flags=END_STREAM)
    for _ in range(2_000):
        wire.send(frame(CONTINUATION, 0, 1, literal(b"x", b"y" * 100) * 10))
    wire.breaks(PROTOCOL_ERROR, ENHANCE_YOUR_CALM, COMPRESSION_ERROR)


@case("10.5 CONTINUATION of nothing without end")
def _(site):
    wire = Wire(site).request(flags=END_STREAM)
    wire.send(frame(CONTINUATION, 0, 1) * 5_000)
    wire.breaks(PROTOCOL_ERROR, ENHANCE_YOUR_CALM)


@case("10.5 streams opened and reset without end")
def _(site):
    wire = Wire(site)
    for stream in range(1, 4_001, 2):
        wire.request(stream).send(frame(RST_STREAM, stream=stream, payload=RST))
    wire.breaks(ENHANCE_YOUR_CALM, PROTOCOL_ERROR)


@case("10.5 streams that make the server reset them without end")
def _(site):
    wire = Wire(site, [(INITIAL_WINDOW, 0)])
    for stream in range(1, 4_001, 2):
        wire.request(stream).send(window_update(stream, 0))
    wire.breaks(ENHANCE_YOUR_CALM, PROTOCOL_ERROR)


@case("10.5 ten thousand PINGs and SETTINGS leave others alone")
def _(site):
    wire = Wire(site)
    wire.socket.setblocking(False)
    try:
        wire.socket.send((ping() + settings()) * 10_000)
    except OSError:
        pass
    Wire(site).lives()


# --- RFC 7541 ---------------------------------------------------------------------------------------------------------

def sends_block(extra):
    return lambda w: w.send(frame(HEADERS, 5, 1, w.block() + extra))


cases("HPACK", broken_by(COMPRESSION_ERROR), {
    "2.3.3 an index beyond both tables": sends_block(b"\xc6"),
    "2.3.3 a literal whose name has an index beyond both tables": sends_block(b"\x0f\x37\x01x"),
    "4.2 a table's size after a field": sends_block(b"\x20"),
    "5.2 Huffman padding of more than seven bits": sends_block(b"\0\x01x\x84\x49\x50\x9f\xff"),
    "5.2 Huffman padding of zeros": sends_block(b"\0\x01x\x83\x49\x50\x90"),
    "5.2 Huffman with an end of string": sends_block(b"\0\x88\xf2\xb2\x4a\xff\xff\xff\xff\xff\x01a"),
    "5.1 an integer without end": sends_block(b"\x7f" + b"\xff" * 20),
    "6.1 index 0": sends_block(b"\x80"),
    "6.3 a table larger than SETTINGS_HEADER_TABLE_SIZE":
        lambda w: w.send(frame(HEADERS, 5, 1, b"\x3f\xe1\xff\x7f" + w.block())),
})
cases("HPACK", lambda wire: wire.answers(200), {
    "6.2.1 a literal that is remembered": sends_block(b"\x40\x01x\x01y"),
    "6.2.2 a literal that is not": sends_block(b"\0\x01x\x01y"),
    "6.2.3 a literal that never is": sends_block(b"\x10\x01x\x01y"),
    "5.2 a literal in Huffman": sends_block(b"\0\x81\xf3\x81\xf3"),
    "6.1 a field from the table that was just filled": sends_block(b"\x40\x01x\x01y\xbe"),
    "6.3 a table of another size at the start": lambda w: w.send(frame(HEADERS, 5, 1, b"\x20" + hpack_without_table(w))),
    "4.4 a field larger than the whole table": sends_block(b"\x40\x01x\x7f\xa9\x1f" + b"y" * 4_136),
})


def hpack_without_table(wire):
    """A request of literals only: the table has no room."""
    fields = ((b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"h"))
    path = wire.site.target
    return b"".join(literal(*field) for field in fields) + b"\x04\x7f" + bytes([(len(path) - 127) & 127 | 128, (len(path) - 127) >> 7]) + path


# --- two clients of other people --------------------------------------------------------------------------------------

def by_h2(site):
    """PyPI's h2 raises at everything that a server must not send."""
    sock = socket.create_connection(site.program.gateway, timeout=PATIENCE)
    if site.program.tls:
        sock = site.program.trust("h2").wrap_socket(sock, server_hostname="localhost")
        assert sock.selected_alpn_protocol() == "h2"
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    client.initiate_connection()
    wanted = {}
    for at in range(12):
        stream = client.get_next_available_stream_id()
        kind = "recording" if at % 6 == 0 else "transcript"
        head = [(":method", "GET"), (":scheme", "http"), (":authority", "h"), (":path", site.links[kind].decode())]
        client.send_headers(stream, head, end_stream=True)
        wanted[stream] = (kind, hashlib.sha256())
    sock.sendall(client.data_to_send())
    left = set(wanted)
    while left:
        for event in client.receive_data(sock.recv(65_536)):
            if isinstance(event, h2.events.DataReceived):
                wanted[event.stream_id][1].update(event.data)
                client.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                kind, digest = wanted[event.stream_id]
                assert digest.hexdigest() == site.program.digests[kind], f"another {kind}"
                left.remove(event.stream_id)
            elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                raise Wrong(f"{event}")
        sock.sendall(client.data_to_send())
    sock.close()


def by_nghttp(site):
    """Debian's nghttp prints every error of its library on a separate line."""
    urls = [site.program.origin + target.decode() for target in (*site.links.values(), site.absent)]
    done = subprocess.run(["nghttp", "-nv", "--no-dep", "-m", "10", *urls], capture_output=True, text=True, timeout=60)
    text = done.stdout + done.stderr
    statuses = sorted(line.rsplit(" ", 1)[1] for line in done.stdout.splitlines() if ") :status: " in line)
    # With -m 10 nghttp requests every URL ten times.
    if done.returncode or statuses != ["200"] * 20 + ["404"] * 10 or "[ERROR]" in text or "INVALID" in text:
        raise Wrong(f"exit {done.returncode}, {statuses}: {text[-600:]}")


CASES += [("a strict client: h2, 12 downloads at once", by_h2), ("a strict client: nghttp, verbose", by_nghttp)]


class Site:
    def __init__(self, program):
        self.program = program
        self.links = {kind: program.target(kind).encode() for kind in ("recording", "transcript")}
        self.target = self.links["transcript"]
        self.absent = program.target("recording", ABSENT).encode()


def run(tls):
    failed = 0
    with Program(tls=tls, log__level="error") as program:
        site = Site(program)
        global TRANSCRIPT_SIZE_SENT
        TRANSCRIPT_SIZE_SENT = len(program.objects["transcript"])
        for name, check in CASES:
            wrong, stands = None, STANDS.get(name)
            try:
                check(site)
            except (Wrong, AssertionError, OSError, hyperframe.exceptions.HyperframeError, h2.exceptions.ProtocolError) as error:
                wrong = f"{type(error).__name__}: {error}"
            if stands and wrong and stands[0] in wrong:
                continue
            if stands or wrong:
                failed += 1
                print(f"FAIL  {name}: {wrong or 'passes after all; take it out of STANDS'}")
        Wire(site).lives()
        assert program.stop() == 0
    return failed


def main():
    began = time.monotonic()
    known = {name for name, _ in CASES}
    assert set(STANDS) <= known, set(STANDS) - known
    failed = run(tls=False) + run(tls=True)
    for name, (does, reason) in STANDS.items():
        print(f"note  {name}: {does}; {reason}")
    passed = 2 * (len(CASES) - len(STANDS)) - failed
    print(f"conformance: {len(CASES)} cases, without TLS and with it: {passed} passed, {failed} failed, "
          f"{2 * len(STANDS)} stand with a reason, in {time.monotonic() - began:.0f} s")
    sys.exit(failed > 0)


main()
