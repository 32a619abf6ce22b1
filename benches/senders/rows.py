"""The rows: the work of each, and the bounds of this program."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Bound:
    figure: str  # a function of report.py
    postgres: float | None  # at least for rates, at most for the others
    sqlite: float | None = None


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    title: str
    calls: int
    endpoints: int
    bounds: tuple = ()
    per_second: int | None = None
    hanging: int = 0
    late_ms: int = 0
    bytes: int = 0
    rounds: int | None = None  # if not as many as the others
    stored: int = 0  # deliveries that the database holds before; this program on PostgreSQL only
    pending: int = 0  # deliveries of paused endpoints that wait meanwhile; this program only
    wait: int = 60  # seconds for what is not delivered when the last call is accepted
    then: tuple = ()  # rows that are measured on the same database right after this one


ROWS = [
    Row("one", "one endpoint", 4_000, 1, (Bound("rate", 1_200),)),
    Row("hundred", "100 endpoints", 6_000, 100, (Bound("rate", 2_000),)),
    Row("large", "calls of 50 KB, 100 endpoints", 2_000, 100, (Bound("rate", 900),), bytes=50_000),
    Row("paced", "100 endpoints, 100 calls/s", 500, 100, (Bound("first_byte_p50", 1.5),), per_second=100),
    Row("late", "one endpoint that answers after 100 ms, 200 calls/s", 1_000, 1, (Bound("first_byte_p50", 20, 20),),
        per_second=200, late_ms=100),
    Row("pending", "100,000 deliveries of paused endpoints wait, 100 calls/s to another", 500, 1, per_second=100, pending=100_000, rounds=1),
    Row("hang", "60 of 200 endpoints hang, 200 calls/s to all: the other 140", 2_000, 200, per_second=200, hanging=60,
        rounds=1, wait=15),
    *(
        Row(name, f"{count:,} deliveries in the tables", 4_000, 100, (Bound("database_each", 0.6),), stored=count, rounds=rounds,
            then=(Row(f"{name}-paced", f"{count:,} deliveries in the tables, 100 calls/s", 500, 100, (Bound("database_each", 0.6),), per_second=100),))
        for name, count, rounds in (("stored-10k", 10_000, 2), ("stored-1m", 1_000_000, 1))
    ),
]
