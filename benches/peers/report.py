"""The tables: medians over the rounds, and the median of each round's ratio to the peer. Standard library only."""
import pathlib
import statistics

import rows
from servers import OURS, Failed

BEGIN, END = "<!-- measured: begin (bash benches/peers/run writes this) -->", "<!-- measured: end -->"


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
    if "send_queue" in found:
        return (f"{found['each'] / 1e3:6.1f} KB each, {found['send_queue'] / 1e6:6.0f} MB queued, "
                f"probe p99 {found['probe']['p99_us'] / 1e3:.2f} ms")
    disk = f", {found['read_from_disk'] / found['bytes']:.0%} read from disk" if "read_from_disk" in found else ""
    return f"{per_request(found):8.1f} ms/1,000  {rate(found):8.0f}/s  p99 {p99(found) / 1e3:.2f} ms{disk}"


def median(of, rounds):
    return statistics.median(of(found) for found in rounds)


def ratio(of, mine, theirs):
    """The median of the ratios within each round."""
    return statistics.median(of(one) / of(other) for one, other in zip(mine, theirs))


def spread(of, mine, theirs):
    ratios = sorted(of(one) / of(other) for one, other in zip(mine, theirs))
    return f"{ratios[0]:.2f}–{ratios[-1]:.2f}"


def tables(wanted, figures):
    fast = [row for row in wanted if isinstance(row, rows.Row) and row.name in figures]
    slow = [row for row in wanted if isinstance(row, rows.SlowRow) and row.name in figures]
    parts = []
    if fast:
        parts += ["### What we may cost", "", summary(fast, figures), "", "### All figures", "", whole(fast, figures)]
    if slow:
        parts += ["", "### Slow downloads", "", slowly(slow, figures)]
    return "\n".join(parts).strip() + "\n"


def of_ours(figures):
    return [name for name in figures if name.startswith(OURS)]


def mark(*met):
    return "met" if all(met) else "**missed**"


def summary(wanted, figures):
    """This program against the first peer of each row."""
    lines = [
        "| work | against | our CPU / its | lowest–highest round | at most | | requests/s | at least | | p99, ours / its | at most | |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in wanted:
        found = figures[row.name]
        names = [name for name in found if not name.startswith(OURS)]
        compared = names if row.store == "s3" else names[:1]
        for peer in compared:
            # Opinions on nginx's defaults differ: a new connection for each request, or kept ones.
            held = peer == names[0] or peer.endswith("keep-alive)")
            for name in of_ours(found):
                mine, theirs = found[name], found[peer]
                cost, speed = ratio(per_request, mine, theirs), ratio(rate, mine, theirs)
                late, their_late = median(p99, mine) / 1e3, median(p99, theirs) / 1e3
                bound = row.p99_ms or their_late
                judged = held and row.at_most is not None
                cells = [
                    row.title + (name.removeprefix(OURS)), peer, f"**{cost:.2f}**", spread(per_request, mine, theirs),
                    f"{row.at_most:.2f}" if judged else "", mark(cost <= row.at_most) if judged else "",
                    f"{speed:.2f}", f"{row.least_rate:.2f}" if judged else "",
                    mark(speed >= row.least_rate) if judged else "",
                    f"{late:.2f} / {their_late:.2f} ms", f"{bound:.2f} ms" if judged else "",
                    mark(late <= bound) if judged else "",
                ]
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


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
        "| work | server | memory each (RssAnon) | at most | | resident | kernel send queue | / nginx's | at most | | its memory | 8 KB meanwhile: p50 / p99 |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in wanted:
        found = figures[row.name]
        base = next(name for name in found if not name.startswith(OURS))
        for at, (name, rounds) in enumerate(found.items()):
            each = median(lambda one: one["each"], rounds) / 1e3
            queued = ratio(lambda one: max(one["send_queue"], 1), rounds, found[base])
            mine = name.startswith(OURS) and row.at_most_kb is not None
            probes = [one["probe"] for one in rounds]
            cells = [
                row.title if at == 0 else "", name, f"{each:.1f} KB", f"{row.at_most_kb} KB" if mine else "",
                mark(each <= row.at_most_kb) if mine else "",
                f"{median(lambda one: one['VmRSS'], rounds) / 1e6:.0f} MB",
                f"{median(lambda one: one['send_queue'], rounds) / 1e6:.0f} MB", f"{queued:.2f}",
                f"{row.queue_at_most:.2f}" if mine else "", mark(queued <= row.queue_at_most) if mine else "",
                f"{median(lambda one: one['kernel'], rounds) / 1e6:.0f} MB",
                f"{median(lambda one: one['p50_us'], probes) / 1e3:.2f} / {median(p99, probes) / 1e3:.2f} ms",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def heading(machine, program, options):
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"Medians of {options.rounds} rounds of {options.seconds:g} s each, every server after the other in each round. {program}; "
        f"{versions}. {machine['cpus']} CPUs ({machine['cpu']}), {machine['memory_gib']} GiB, Linux {machine['kernel']}, "
        f"congestion control {machine['congestion_control']}."
    )


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


def write(page, text):
    """Replaces only the measured section of a page."""
    whole_page = page.read_text()
    if BEGIN not in whole_page or END not in whole_page:
        raise Failed(f"{page} has no section between {BEGIN} and {END}")
    before, rest = whole_page.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    pathlib.Path(page).write_text(f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}")
