"""What a million downloads an hour need, worked out from the measured rows. Standard library only."""
import report
from servers import OURS

SECOND = 1_000_000 / 3600 / 2  # recordings, and as many transcripts
RECORDING, TRANSCRIPT = 5e6, 8192
SPEEDS = (("1 MB/s", 1e6), ("20 KB/s", 20e3))

# Per column the rows of a recording, of a transcript on a connection each and on a kept one, and of a slow download.
COLUMNS = {
    "local files": ("5m", "miss-8k-connect", "miss-8k", "slow-5000"),
    "local files, TLS in front": ("tls-5m", "tls-miss-8k-connect", "tls-miss-8k", None),
    "S3": ("s3-5m", "s3-miss-8k-connect", "s3-miss-8k", "s3-slow-200"),
    "S3 over TLS": ("s3tls-5m", "s3tls-miss-8k-connect", "s3tls-miss-8k", "s3tls-slow-200"),
}
NEEDED = {row for rows in COLUMNS.values() for row in rows if row}


def table(figures):
    """Empty unless every row that it takes was measured."""
    if NEEDED - figures.keys():
        return ""
    columns = {name: needs(figures, *rows) for name, rows in COLUMNS.items()}
    # No row has TLS on both sides: TLS in front adds the same as before local files.
    plain, front, store = (columns[name] for name in ("local files", "local files, TLS in front", "S3 over TLS"))
    columns["S3 over TLS, TLS in front"] = {
        part: store[part] + front[part] - plain[part] for part in ("recording", "transcript")
    } | {"process": None, "kernel": None, "sockets": 2}
    rows = [
        ["a recording, its connection included: *r*", lambda of: f"{of['recording']:,.0f} µs"],
        ["a transcript, its connection included: *t*", lambda of: f"{of['transcript']:,.0f} µs"],
        [f"**cores**: {SECOND:.0f} × *r* + {SECOND:.0f} × *t*",
         lambda of: f"**{SECOND * (of['recording'] + of['transcript']) / 1e6:.2f}**"],
        ["sockets of a download: *s*", lambda of: f"{of['sockets']}"],
        ["memory of a download, process + kernel: *m*",
         lambda of: "–" if of["process"] is None else f"{of['process'] / 1e3:,.0f} + {of['kernel'] / 1e3:,.0f} KB"],
    ]
    for shown, speed in SPEEDS:
        at_once = SECOND * RECORDING / speed
        rows += [
            [f"clients of {shown}: *n* = {SECOND:.0f} × 5 MB / {shown} = {at_once:,.0f} at a time; sockets *n* × *s*",
             lambda of, at_once=at_once: f"{at_once * of['sockets']:,.0f}"],
            ["… memory *n* × *m*", lambda of, at_once=at_once: "–" if of["process"] is None
             else f"{at_once * (of['process'] + of['kernel']) / 1e9:,.2f} GB"],
        ]
    out = SECOND * (RECORDING + TRANSCRIPT)
    rows.append([f"bandwidth: {SECOND:.0f} × (5 MB + 8 KB)",
                 lambda of: f"{out * 8 / 1e9:.1f} Gbit/s out" + (", as much in" if of["sockets"] == 2 else "")])
    lines = [f"| | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    lines += [f"| {title} | {' | '.join(shown(of) for of in columns.values())} |" for title, shown in rows]
    return "\n".join(lines)


def needs(figures, recording, each, kept, slow):
    """µs of processor time for one of each, and bytes of a slow download."""
    cost = {row: report.median(report.per_request, figures[row][OURS]) for row in (recording, each, kept)}
    memory = [report.median(lambda one, name=name: one[name], figures[slow][OURS]) if slow else None
              for name in ("each", "kernel_each")]
    return {
        "recording": cost[recording] + cost[each] - cost[kept], "transcript": cost[each],
        "process": memory[0], "kernel": memory[1], "sockets": 2 if recording.startswith("s3") else 1,
    }
