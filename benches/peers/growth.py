#!/usr/bin/env python3
"""How the program's cost grows: with connections, the size of objects, cores, keys and the number of objects.

Started by `run growth`, in a separate network namespace. Each table varies one thing and leaves the others as they are:
64 connections, objects of 8 KB, one core, one key, 64 objects. Standard library only.
"""
import argparse
import json
import os
import pathlib
import statistics
import sys
import time

import report
from compare import SETTLED, machine, say
from servers import CLIENT_CPU, SERVER_CPU, Asset, Failed, Folder, Ours

KB, MB = 1024, 1024 * 1024
MOST = 200_000
SIZES = [1 * KB, 8 * KB, 64 * KB, 512 * KB, 4 * MB, 32 * MB, 256 * MB, 1024 * MB]


class Growth:
    def __init__(self, folder, options):
        self.folder, self.options, self.next, self.lists = folder, options, 1, 0
        self.figures = {}

    # --- objects and keys ----------------------------------------------------------------------------------------------

    def list(self, assets):
        """The file with these objects' targets. The script has the key, so it needs no process for each link."""
        self.lists += 1
        path = self.folder.path / f"growth-{self.lists}"
        with open(path, "w") as file:
            for asset in assets:
                file.write(f"{asset.signed()}\t{asset.file}\n")
        return path

    def assets(self, count, size, kind="transcript"):
        made = []
        for _ in range(count):
            made.append(Asset(self.folder, self.next, kind))
            self.next += 1
        for asset in made:
            if size <= 64 * KB:
                asset.file.write_bytes(os.urandom(size))
            else:
                asset.make(size)
        # As in `compare`: servers do not cache files that have just changed.
        time.sleep(SETTLED)
        return made

    def keyring(self, keys):
        """A ring of `keys` verifying keys. The links were made with the one that signs."""
        path = self.folder.path / f"keys-{keys}.json"
        file = json.loads(self.folder.keys.read_text())
        first = file["keys"][0]
        for number in range(1, keys):
            file["keys"].append(first | {"id": f"{first['id']}-{number}", "secret": os.urandom(32).hex()})
        path.write_text(json.dumps(file))
        path.chmod(0o600)
        return path

    # --- one measurement -----------------------------------------------------------------------------------------------

    def measure(self, targets, length, connections=64, cores=1, keys=1, more=()):
        keyring = self.keyring(keys)
        # Connections and downloads share the open files: 20,000 are enough for 10,000 connections then.
        options = {"LONGEST_LIFETIME": "24h", "GATEWAY_REQUESTS_IN_FLIGHT": "4096", "GATEWAY_REQUESTS_PER_ADDRESS": "4096"}
        server = Ours(self.folder, threads=cores, keys=keyring, options=options)
        # On two CPUs the second core shares its CPU with the client.
        cpus = {SERVER_CPU, CLIENT_CPU} if cores > 1 else {SERVER_CPU}
        work = [self.folder.load, "--address", f"127.0.0.1:{server.port}", "--targets", targets,
                "--length", length, "--connections", connections, *more]
        rounds = []
        for _ in range(self.options.rounds):
            with server.running(cpus=cpus):
                first = self.ask(work, self.options.seconds / 4)["requests"]
                before = server.cpu()
                found = self.ask([*work, "--first", first], self.options.seconds)
                found["cpu"] = server.cpu() - before
                rounds.append(found | server.memory())
        return rounds

    def ask(self, work, seconds):
        return json.loads(self.folder.asked([*work, "--seconds", seconds], 600))

    def row(self, table, label, rounds):
        self.figures.setdefault(table, {})[label] = rounds
        say(f"{table}: {label:>12}  {report.brief(rounds[-1])}")

    # --- the tables ----------------------------------------------------------------------------------------------------

    def connections(self):
        targets = self.list(self.assets(64, 8 * KB))
        for count in (1, 4, 16, 64, 256, 1000, 4000, 10_000):
            self.row("connections", f"{count:,}", self.measure(targets, 8 * KB, connections=count))

    def sizes(self):
        for size in [size for size in SIZES if size <= self.options.largest]:
            count = max(1, min(64, 64 * MB // size))
            made = self.assets(count, size, "recording")
            connections = min(64, max(2, 64 * MB // size))
            self.row("size of the object", shown(size), self.measure(self.list(made), size, connections=connections))
            for asset in made:
                asset.file.unlink()

    def cores(self):
        small = self.list(self.assets(64, 8 * KB))
        large = self.list(self.assets(8, 5_000_000, "recording"))
        for cores in (1, 2):
            self.row("cores", f"{cores}, 8 KB", self.measure(small, 8 * KB, cores=cores))
            self.row("cores", f"{cores}, 5 MB", self.measure(large, 5_000_000, connections=16, cores=cores))

    def keys(self):
        targets = self.list(self.assets(64, 8 * KB))
        for count in (1, 2, 4, 8, 16, 32, 64):
            self.row("keys in the ring", f"{count}", self.measure(targets, 8 * KB, keys=count))

    def objects(self):
        """Objects requested in turn, on kept connections and on a connection each. No cache holds more than 1,024 files."""
        made = []
        for count in [count for count in (64, 1000, 20_000, 200_000) if count <= self.options.most]:
            if count > 1000:
                say(f"making {count - len(made):,} objects of 8 KB")
            made += self.assets(count - len(made), 8 * KB)
            targets = self.list(made)
            self.row("objects in turn", f"{count:,}", self.measure(targets, 8 * KB))
            self.row("objects in turn", f"{count:,}, a connection each", self.measure(targets, 8 * KB, more=["--close"]))


def shown(size):
    for unit, name in ((1024 * MB, "GB"), (MB, "MB"), (KB, "KB")):
        if size >= unit:
            return f"{size // unit} {name}"
    return f"{size} B"


def tables(figures):
    parts = []
    for table, found in figures.items():
        parts += [
            f"### {table[0].upper()}{table[1:]}", "",
            f"| {table} | CPU ms / 1,000 requests | CPU s / GB | requests/s | GB/s | p50 | p99 | resident | anonymous |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for label, rounds in found.items():
            middle = lambda of: statistics.median(of(one) for one in rounds)  # noqa: E731
            cells = [
                label, f"{middle(report.per_request):,.1f}", f"{middle(report.per_gb):.3f}", f"{middle(report.rate):,.0f}",
                f"{middle(lambda one: one['bytes'] / one['seconds'] / 1e9):.2f}",
                f"{middle(lambda one: one['p50_us']) / 1e3:.2f} ms", f"{middle(report.p99) / 1e3:.2f} ms",
                f"{middle(lambda one: one['VmRSS']) / 1e6:.0f} MB", f"{middle(lambda one: one['RssAnon']) / 1e6:.0f} MB",
            ]
            parts.append(f"| {' | '.join(cells)} |")
        parts.append("")
    return "\n".join(parts)


def read_options():
    names = ["connections", "sizes", "cores", "keys", "objects"]
    parser = argparse.ArgumentParser(prog="bash benches/peers/run growth", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--only", default="", help=f"tables, separated by commas: {', '.join(names)}")
    parser.add_argument("--most", type=int, default=MOST, help="objects of 8 KB in turn; 200,000 take 1.6 GB of disk")
    parser.add_argument("--largest", type=int, default=SIZES[-1], help="object, in bytes")
    parser.add_argument("--nice", type=int, default=0, help="as root: -10 lets server and client go before what else runs")
    parser.add_argument("--binary", default="", help="a program to measure instead of ours")
    for name in ("load", "ours", "folder", "results"):
        parser.add_argument(f"--{name}", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--pages", required=True, type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.tables = [name for name in options.only.split(",") if name] or names
    unknown = [name for name in options.tables if name not in names]
    if unknown:
        parser.error(f"no table is called {', '.join(unknown)}; there are {', '.join(names)}")
    return options


def main():
    options = read_options()
    os.sched_setaffinity(0, {CLIENT_CPU})
    binary = str(pathlib.Path(options.binary).resolve()) if options.binary else options.ours
    folder = Folder(options.folder, binary, options.load, options.nice)
    growth = Growth(folder, options)
    began = time.monotonic()
    try:
        for name in options.tables:
            getattr(growth, name)()
    finally:
        raw = {"machine": machine(), "rounds": options.rounds, "seconds": options.seconds, "figures": growth.figures}
        pathlib.Path(options.results).write_text(json.dumps(raw, indent=1))
    text = tables(growth.figures)
    print(text)
    say(f"{(time.monotonic() - began) / 60:.0f} minutes; the figures of each round are in {options.results}")
    if not options.only and options.most == MOST and options.largest == SIZES[-1]:
        heading = report.heading(raw["machine"], Folder.run([folder.binary, "--version"]).strip(), options)
        report.write(options.pages / "docs/growth.md", f"{heading}\n\n{text}")
        say("the tables are in docs/growth.md")


if __name__ == "__main__":
    try:
        main()
    except Failed as failed:
        sys.exit(f"peers: {failed}")
