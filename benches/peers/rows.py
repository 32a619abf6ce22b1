"""The rows: the work of each, its peers, and the most that this program may cost, as a share of the first peer."""
import dataclasses

from servers import Caddy, Lighttpd, Nginx, Ours

KB, MB = 1_000, 1_000_000

# What receivers do comes first; "hot" is the same few objects again and again.
FILES, STORE, TLS, SLOW, HOT = GROUPS = (
    "From local files", "From an S3-like store", "TLS and HTTP/2 in front", "Slow clients", "Hot: the same objects again",
)


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    title: str
    objects: str  # a key of OBJECTS
    connections: int
    peers: tuple  # makes each from a folder; the comparison is with the first
    at_most: float | None  # this program's processor time for the same work, as a share of the first peer's
    group: str
    least_rate: float | None = None  # its requests per second, likewise
    p99: bool = False  # whether its p99 may be no worse than the first peer's
    p99_ms: float | None = None  # instead of the peer's
    load: tuple = ()  # further arguments of the client
    status: int = 200
    length: int | None = None  # if it is not the object's
    spoiled: bool = False
    tls: bool = False
    store: str = "file"
    cold: bool = False


# Rows for which `--floor` can measure what the kernel alone costs.
FLOOR = ("8k", "100k", "5m", "range", "403", "connect")

# The number and the size of the objects of each kind. No cache of open files holds 20,000.
OBJECTS = {
    "8 KB": ("transcript", 64, 8 * 1024),
    "20,000 of 8 KB": ("transcript", 20_000, 8 * 1024),
    "100 KB": ("transcript", 64, 100 * 1024),
    "text of 100 KB": ("transcript", 400, 100 * KB),
    "1 MB": ("recording", 400, MB),
    "5 MB": ("recording", 8, 5 * MB),
    "50 MB": ("recording", 2, 50 * MB),
    "cold": ("recording", 200, 5 * MB),
}
# Kinds with real text; the others are random bytes, so only their sizes differ.
TEXTS = ("text of 100 KB",)


def nginx(variant=""):
    return lambda folder: Nginx(folder, variant)


def hot(*what, least_rate=1.0, p99=True, **more):
    return Row(*what, HOT, least_rate=least_rate, p99=p99, **more)


plain, nopush = nginx(), nginx("tcp_nopush off")
files = (plain, nginx("no open_file_cache"))
orientation = (Lighttpd, Caddy)
each = ("--close",)  # a connection for each request


def coded(coding, title, at_most):
    """Transcripts in a content coding. nginx has gzip alone, so it is the peer of the others too."""
    accepted = "gzip" if coding == "gzip" else f"{coding}, gzip;q=0.5"
    return Row(coding, f"transcript of 100 KB as {title}", "text of 100 KB", 64, (nginx("gzip"),), at_most, FILES,
               load=("--field", f"Accept-Encoding: {accepted}"))


def store_rows(name, title, store, peer, bounds):
    """Five rows of objects from a store, each with its bound."""
    works = (
        ("8k", "8 KB, 64 objects", "8 KB", 64, ()),
        ("miss-8k", "8 KB, 20,000 objects in turn", "20,000 of 8 KB", 64, ()),
        ("miss-8k-connect", "8 KB, 20,000 objects, a connection each", "20,000 of 8 KB", 64, each),
        ("1m-connect", "1 MB, 400 objects, a connection each", "1 MB", 64, each),
        ("5m", "5 MB", "5 MB", 16, ()),
    )
    return [
        Row(f"{name}-{work}", f"{title}: {what}", objects, connections, (peer,), at_most, STORE, load=load, store=store)
        for (work, what, objects, connections, load), at_most in zip(works, bounds)
    ]


ROWS = [
    Row("miss-8k", "8 KB, 20,000 objects in turn", "20,000 of 8 KB", 64, files, 1.0, FILES),
    Row("miss-8k-connect", "8 KB, 20,000 objects, a connection each", "20,000 of 8 KB", 64, files, 1.0, FILES, load=each),
    Row("miss-1m-connect", "1 MB, 400 objects, a connection each", "1 MB", 64, (plain,), 1.0, FILES, p99=True, load=each),
    coded("gzip", "gzip", 1.0),
    coded("br", "brotli", 1.5),
    coded("zstd", "zstd", 0.7),
    Row("tls-miss-8k", "TLS: 8 KB, 20,000 objects in turn", "20,000 of 8 KB", 64, (nginx("TLS"),), None, TLS, tls=True),
    Row("tls-miss-8k-connect", "TLS: 8 KB, 20,000 objects, a connection each", "20,000 of 8 KB", 32, (nginx("TLS"),), None, TLS,
        load=each, tls=True),
    Row("h2-miss-8k", "HTTP/2 over TLS: 8 KB, 20,000 objects in turn", "20,000 of 8 KB", 8, (nginx("HTTP/2"),), None, TLS,
        load=("--streams", "8"), tls=True),
    *store_rows("s3", "S3", "s3", nginx("proxy, tuned"), (1.5, 1.5, 1.4, None, None)),
    *store_rows("s3tls", "S3 over TLS", "s3 over TLS", nginx("proxy over TLS"), (1.6, 1.5, 1.4, 1.0, 1.0)),
    hot("8k", "8 KB transcript", "8 KB", 64, (plain, *orientation), 0.80, least_rate=1.2),
    hot("100k", "100 KB transcript", "100 KB", 64, (plain,), 0.88),
    hot("5m", "5 MB recording", "5 MB", 16, (plain, *orientation), 1.05),
    hot("50m", "50 MB recording", "50 MB", 8, (plain,), 1.05),
    hot("range", "64 KB range of 5 MB", "5 MB", 64, (nopush,), 0.80, p99_ms=10.0,
        load=("--field", "Range: bytes=1000000-1065535"), status=206, length=65536),
    hot("403", "bad signature, 403", "8 KB", 64, (plain, Lighttpd), 1.0, status=403, spoiled=True),
    hot("connect", "new connection for each 8 KB", "8 KB", 64, (plain, *orientation), 1.1, load=each),
    hot("alone", "8 KB, one connection alone", "8 KB", 1, (plain,), None, least_rate=None, p99=False),
    hot("log", "8 KB, nginx with its buffered access log", "8 KB", 64, (nginx("access log"),), 0.85),
    hot("tls-8k", "TLS 1.3: 8 KB", "8 KB", 64, (nginx("TLS"),), 0.70, tls=True),
    hot("tls-5m", "TLS 1.3: 5 MB", "5 MB", 16, (nginx("TLS"),), 0.60, tls=True),
    hot("tls-connect", "TLS 1.3: full handshake and 8 KB", "8 KB", 32, (nginx("TLS"),), 0.50, tls=True, load=each),
    hot("s3-100k", "S3: 100 KB (nginx keeps connections)", "100 KB", 64,
        (nginx("proxy, keep-alive"), nginx("proxy, default"), nginx("proxy, tuned")), 0.50, store="s3"),
    hot("cold", "5 MB recording that is not in the page cache", "cold", 8, (plain,), None, least_rate=None, p99=False, cold=True),
]


@dataclasses.dataclass(frozen=True)
class SlowRow:
    name: str
    title: str
    clients: int
    rate: int  # bytes a second; 0: reads nothing behind the head
    at_most_kb: float | None  # of the process's memory (RssAnon) for each
    group: str
    kernel_kb: float | None = None  # the most of the kernel's memory for each, sockets to client and store together
    kernel_share: float | None = None  # the same as a share of nginx's
    peer: object = plain
    store: str = "file"
    objects: str = "5 MB"


def slow(name, title, peer, store):
    return [
        SlowRow(f"{name}-slow-200", f"{title}: 200 downloads of 5 MB at 20 KB/s", 200, 20_000, None, SLOW, 600,
                peer=peer, store=store),
        SlowRow(f"{name}-stalled-200", f"{title}: 200 downloads of 5 MB, stalled", 200, 0, None, SLOW, 600,
                peer=peer, store=store),
    ]


SLOW_ROWS = [
    *slow("s3", "S3", nginx("proxy, tuned"), "s3"),
    *slow("s3tls", "S3 over TLS", nginx("proxy over TLS"), "s3 over TLS"),
    SlowRow("slow-1000", "1,000 downloads of 5 MB at 20 KB/s", 1000, 20_000, 15, SLOW, kernel_share=1 / 4),
    SlowRow("slow-5000", "5,000 downloads of 5 MB at 20 KB/s", 5000, 20_000, 15, SLOW, kernel_share=1 / 2),
    SlowRow("stalled-1000", "1,000 downloads of 5 MB, stalled", 1000, 0, None, SLOW),
    SlowRow("stalled-5000", "5,000 downloads of 5 MB, stalled", 5000, 0, None, SLOW),
]
EVERY = {row.name: row for row in [*ROWS, *SLOW_ROWS]}


def ours(row, folder, binary, label):
    return Ours(folder, binary, label, store=row.store, tls=getattr(row, "tls", False))
