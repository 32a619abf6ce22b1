"""The rows: the work of each, its peers, and the most that this program may cost, as a share of the first peer."""
import dataclasses

from servers import Caddy, Lighttpd, Nginx, Ours

KB, MB = 1_000, 1_000_000


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    title: str
    objects: str  # a key of OBJECTS
    connections: int
    peers: tuple  # makes each from a folder; the comparison is with the first
    at_most: float | None  # this program's processor time for the same work, as a share of the first peer's
    least_rate: float = 1.0  # its requests per second, likewise
    p99_ms: float | None = None  # instead of "not worse than the peer's"
    load: tuple = ()  # further arguments of the client
    status: int = 200
    length: int | None = None  # if it is not the object's
    spoiled: bool = False
    tls: bool = False
    store: str = "file"
    cold: bool = False


# Rows for which `--floor` can measure what the kernel alone costs.
FLOOR = ("8k", "100k", "5m", "range", "403", "connect")

# The number and the size of the objects of each kind.
OBJECTS = {
    "8 KB": ("transcript", 64, 8 * 1024),
    "100 KB": ("transcript", 64, 100 * 1024),
    "5 MB": ("recording", 8, 5 * MB),
    "50 MB": ("recording", 2, 50 * MB),
    "cold": ("recording", 200, 5 * MB),
}


def nginx(variant=""):
    return lambda folder: Nginx(folder, variant)


plain, nopush = nginx(), nginx("tcp_nopush off")
orientation = (Lighttpd, Caddy)
proxies = tuple(nginx(f"proxy, {name}") for name in ("default", "keep-alive", "tuned"))

ROWS = [
    Row("8k", "8 KB transcript", "8 KB", 64, (plain, *orientation), 0.80, least_rate=1.2),
    Row("100k", "100 KB transcript", "100 KB", 64, (plain, *orientation), 0.88),
    Row("5m", "5 MB recording", "5 MB", 16, (plain, *orientation), 1.05),
    Row("50m", "50 MB recording", "50 MB", 8, (plain, *orientation), 1.05),
    Row("range", "64 KB range of 5 MB", "5 MB", 64, (nopush, plain, *orientation), 0.80, p99_ms=10.0,
        load=("--field", "Range: bytes=1000000-1065535"), status=206, length=65536),
    Row("403", "bad signature, 403", "8 KB", 64, (plain, Lighttpd), 1.0, status=403, spoiled=True),
    Row("connect", "new connection for each 8 KB", "8 KB", 64, (plain, *orientation), 1.1, load=("--close",)),
    Row("alone", "8 KB, one connection alone", "8 KB", 1, (plain, *orientation), None),
    Row("log", "8 KB, nginx with its buffered access log", "8 KB", 64, (nginx("access log"),), 0.85),
    Row("tls-8k", "TLS 1.3: 8 KB", "8 KB", 64, (nginx("TLS"),), 0.70, tls=True),
    Row("tls-5m", "TLS 1.3: 5 MB", "5 MB", 16, (nginx("TLS"),), 0.60, tls=True),
    Row("tls-connect", "TLS 1.3: full handshake and 8 KB", "8 KB", 32, (nginx("TLS"),), 0.50, tls=True, load=("--close",)),
    Row("s3-8k", "S3-like upstream: 8 KB", "8 KB", 64, proxies, 1.05, store="s3"),
    Row("s3-100k", "S3-like upstream: 100 KB", "100 KB", 64, proxies, 0.50, store="s3"),
    Row("s3-5m", "S3-like upstream: 5 MB", "5 MB", 16, proxies, 0.40, store="s3"),
    Row("cold", "5 MB recording that is not in the page cache", "cold", 8, (plain,), None, cold=True),
]


@dataclasses.dataclass(frozen=True)
class SlowRow:
    name: str
    title: str
    clients: int
    rate: int  # bytes a second; 0: reads nothing behind the head
    at_most_kb: float | None  # of the process's memory (RssAnon) for each
    queue_at_most: float | None  # the kernel's send queues, as a share of nginx's


SLOW = [
    SlowRow("slow-1000", "1,000 downloads of 5 MB at 20 KB/s", 1000, 20_000, 15, 1 / 4),
    SlowRow("slow-5000", "5,000 downloads of 5 MB at 20 KB/s", 5000, 20_000, 15, 1 / 2),
    SlowRow("stalled-1000", "1,000 downloads of 5 MB, stalled", 1000, 0, None, None),
    SlowRow("stalled-5000", "5,000 downloads of 5 MB, stalled", 5000, 0, None, None),
]


def ours(row, folder, binary, label):
    return Ours(folder, binary, label, store=row.store, tls=row.tls)
