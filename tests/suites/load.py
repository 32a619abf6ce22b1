"""wrk and h2load at full speed, over HTTP/1.1 and HTTP/2, with TLS and without: no answer but 2xx, no broken connection."""

import re
import subprocess
import sys
import time

from program import Program, settled

SECONDS = 2
STREAMS = 10


def ran(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{command[0]} failed: {done.stdout}{done.stderr}"
    return done.stdout


def wrk(url, connections):
    """How many answers; wrk prints nothing about errors when there are none."""
    said = ran("wrk", "-t", "1", "-c", str(connections), "-d", f"{SECONDS}s", "--timeout", "20s", url)
    assert "Socket errors" not in said and "Non-2xx" not in said, said
    return int(re.search(r"(\d+) requests in", said)[1])


def h2load(url, connections, requests):
    said = ran("h2load", "-c", str(connections), "-m", str(STREAMS), "-n", str(requests), url)
    counts = re.search(r"(\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", said)
    assert counts, said
    total, done, succeeded, failed, errored, timed_out = map(int, counts.groups())
    codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", said)
    assert (done, succeeded, failed, errored, timed_out) == (total, total, 0, 0, 0), said
    assert tuple(map(int, codes.groups())) == (total, 0, 0, 0), said
    assert "Application protocol: h2" in said, said
    return total


def main():
    began = time.monotonic()
    for tls in (False, True):
        with Program(tls=tls) as program:
            transcript, recording = (program.origin + program.target(kind) for kind in ("transcript", "recording"))
            for name, answers in (
                ("HTTP/1.1, 100 connections, transcripts", lambda: wrk(transcript, 100)),
                ("HTTP/1.1, 20 connections, recordings of 5 MB", lambda: wrk(recording, 20)),
                ("HTTP/2, 20 connections of 10 streams, transcripts", lambda: h2load(transcript, 20, 2_000)),
                ("HTTP/2, 4 connections of 10 streams, recordings of 5 MB", lambda: h2load(recording, 4, 80)),
            ):
                count = answers()
                assert count > 0, f"{name}: no answer at all"
                print(f"ok    {'TLS' if tls else 'plain'}, {name}: {count} answers, each 2xx")
            settled(lambda: not program.metrics()["webhook_assets_connections"], 10, "connections are left")
            assert program.stop() == 0
    print(f"load: nothing but 2xx and no broken connection, in {time.monotonic() - began:.0f} s")


try:
    main()
except AssertionError as failure:
    sys.exit(f"FAIL  {failure}")
