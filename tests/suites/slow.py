"""slowhttptest in its four modes: a deadline of the server closes every connection, and it answers other clients meanwhile."""

import http.client
import re
import subprocess
import sys
import threading
import time
import urllib.request

from program import Program, settled

CONNECTIONS = 200
# Far shorter than the defaults, for a short run. An attacker cannot be slower than these, only open more connections.
DEADLINES = {"server__header_timeout": "2s", "server__idle_timeout": "2s", "server__stall_timeout": "3s"}
# Beyond the deadline, for a busy machine.
SLACK = 4

# mode: what slowhttptest does, and the reason under which the server counts its connections as cut (None: it answers
# and closes them).
MODES = {
    "slow headers": (["-H", "-i", "1", "-x", "8"], "no_request", 2),
    "slow body": (["-B", "-i", "1"], None, 2),
    "many ranges": (["-R"], None, 2),
    "slow read": (["-X", "-w", "512", "-y", "1024", "-n", "2", "-z", "32"], "stalled", 3),
}


class Probe(threading.Thread):
    """An ordinary client, ten times a second, each time on a new connection."""

    def __init__(self, program, target):
        super().__init__(daemon=True)
        self.program, self.target, self.took, self.wrong, self.done = program, target, [], [], threading.Event()

    def run(self):
        while not self.done.wait(0.1):
            began = time.monotonic()
            try:
                connection = http.client.HTTPConnection(*self.program.gateway, timeout=5)
                connection.request("GET", self.target, headers={"Range": "bytes=0-9999", "Connection": "close"})
                answer = connection.getresponse()
                whole = answer.read() == self.program.objects["recording"][:10_000]
                if answer.status != 206 or not whole:
                    self.wrong.append(f"{answer.status}, {'its bytes' if whole else 'other bytes'}")
            except OSError as error:
                self.wrong.append(repr(error))
            self.took.append(time.monotonic() - began)

    def end(self):
        self.done.set()
        self.join()


def warm(program, target):
    """The recording read twice, and what that takes in descriptors when its connections are gone: its file stays open."""
    for _ in range(2):
        with urllib.request.urlopen(program.origin + target, timeout=10) as answer:
            assert answer.read() == program.objects["recording"]
    settled(lambda: not program.metrics()["webhook_assets_connections"], SLACK, "a first connection stays")
    return min(program.descriptors() for _ in range(5) if not time.sleep(0.1))


def cut(program, reason):
    return program.metrics()[f'webhook_assets_connections_cut_total{{reason="{reason}"}}']


def attack(program, name, arguments, reason, deadline, target, descriptors):
    before = cut(program, reason) if reason else 0
    probe = Probe(program, target)
    probe.start()
    done = subprocess.run(
        ["slowhttptest", *arguments, "-c", str(CONNECTIONS), "-r", str(CONNECTIONS), "-l", "6", "-p", "3", "-u", program.origin + target],
        capture_output=True, text=True, timeout=60,
    )
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", done.stdout + done.stderr)
    assert done.returncode == 0, f"{name}: slowhttptest failed: {text[-800:]}"
    available = re.findall(r"service available:\s+(\w+)", text)
    assert available and set(available) == {"YES"}, f"{name}: the service was not available: {available}"
    ended = re.search(r"Exit status:\s+(.*)", text)[1].strip()
    # A client that does not read does not notice the disconnection either: the server's count proves it.
    if reason != "stalled":
        assert ended == "No open connections left", f"{name}: {ended}"
    probe.end()
    settled(lambda: not program.metrics()["webhook_assets_connections"], deadline + SLACK, f"{name}: connections are left")
    settled(lambda: program.descriptors() <= descriptors, SLACK,
            lambda: f"{name}: {program.descriptors()} descriptors instead of {descriptors}")
    assert len(probe.took) > 3 and not probe.wrong, f"{name}: the healthy client: {probe.wrong[:3]}"
    counted = cut(program, reason) - before if reason else 0
    # Its own probe is no attacker; the server may have answered one of its connections like one.
    assert not reason or counted >= CONNECTIONS * 0.95, f"{name}: only {counted:.0f} were cut as {reason}"
    print(f"ok    {name}: {CONNECTIONS} connections, {ended.lower()}, {counted:.0f} cut by our deadline; "
          f"meanwhile {len(probe.took)} answers to a healthy client, the longest after {max(probe.took) * 1e3:.0f} ms")


def main():
    began = time.monotonic()
    with Program(**DEADLINES) as program:
        target = program.target()
        descriptors = warm(program, target)
        for name, (arguments, reason, deadline) in MODES.items():
            attack(program, name, arguments, reason, deadline, target, descriptors)
        assert program.stop() == 0
    print(f"slow: {len(MODES)} attacks survived in {time.monotonic() - began:.0f} s")


try:
    main()
except AssertionError as failure:
    sys.exit(f"FAIL  {failure}")
