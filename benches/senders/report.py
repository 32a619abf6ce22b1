"""The tables: medians over the rounds. Standard library only."""
import statistics

from senders import OURS, Failed

BEGIN, END = "<!-- senders: begin (bash benches/senders/run writes this) -->", "<!-- senders: end -->"


def rate(found):
    """Deliveries a second, from the first call posted to the last delivery received."""
    return found["delivered"] / found["seconds"]


def sender_each(found):
    """Milliseconds of the sender's processor time for a delivery."""
    return found["cpu"] / found["delivered"] * 1e3


def database_each(found):
    return found["database_cpu"] / found["delivered"] * 1e3


def first_byte_p50(found):
    """Milliseconds from accepted to the first byte at the receiver."""
    return found["accepted_p50"] * 1e3


def first_byte_p99(found):
    return found["accepted_p99"] * 1e3


UNITS = {"rate": "deliveries/s", "database_each": "ms of the database a delivery", "first_byte_p50": "ms to the first byte, p50"}


def median(of, rounds):
    return statistics.median(of(found) for found in rounds)


def brief(found):
    return (f"{rate(found):7.0f}/s  CPU ms each {sender_each(found):.3f} + {database_each(found):.3f}  first byte p50 "
            f"{first_byte_p50(found):.1f} p99 {first_byte_p99(found):.1f} ms  {found['delivered']}/{found['expected']}"
            f"  repeated {found['repeated']}  others {found['others']:.0%}")


def tables(wanted, figures):
    wanted = [row for row in wanted if row.name in figures]
    return f"{bounds(wanted, figures)}\n\n{whole(wanted, figures)}\n"


def bounds(wanted, figures):
    lines = ["| work | database | figure | measured | bound | |", "|---|---|---|---|---|---|"]
    for row in wanted:
        for bound in row.bounds:
            for database, limit in (("PostgreSQL", bound.postgres), ("SQLite", bound.sqlite)):
                rounds = figures[row.name].get(f"{OURS}, {database}")
                if limit is None or not rounds:
                    continue
                value = median(globals()[bound.figure], rounds)
                met = value >= limit if bound.figure == "rate" else value <= limit
                cells = [row.title, database, UNITS[bound.figure], f"**{amount(value)}**",
                         f"{'at least' if bound.figure == 'rate' else 'at most'} {amount(limit)}", "met" if met else "**missed**"]
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def brief_table(figures):
    """The README's rows: how many, and how soon."""
    senders = list(figures["hundred"])
    lines = [f"| | {' | '.join(senders)} |", "|---" * (len(senders) + 1) + "|"]
    rates = [f"{median(rate, figures['hundred'][sender]):,.0f}" for sender in senders]
    lines.append(f"| deliveries/s to 100 endpoints | {' | '.join(rates)} |")
    delays = [f"{median(first_byte_p50, rounds):,.1f} / {median(first_byte_p99, rounds):,.1f} ms"
              for rounds in (figures["paced"][sender] for sender in senders)]
    lines.append(f"| from accepted to the first byte, 100 calls/s: p50 / p99 | {' | '.join(delays)} |")
    return "\n".join(lines)


def amount(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def whole(wanted, figures):
    lines = [
        "| work | sender | deliveries/s | sender's CPU s / 1,000 | database's CPU s / 1,000 | first byte after accepted: p50 | p99 |"
        " after posted: p50 | resident | delivered |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in wanted:
        for at, (name, rounds) in enumerate(figures[row.name].items()):
            delivered, expected, repeated = (sum(found[key] for found in rounds) for key in ("delivered", "expected", "repeated"))
            cells = [
                row.title if at == 0 else "", name, "" if row.per_second else f"{median(rate, rounds):,.0f}",
                f"{median(sender_each, rounds):.2f}",
                "in the sender's" if rounds[0]["own_database"] else f"{median(database_each, rounds):.2f}",
                *(f"{median(of, rounds):,.1f} ms" for of in (first_byte_p50, first_byte_p99, lambda one: one["posted_p50"] * 1e3)),
                f"{median(lambda one: one['VmRSS'], rounds) / 1e6:.0f} MB",
                ("all" if delivered == expected else f"{delivered:,} of {expected:,} in time")
                + (f", {repeated:,} twice" if repeated else ""),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def heading(machine, program, rounds, figures):
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    others = statistics.median(found["others"] for row in figures.values() for rounds in row.values() for found in rounds)
    return (
        f"{machine['cpu']}, {machine['cpus']} CPUs, Linux {machine['kernel']}; {program}; {versions}. Medians of {rounds} rounds "
        f"(fewer for rows that take long), every sender after the other in each round. Other processes of the machine had the sender's CPU for {others:.0%} of the "
        "time (the median): the more, the less rates and delays say."
    )


def write(page, text):
    """Replaces only the measured section of a page."""
    whole_page = page.read_text()
    if BEGIN not in whole_page or END not in whole_page:
        raise Failed(f"{page} has no section between {BEGIN} and {END}")
    before, rest = whole_page.split(BEGIN, 1)
    page.write_text(f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{rest.split(END, 1)[1]}")
