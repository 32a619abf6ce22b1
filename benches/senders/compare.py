#!/usr/bin/env python3
"""Runs the rows, each sender in turn in each round, and prints medians.

Started by `run`, in a separate network namespace. Standard library only.
"""
import argparse
import json
import os
import pathlib
import platform
import sys
import time

import report
import stored
from rows import ROWS
from senders import CLIENT_CPU, SERVER_CPU, BullMq, Failed, Folder, GraphileWorker, Load, Ours, Postgres, busy, settle

WARM = {"calls": 1_200, "wait": 60, "verify": True}
PAUSED = 100  # endpoints for deliveries that wait


def say(text):
    print(text, file=sys.stderr, flush=True)


def measure(row, sender, share):
    """One row with one sender; yields the figures of the row and of those that follow on its database."""
    with sender.started(), Load(sender) as load:
        load.do(endpoints=row.endpoints, hanging=row.hanging, late_ms=row.late_ms)
        workspaces = {"workspaces": row.endpoints, "hanging": row.hanging}
        if not row.hanging:
            exact(sender, load.do(**WARM, **workspaces))
        if row.pending:
            load.do(endpoints=PAUSED, first=PAUSED, paused=True)
            load.do(calls=int(row.pending * share), workspaces=PAUSED, first=PAUSED, hanging=PAUSED, wait=0)
        if row.stored:
            stored.fill(sender.store, sender.database, row.stored)
        for part in (row, *row.then):
            pace = {"per_second": part.per_second} if part.per_second else {}
            work = {"calls": int(part.calls * share), "bytes": part.bytes, "wait": part.wait} | pace
            found = counted(sender, lambda: load.do(**work, **workspaces))
            if not row.hanging:
                exact(sender, found)
            yield part, found


def counted(sender, work):
    """Does it, and counts processor time until the last result is recorded."""

    def read():
        settle()
        return sender.cpu(), sender.database_cpu(), busy(SERVER_CPU), time.monotonic()

    before = read()
    found = work()
    cpu, database, used, took = (late - early for early, late in zip(before, read()))
    return found | {
        "cpu": cpu, "database_cpu": database, "others": max(used - cpu, 0) / took, "own_database": sender.store is None,
    } | sender.memory()


def exact(sender, found):
    """Every delivery has to arrive, and to be signed."""
    if found["delivered"] != found["expected"] or found["unsigned"]:
        raise Failed(f"{sender.name}: {found}{sender.last_words()}")


def senders_of(row, senders):
    """Peers cannot pause; tables are filled in PostgreSQL."""
    ours = [sender for sender in senders if isinstance(sender, Ours)]
    return [sender for sender in ours if sender.store] if row.stored else ours if row.pending else senders


def run(folder, options, figures):
    wanted = [row for row in ROWS if row.name in options.only]
    postgres = Postgres(folder)
    every = {
        "sqlite": lambda: Ours(folder), "postgres": lambda: Ours(folder, postgres),
        "graphile-worker": lambda: GraphileWorker(folder, postgres), "bullmq": lambda: BullMq(folder),
    }
    senders = [every[name]() for name in options.senders]
    with postgres.running():
        for at in range(options.rounds):
            for row in wanted:
                if at >= (row.rounds or options.rounds):
                    continue
                for sender in senders_of(row, senders):
                    for part, found in measure(row, sender, 1 / 4 if options.quick else 1):
                        figures.setdefault(part.name, {}).setdefault(sender.name, []).append(found)
                        say(f"{part.name:16} {sender.name:28} {report.brief(found)}")
    return [part for row in wanted for part in (row, *row.then)]


def machine(folder):
    cpu = next(line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    modules = folder.modules / "node_modules"
    packages = {name: json.loads((modules / name / "package.json").read_text())["version"]
                for name in ("graphile-worker", "bullmq", "node") if (modules / name).exists()}
    postgres = folder.run([folder.postgres / "postgres", "--version"]).split()[2]
    redis = folder.run(["redis-server", "--version"]).split("v=")[1].split()[0]
    return {"cpu": cpu, "cpus": os.cpu_count(), "kernel": platform.release(),
            "versions": {"PostgreSQL": postgres, "redis": redis} | packages}


def read_options():
    parser = argparse.ArgumentParser(prog="bash benches/senders/run", description=__doc__)
    names, kinds = [row.name for row in ROWS], ["sqlite", "postgres", "graphile-worker", "bullmq"]
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help=f"rows, separated by commas: {', '.join(names)}")
    parser.add_argument("--senders", default="", help=f"likewise: {', '.join(kinds)}")
    parser.add_argument("--program", help="the program to measure, instead of the dist build")
    parser.add_argument("--quick", action="store_true", help="one round with a quarter of the calls, without the million rows")
    parser.add_argument("--nice", type=int, default=0, help="as root: -10 lets all parts go before what else runs")
    for name in ("load", "modules", "postgres", "folder", "results"):
        parser.add_argument(f"--{name}", required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    for given, possible in (("only", names), ("senders", kinds)):
        chosen = [name for name in getattr(options, given).split(",") if name]
        unknown = [name for name in chosen if name not in possible]
        if unknown:
            parser.error(f"--{given}: {', '.join(unknown)} is none of {', '.join(possible)}")
        setattr(options, f"all_{given}", not chosen)
        setattr(options, given, chosen or possible)
    if options.quick:
        options.rounds = 1
        if options.all_only:
            options.only = [name for name in names if name != "stored-1m"]
    return options


def main():
    options = read_options()
    os.sched_setaffinity(0, {CLIENT_CPU})
    folder = Folder(options)
    figures, began = {}, time.monotonic()
    try:
        wanted = run(folder, options, figures)
    finally:
        raw = {"machine": machine(folder), "rounds": options.rounds, "figures": figures}
        pathlib.Path(options.results).write_text(json.dumps(raw, indent=1))
    text = report.heading(raw["machine"], folder.run([folder.program, "--version"]).strip(), options.rounds, figures)
    text += "\n\n" + report.tables(wanted, figures)
    print(text)
    say(f"{(time.monotonic() - began) / 60:.0f} minutes; the figures of each round are in {options.results}")
    if options.all_only and options.all_senders and not options.quick:
        report.write(pathlib.Path("docs/performance.md"), text)
        report.write(pathlib.Path("README.md"), f"{raw['machine']['cpu']}, {raw['machine']['cpus']} CPUs:\n\n{report.brief_table(figures)}")
        say("the tables are in docs/performance.md and README.md")


if __name__ == "__main__":
    try:
        main()
    except Failed as failed:
        sys.exit(f"senders: {failed}")
