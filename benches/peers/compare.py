#!/usr/bin/env python3
"""Runs the rows, each server in turn in each round, and prints medians and the ratios of each round.

Started by `run`, in a separate network namespace. Standard library only.
"""
import argparse
import contextlib
import json
import os
import pathlib
import platform
import re
import ssl
import subprocess
import sys
import time
import urllib.request

import million
import report
import rows
from servers import BUCKET_PORT, CLIENT_CPU, OURS, Asset, Bucket, Failed, Floor, Folder, child, spoiled, versions
from transcripts import transcript

SETTLED = 3.5  # seconds


class Run:
    def __init__(self, folder, options):
        self.folder, self.options, self.assets, self.lists = folder, options, {}, {}
        self.figures = {}  # row → server → one dictionary for each round
        self.compared = set()  # servers whose bytes were compared with the files'

    def make(self, names):
        """Creates the objects of these kinds."""
        for name in names:
            kind, count, size = rows.OBJECTS[name]
            if name == "cold" and self.options.quick:
                count //= 4
            first = 100_000 * list(rows.OBJECTS).index(name)
            say(f"making {count:,} objects of {size:,} bytes")
            written = transcript if name in rows.TEXTS else lambda *_: None
            self.assets[name] = [Asset(self.folder, first + at, kind).make(size, written(at, size)) for at in range(count)]
        # Pages that are not on disk yet cannot be dropped from the page cache, and writing them costs others time.
        os.sync()
        # Servers do not cache files that have just changed: the first server would do more work than the others.
        time.sleep(SETTLED)

    def targets(self, server, name, spoil=False):
        """The file with the targets of these objects at this kind of server."""
        key = (type(server), name, spoil)
        if key not in self.lists:
            links = [(server.target(asset), asset.file) for asset in self.assets[name]]
            path = self.folder.path / f"targets-{len(self.lists)}"
            path.write_text("".join(f"{spoiled(link) if spoil else link}\t{file}\n" for link, file in links))
            self.lists[key] = path
        return self.lists[key]

    def load(self, server, targets, *more):
        command = [self.folder.load, "--address", f"127.0.0.1:{server.port}", "--targets", targets, *more]
        if server.tls:
            command += ["--trust", self.folder.path / "tls.pem"]
        return [str(part) for part in command]

    def ask(self, server, targets, *more):
        try:
            return json.loads(self.folder.asked(self.load(server, targets, *more), 180))
        except Failed as failed:
            raise Failed(f"{server.name}: {failed}{server.last_words()}") from None

    def servers(self, row):
        """In the order of measuring: the peer of the comparison, this program, the others."""
        binaries = self.options.binary or [self.folder.binary]
        labels = [""] if len(binaries) == 1 else [f" ({label(binary)})" for binary in binaries]
        first, *others = row.peers if isinstance(row, rows.Row) else [row.peer]
        if self.options.quick:
            others = [make for make in others if make not in rows.orientation]
        if self.options.floor and row.name in rows.FLOOR:
            others.append(lambda folder: Floor(folder, row, self.assets[row.objects]))
        ours = [rows.ours(row, self.folder, binary, name) for binary, name in zip(binaries, labels)]
        return [first(self.folder), *ours, *(make(self.folder) for make in others)]

    # --- one measurement -----------------------------------------------------------------------------------------------

    def measure(self, row, server):
        targets = self.targets(server, row.objects, row.spoiled)
        length = row.length or rows.OBJECTS[row.objects][2]
        unknown = row.spoiled or row.objects in rows.TEXTS
        expected = ["--status", row.status] + ([] if unknown else ["--length", length])
        work = [*expected, *row.load, "--connections", row.connections]
        if row.cold:
            work.append("--cold")
        with server.running():
            self.exact(row, server)
            # The measurement goes on where this ends, so that it finds no object that was just asked for.
            first = self.ask(server, targets, *work, "--seconds", self.options.seconds / 4)["requests"]
            work += ["--first", first]
            before, waited, disk = server.cpu(), server.waited(), server.read_from_disk()
            found = self.ask(server, targets, *work, "--seconds", self.options.seconds)
            found["cpu"], found["waited"] = server.cpu() - before, server.waited() - waited
            if row.cold:
                found["read_from_disk"] = server.read_from_disk() - disk
                found["probe"] = self.beside(server, targets, work)
            return found | server.memory()

    def beside(self, server, targets, work):
        """Measures requests for a small object in memory while others are read from disk."""
        command = self.load(server, targets, *work, "--seconds", self.options.seconds)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, **child({CLIENT_CPU}, self.folder.nice)) as other:
            probe = self.probe(server, self.options.seconds * 0.8)
        if other.returncode != 0:
            raise Failed(f"{server.name}: the cold downloads failed{server.last_words()}")
        return probe

    def probe(self, server, seconds):
        work = ("--length", rows.OBJECTS["8 KB"][2], "--connections", 1, "--seconds", seconds)
        return self.ask(server, self.targets(server, "8 KB"), *work)

    def exact(self, row, server):
        """Checks once for each row and server that the bytes are the file's."""
        if (row.name, server.name) in self.compared or row.spoiled or isinstance(server, Floor):
            return
        trust = ssl.create_default_context(cafile=self.folder.path / "tls.pem") if server.tls else None
        self.compared.add((row.name, server.name))
        if "--streams" in row.load:
            self.ask(server, self.targets(server, row.objects), *row.load, "--compare", "--requests", 64)
            return
        for line in self.targets(server, row.objects).read_text().splitlines()[:4]:
            target, file = line.split("\t")
            request = urllib.request.Request(f"http{'s' if trust else ''}://127.0.0.1:{server.port}{target}")
            whole = pathlib.Path(file).read_bytes()
            for field in (more for more in row.load if ": " in more):
                request.add_header(*field.split(": ", 1))
            if row.status == 206:
                whole = whole[1_000_000:1_065_536]
            try:
                with urllib.request.urlopen(request, timeout=30, context=trust) as answer:
                    same = decoded(answer) == whole
            except OSError as error:
                raise Failed(f"{server.name} {target}: {error}{server.last_words()}") from None
            if not same:
                raise Failed(f"{server.name} {target}: the bytes are not the file's")

    def measure_slow(self, row, server):
        targets = self.targets(server, row.objects)
        work = ("--connections", row.clients, "--slow", row.rate, "--length", rows.OBJECTS[row.objects][2])
        with receive_buffers(2 * rows.OBJECTS[row.objects][2] if row.store != "file" else None), server.running():
            self.probe(server, 0.3)
            self.ask(server, targets, "--connections", 16, "--requests", 64)
            before = server.memory()
            command = self.load(server, targets, *work)
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            with subprocess.Popen(command, **pipes, **child({CLIENT_CPU}, self.folder.nice)) as clients:
                if clients.stdout.readline() != "ready\n":
                    raise Failed(f"{server.name}: the slow downloads did not begin{server.last_words()}")
                time.sleep(2 if self.options.quick else 6)
                memory, kernel = server.memory(), kernel_memory(server)
                probe = self.probe(server, min(3, self.options.seconds * 2))
                # The downloads still stand; otherwise the measurement would be of something else.
                if clients.poll() is not None:
                    raise Failed(f"{server.name}: the slow downloads ended early{server.last_words()}")
                clients.stdin.close()
            if clients.returncode != 0:
                raise Failed(f"{server.name}: a slow download failed{server.last_words()}")
        each = (memory["RssAnon"] - before["RssAnon"]) / row.clients
        return memory | {"each": each, "kernel": kernel, "kernel_each": kernel / row.clients, "probe": probe}

    # --- the run -------------------------------------------------------------------------------------------------------

    def all(self):
        chosen = self.options.only
        wanted = [row for row in rows.EVERY.values() if not chosen or row.name in chosen]
        # The probes of the slow and of the cold rows ask for 8 KB.
        self.make(dict.fromkeys(["8 KB", *(row.objects for row in wanted)]))
        with contextlib.ExitStack() as stack:
            if any(row.store != "file" for row in wanted):
                stack.enter_context(Bucket(self.folder).running(cpus=(CLIENT_CPU,)))
            for turn in range(self.options.rounds):
                for row in wanted:
                    slow = isinstance(row, rows.SlowRow)
                    # Memory hardly differs from round to round, and takes long.
                    if slow and turn >= (1 if row.store == "file" else 2):
                        continue
                    for server in self.servers(row):
                        found = self.measure_slow(row, server) if slow else self.measure(row, server)
                        self.figures.setdefault(row.name, {}).setdefault(server.name, []).append(found)
                        say(f"round {turn + 1}/{self.options.rounds}  {row.name:12} {server.name:26} {report.brief(found)}")
        return wanted


@contextlib.contextmanager
def receive_buffers(size):
    """Lets receive buffers begin with this size (the slow clients set theirs to the kernel's default).

    Buffers of connections to a store grow to megabytes with the fast downloads that they carry. How far, is chance on
    loopback, and so would be the memory of slow downloads.
    """
    setting = pathlib.Path("/proc/sys/net/ipv4/tcp_rmem")
    least, usual, most = setting.read_text().split()
    try:
        setting.write_text(f"{least} {size or usual} {most}")
        yield
    finally:
        setting.write_text(f"{least} {usual} {most}")


def decoded(answer):
    """The body of an answer, without its content coding."""
    body, coding = answer.read(), answer.headers.get("Content-Encoding")
    if coding is None:
        return body
    program = {"gzip": "gzip", "br": "brotli", "zstd": "zstd"}[coding]
    return subprocess.run([program, "-dc"], input=body, stdout=subprocess.PIPE, check=True).stdout


def kernel_memory(server):
    """The kernel's memory in a server's sockets to its clients and to the store, and in its pipes.

    `ss` counts per socket what waits to be read (r), to be sent or acknowledged (w), what the socket holds in reserve (f),
    options (o) and the backlog (bl). Its other figures are limits, or bytes that w counts too (t). A reserve below zero
    is printed without its sign.
    """
    ours = f"( sport = :{server.port} or dport = :{BUCKET_PORT} or dport = :{BUCKET_PORT + 1} )"
    text = Folder.run(["ss", "-tmnH", "state", "connected", ours])
    counted = map(int, re.findall(r"[(,](?:r|w|f|o|bl)(\d+)", text))
    return sum(bytes if bytes < 1 << 31 else bytes - (1 << 32) for bytes in counted) + server.in_pipes()


def label(binary):
    """The shortest distinctive end of a path."""
    parts = pathlib.Path(binary).parts
    return "/".join(part for part in parts[-4:] if part not in ("target", "dist", "release", OURS)) or binary


def say(line):
    print(line, file=sys.stderr, flush=True)


def machine():
    said = dict(line.replace("\t", "").strip().split(":", 1) for line in open("/proc/cpuinfo") if ":" in line)
    # Many clouds hide the name of the model, but not its number.
    parts = [f"family{said.get('cpu family', ' ?')} model{said.get('model', ' ?')}"]
    parts += [shown for flag, shown in (("avx512f", "AVX-512"), ("sha_ni", "SHA")) if flag in said.get("flags", "").split()]
    cpu = f"{said.get('model name', '?').strip()} ({', '.join(parts)})"
    memory = next(int(line.split()[1]) // 1024 // 1024 for line in open("/proc/meminfo") if line.startswith("MemTotal"))
    return {
        "cpu": cpu, "cpus": os.cpu_count(), "memory_gib": memory + 1, "kernel": platform.release(),
        "congestion_control": pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip(),
        "versions": versions(),
    }


def read_options():
    parser = argparse.ArgumentParser(prog="bash benches/peers/run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.8, help="of each measurement")
    parser.add_argument("--only", default="", help=f"rows, separated by commas: {', '.join(rows.EVERY)}")
    parser.add_argument("--binary", action="append", default=[], help="a program to compare instead of ours; repeatable")
    parser.add_argument("--nice", type=int, default=0, help="as root: -10 lets servers and client go before what else runs")
    parser.add_argument("--floor", action="store_true", help="measure also what the kernel alone costs (needs cc)")
    parser.add_argument("--quick", action="store_true", help="one short round of nginx and us, without the slow downloads")
    parser.add_argument("--load", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--ours", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--folder", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--results", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--pages", required=True, type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.only = [name for name in options.only.split(",") if name]
    unknown = [name for name in options.only if name not in rows.EVERY]
    if unknown:
        parser.error(f"no row is called {', '.join(unknown)}; there are {', '.join(rows.EVERY)}")
    if options.quick:
        options.rounds, options.seconds = 1, min(options.seconds, 0.5)
        options.only = options.only or [row.name for row in rows.ROWS] + ["slow-1000"]
    options.binary = [str(pathlib.Path(binary).resolve()) for binary in options.binary]
    return options


def write_pages(options, raw, text, program):
    heading = report.heading(raw["machine"], program, options)
    figures, here = raw["figures"], report.place(raw["machine"])
    report.write(options.pages / "docs/performance.md", f"{heading} {report.disturbance(figures)}\n\n{text}")
    report.write(options.pages / "README.md", f"On {here}:\n\n{report.brief_table(figures)}")
    report.write(options.pages / "docs/growth.md", f"Figures of {here}.\n\n{million.table(figures)}", "a million an hour")
    say("the tables are in docs/performance.md, README.md and docs/growth.md")


def main():
    options = read_options()
    os.sched_setaffinity(0, {CLIENT_CPU})
    folder = Folder(options.folder, options.binary[0] if options.binary else options.ours, options.load, options.nice)
    run = Run(folder, options)
    began = time.monotonic()
    try:
        wanted = run.all()
    finally:
        raw = {"machine": machine(), "rounds": options.rounds, "seconds": options.seconds, "figures": run.figures}
        pathlib.Path(options.results).write_text(json.dumps(raw, indent=1))
    text = report.tables(wanted, run.figures)
    print(f"{report.disturbance(run.figures)}\n\n{text}")
    say(f"{(time.monotonic() - began) / 60:.0f} minutes; the figures of each round are in {options.results}")
    if not options.only and len(options.binary) < 2:
        program = Folder.run([folder.binary, "--version"]).strip()
        write_pages(options, raw, text, program)


if __name__ == "__main__":
    try:
        main()
    except Failed as failed:
        sys.exit(f"peers: {failed}")
