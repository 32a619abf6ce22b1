"""The tables: medians over the rounds, and the median of each round's ratio to the peer. Standard library only."""
import itertools
import pathlib
import statistics

import rows
from servers import OURS, Failed

BEGIN, END = "<!-- {}: begin (bash benches/peers/run writes this) -->", "<!-- {}: end -->"

# The README's rows: a title, the row, and the strongest nginx of that row.
README = [
    ("5 MB out of an S3-like store, processor time", "s3-5m", "nginx (proxy, tuned)"),
    ("8 KB over TLS, a connection each, processor time", "tls-miss-8k-connect", "nginx (TLS)"),
    ("8 KB from local files, 20,000 in turn, processor time", "miss-8k", "nginx (no open_file_cache)"),
    ("a slow download out of an S3-like store, memory, the kernel's included", "s3-slow-200", "nginx (proxy, tuned)"),
]


def per_request(found):
    """Milliseconds of processor time for 1,000 requests."""
    return found["cpu"] / found["requests"] * 1e6


def per_gb(found):
    return found["cpu"] / found["bytes"] * 1e9


def rate(found):
    return found["requests"] / found["seconds"]


def p99(found):
    return found["p99_us"]


def brief(found):
    if "kernel_each" in found:
        return (f"{found['each'] / 1e3:6.1f} KB each, {found['kernel_each'] / 1e3:6.0f} KB of the kernel's, "
                f"probe p99 {found['probe']['p99_us'] / 1e3:.2f} ms")
    disk = f", {found['read_from_disk'] / found['bytes']:.0%} read from disk" if "read_from_disk" in found else ""
    each = f"{found['bytes'] / found['requests'] / 1e3:,.1f} KB each"
    return f"{per_request(found):8.1f} ms/1,000  {rate(found):8.0f}/s  p99 {p99(found) / 1e3:.2f} ms  {each}{disk}"


def median(of, rounds):
    return statistics.median(of(found) for found in rounds)


def ratio(of, mine, theirs):
    """The median of the ratios within each round."""
    return statistics.median(of(one) / of(other) for one, other in zip(mine, theirs))


def spread(of, mine, theirs):
    ratios = sorted(of(one) / of(other) for one, other in zip(mine, theirs))
    return f"{ratios[0]:.2f}–{ratios[-1]:.2f}"


def tables(wanted, figures):
    """The rows of each group: what they may cost, then all figures."""
    groups = [(group, [row for row in wanted if row.group == group and row.name in figures]) for group in rows.GROUPS]
    groups = [(group, found) for group, found in groups if found]
    parts = []
    for group, found in groups:
        fast = [row for row in found if isinstance(row, rows.Row)]
        slow = [row for row in found if isinstance(row, rows.SlowRow)]
        parts += [f"### {group}", ""]
        parts += [summary(fast, figures), ""] if fast else []
        parts += [slowly(slow, figures), ""] if slow else []
    fast = [row for _, found in groups for row in found if isinstance(row, rows.Row)]
    if fast:
        parts += ["### All figures", "", whole(fast, figures)]
    return "\n".join(parts).strip() + "\n"


def of_ours(figures):
    return [name for name in figures if name.startswith(OURS)]


def mark(met):
    return "met" if met else "**missed**"


def summary(wanted, figures):
    """This program against each nginx of a row; the bounds belong to the first."""
    lines = [
        "| work | against | its CPU a request | ours | **ours / its** | lowest–highest round | at most | | requests/s | at least | | p99, ours / its | at most | |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in wanted:
        found = figures[row.name]
        peers = [name for name in found if name.startswith("nginx")]
        for peer, name in itertools.product(peers, of_ours(found)):
            lines.append(f"| {' | '.join(compared(row, peer, name, found[peer], found[name], judged=peer == peers[0]))} |")
    return "\n".join(lines)


def compared(row, peer, name, theirs, mine, judged):
    cost, speed = ratio(per_request, mine, theirs), ratio(rate, mine, theirs)
    late, their_late = median(p99, mine) / 1e3, median(p99, theirs) / 1e3
    latest = row.p99_ms or (their_late if row.p99 else None)
    at_most, least_rate, latest = (row.at_most, row.least_rate, latest) if judged else (None, None, None)
    return [
        row.title + name.removeprefix(OURS), peer, micros(theirs), micros(mine), f"**{cost:.2f}**",
        spread(per_request, mine, theirs), *bound(at_most, cost, "{:.2f}"),
        f"{speed:.2f}", *bound(least_rate, speed, "{:.2f}", least=True),
        f"{late:.2f} / {their_late:.2f} ms", *bound(latest, late, "{:.2f} ms"),
    ]


def brief_table(figures):
    """The README's few rows; nginx does one of them better."""
    lines = ["| | nginx | ours | ours / nginx |", "|---|---|---|---|"]
    for title, row, peer in README:
        mine, theirs = figures[row][OURS], figures[row][peer]
        of, shown = (memory_each, "{:,.0f} KB") if "kernel_each" in mine[0] else (per_request, "{:,.1f} µs")
        cells = [title, shown.format(median(of, theirs)), shown.format(median(of, mine)), f"**{ratio(of, mine, theirs):.2f}**"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def memory_each(found):
    """Kilobytes of a slow client, in the process and in the kernel."""
    return (found["each"] + found["kernel_each"]) / 1e3


def bound(limit, found, shown, least=False):
    """Two cells: the bound, and whether it holds for what is shown."""
    if limit is None:
        return "", ""
    return shown.format(limit), mark(found >= limit if least else found <= limit)


def micros(rounds):
    """µs of processor time a request; `per_request` has milliseconds for a thousand."""
    return f"{median(per_request, rounds):,.1f} µs"


def whole(wanted, figures):
    lines = [
        "| work | server | CPU ms / 1,000 requests | CPU s / GB | requests/s | p50 | p99 | resident | CPU / first peer's |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in wanted:
        found = figures[row.name]
        base = next(name for name in found if not name.startswith(OURS))
        for at, (name, rounds) in enumerate(found.items()):
            small = median(lambda one: one["bytes"] / one["requests"], rounds) < 1000
            cells = [
                row.title if at == 0 else "", name, f"{median(per_request, rounds):.1f}",
                "–" if small else f"{median(per_gb, rounds):.3f}", f"{median(rate, rounds):,.0f}",
                f"{median(lambda one: one['p50_us'], rounds) / 1e3:.2f} ms", f"{median(p99, rounds) / 1e3:.2f} ms",
                f"{median(lambda one: one['VmRSS'], rounds) / 1e6:.0f} MB", f"{ratio(per_request, rounds, found[base]):.2f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
        if row.cold:
            for name, rounds in found.items():
                probes = [one["probe"] for one in rounds]
                disk = statistics.median(one["read_from_disk"] / one["bytes"] for one in rounds)
                cells = ["", f"{name}: 8 KB from memory meanwhile ({disk:.0%} of the cold bytes came from disk)", "", "",
                         f"{median(rate, probes):,.0f}", f"{median(lambda one: one['p50_us'], probes) / 1e3:.2f} ms",
                         f"{median(p99, probes) / 1e3:.2f} ms", "", ""]
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def slowly(wanted, figures):
    lines = [
        "| work | server | memory each (RssAnon) | at most | | the kernel's each | at most | | / nginx's | at most | | resident | 8 KB meanwhile: p50 / p99 |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in wanted:
        found = figures[row.name]
        base = next(name for name in found if not name.startswith(OURS))
        for at, (name, rounds) in enumerate(found.items()):
            each = median(lambda one: one["each"], rounds) / 1e3
            kernel = median(kernel_each, rounds) / 1e3
            share = ratio(kernel_each, rounds, found[base])
            bounds = (row.at_most_kb, row.kernel_kb, row.kernel_share) if name.startswith(OURS) else (None, None, None)
            probes = [one["probe"] for one in rounds]
            cells = [
                row.title if at == 0 else "", name, f"{each:.1f} KB", *bound(bounds[0], each, "{} KB"),
                f"{kernel:,.0f} KB", *bound(bounds[1], kernel, "{} KB"), f"{share:.2f}", *bound(bounds[2], share, "{:.2f}"),
                f"{median(lambda one: one['VmRSS'], rounds) / 1e6:.0f} MB",
                f"{median(lambda one: one['p50_us'], probes) / 1e3:.2f} / {median(p99, probes) / 1e3:.2f} ms",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def kernel_each(found):
    """Bytes; at least 1, because it divides."""
    return max(found["kernel_each"], 1)


def heading(machine, program, options):
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"Medians of {options.rounds} rounds of {options.seconds:g} s each, every server after the other in each round. {program}; "
        f"{versions}. {place(machine)}."
    )


def place(machine):
    return (f"{machine['cpus']} CPUs, {machine['cpu']}, {machine['memory_gib']} GiB, Linux {machine['kernel']}, "
            f"congestion control {machine['congestion_control']}")


def disturbance(figures):
    """How busy the machine was otherwise. nginx has one thread, so when it waits another process has its CPU."""
    shares = [
        one["waited"] / (one["waited"] + one["cpu"])
        for found in figures.values() for name, rounds in found.items() if name.startswith("nginx")
        for one in rounds if "waited" in one
    ]
    if not shares:
        return ""
    return (f"Of the time that nginx could have run, other processes of the machine had its CPU for {statistics.median(shares):.0%} "
            "(the median): the more, the less requests/s and p99 say.")


def write(page, text, section="measured"):
    """Replaces only this section of a page."""
    page, begin, end = pathlib.Path(page), BEGIN.format(section), END.format(section)
    before, found, rest = page.read_text().partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise Failed(f"{page} has no section between {begin} and {end}")
    page.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}")
