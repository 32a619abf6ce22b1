#!/usr/bin/env python3
"""What `run` needs beyond a shell: recordings put into S3, downloads that are paced and checked byte by byte, and clocks.

Each command prints one sentence with its figures and exits with 1 if what the gateway promises did not hold.
Standard library only.
"""
import argparse
import collections
import datetime
import fcntl
import hashlib
import hmac
import http.client
import json
import os
import select
import socket
import statistics
import struct
import sys
import threading
import time
import urllib.parse
import urllib.request
import uuid

PIECE = 64 * 1024


# --- S3 ----------------------------------------------------------------------------------------------------------------


def signed(method, url, body=b""):
    """The headers of an S3 request (AWS signature version 4, whole body signed)."""
    key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    region = os.environ["AWS_REGION"]
    parts = urllib.parse.urlsplit(url)
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    headers = {"host": parts.netloc, "x-amz-content-sha256": digest, "x-amz-date": now}
    names = ";".join(headers)
    request = [method, parts.path, parts.query, *(f"{name}:{value}" for name, value in headers.items()), "", names, digest]
    scope = f"{now[:8]}/{region}/s3/aws4_request"
    hashed = hashlib.sha256("\n".join(request).encode()).hexdigest()
    link = f"AWS4{secret}".encode()
    for word in (now[:8], region, "s3", "aws4_request", "\n".join(["AWS4-HMAC-SHA256", now, scope, hashed])):
        signature = hmac.new(link, word.encode(), hashlib.sha256)
        link = signature.digest()
    credential = f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={names}, Signature={signature.hexdigest()}"
    return headers | {"authorization": credential}


def put(url, body=b""):
    """PUT, repeated for half a minute: a cluster that has just started may still be electing a master and counting its volumes."""
    deadline = time.monotonic() + 30
    while True:
        request = urllib.request.Request(url, data=body, method="PUT", headers=signed("PUT", url, body))
        try:
            return urllib.request.urlopen(request, timeout=60).read()
        except OSError as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"PUT {url}: {error}")
            time.sleep(0.5)


def fill(args):
    """Puts random recordings into the bucket; prints `id size sha256` of each."""
    put(args.bucket)
    for size in args.sizes:
        name, content = uuid.uuid4(), os.urandom(size)
        put(f"{args.bucket}/recordings/{name}.mp3", content)
        print(name, size, hashlib.sha256(content).hexdigest())


def fullest(args):
    """Prints the number (1, 2, ...) of the volume server that holds the most bytes."""
    held = []
    for number, address in enumerate(args.servers, 1):
        volumes = json.load(urllib.request.urlopen(f"http://{address}/status", timeout=10))["Volumes"] or []
        held.append((sum(volume["Size"] for volume in volumes), number))
    print(max(held)[1])


# --- downloads ---------------------------------------------------------------------------------------------------------

Recording = collections.namedtuple("Recording", "link size sha256")


def recordings(path):
    with open(path, encoding="ascii") as lines:
        fields = (line.split() for line in lines)
        return [Recording(link, int(size), sha256) for link, size, sha256 in fields]


def connect(link, receive_buffer=None):
    """A new connection. With a small receive buffer the gateway notices the client's pace."""
    parts = urllib.parse.urlsplit(link)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=120)
    connection.sock = socket.socket()
    if receive_buffer:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.sock.settimeout(120)
    connection.sock.connect((parts.hostname, parts.port))
    return connection, f"{parts.path}?{parts.query}"


class Download(threading.Thread):
    """One paced download; `ending` is exact, wrong, broken or refused."""

    def __init__(self, recording, rate, delay):
        super().__init__(daemon=True)
        self.recording, self.rate, self.delay = recording, rate, delay
        self.ending, self.why, self.got, self.took, self.longest_wait = "running", "", 0, 0.0, 0.0

    def run(self):
        time.sleep(self.delay)
        started = time.monotonic()
        try:
            self.ending = self.fetch(started)
        except (OSError, http.client.HTTPException) as error:
            self.ending, self.why = "broken", f"{type(error).__name__} {error}"
        self.took = time.monotonic() - started

    def fetch(self, started):
        connection, target = connect(self.recording.link, receive_buffer=PIECE)
        connection.request("GET", target)
        answer = connection.getresponse()
        if answer.status != 200:
            self.why = f"status {answer.status}"
            return "refused"
        announced = int(answer.headers["Content-Length"])
        digest = hashlib.sha256()
        while True:
            asked = time.monotonic()
            piece = answer.read(PIECE)
            self.longest_wait = max(self.longest_wait, time.monotonic() - asked)
            if not piece:
                break
            digest.update(piece)
            self.got += len(piece)
            time.sleep(max(0.0, started + self.got / self.rate - time.monotonic()))
        if self.got < announced:
            self.why = f"{self.got} of {announced} bytes"
            return "broken"
        same = self.got == self.recording.size and digest.hexdigest() == self.recording.sha256
        return "exact" if same else "wrong"


def paced(args):
    """Many downloads at once, none faster than its rate; says how they ended."""
    of_size = collections.defaultdict(list)
    for recording in recordings(args.recordings):
        of_size[recording.size].append(recording)
    downloads = []
    for plan in args.plan:
        count, size, rate = (int(number) for number in plan.split(":"))
        downloads += [
            Download(of_size[size][n % len(of_size[size])], rate, args.over * n / count) for n in range(count)
        ]
    for download in downloads:
        download.start()
    for download in downloads:
        download.join()
    endings = collections.Counter(download.ending for download in downloads)
    for download in downloads:
        if download.ending != "exact":
            print(f"{download.ending}: {download.why} after {download.took:.1f} s", file=sys.stderr)
    said = ", ".join(f"{endings[word]} {word}" for word in ("exact", "wrong", "broken", "refused"))
    took = [download.took for download in downloads]
    waited = max(download.longest_wait for download in downloads)
    print(f"{said}; {min(took):.0f} to {max(took):.0f} s each, longest wait for bytes {waited:.1f} s")
    return endings["exact"] == len(downloads)


class Question(threading.Thread):
    """One small request."""

    def __init__(self, link, at):
        super().__init__(daemon=True)
        self.link, self.at = link, at
        self.status, self.retry_after, self.took = 0, None, 0.0

    def run(self):
        started = time.monotonic()
        try:
            connection, target = connect(self.link)
            connection.request("GET", target, headers={"Range": "bytes=0-0"})
            answer = connection.getresponse()
            answer.read()
            self.status, self.retry_after = answer.status, answer.headers["Retry-After"]
        except (OSError, http.client.HTTPException):
            pass
        self.took = time.monotonic() - started


def ask(args):
    """Asks for one byte, five times a second, through an outage that begins now and is repaired after `--outage` seconds."""
    link = recordings(args.recordings)[0].link
    begun = time.monotonic()
    questions = []
    while time.monotonic() - begun < args.seconds:
        question = Question(link, time.monotonic() - begun)
        question.start()
        questions.append(question)
        time.sleep(0.2)
    for question in questions:
        question.join()
    refused = [question for question in questions if question.status == 503]
    served = [question for question in questions if question.status == 206]
    others = [question.status for question in questions if question not in refused and question not in served]
    if not refused or not served:
        print(f"{len(refused)} answers were 503 and {len(served)} were 206, others: {others}")
        return False
    took = sorted(question.took for question in refused)
    # The time from which on every request was served.
    served_from = next((one.at for one in served if one.at > refused[-1].at), None)
    silent = sum(question.retry_after is None for question in refused)
    back = "never" if served_from is None else f"{max(0.0, served_from - args.outage):.1f} s after its return"
    print(
        f"{len(refused)} new requests got 503 (p50 {statistics.median(took) * 1000:.0f} ms, max {took[-1]:.1f} s;"
        f" {silent} without Retry-After), {len(others)} anything else; served again {back}"
    )
    # The first few wait while the store still has time to answer (store.first_byte_timeout, 10 s).
    quick = statistics.median(took) < 0.5 and took[-1] < 11
    return quick and not silent and not others and served_from is not None


# --- latency -----------------------------------------------------------------------------------------------------------


def wire(args):
    """Two tun interfaces; what goes into one comes out of the other `--delay` seconds later. Ends with its process."""
    far_end, queue = {}, {}
    for name, other in (args.names, args.names[::-1]):
        end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        # TUNSETIFF, with IFF_TUN | IFF_NO_PI
        fcntl.ioctl(end, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1001))
        far_end[name], queue[name] = end, collections.deque()
    print("ready", flush=True)
    ways = [(far_end[name], far_end[other], queue[name]) for name, other in (args.names, args.names[::-1])]
    while True:
        due = [waiting[0][0] for _, _, waiting in ways if waiting]
        wait = max(0.0, min(due) - time.monotonic()) if due else None
        readable, _, _ = select.select(list(far_end.values()), [], [], wait)
        for near, far, waiting in ways:
            if near in readable:
                waiting.extend((time.monotonic() + args.delay, packet) for packet in packets(near))
            while waiting and waiting[0][0] <= time.monotonic():
                try:
                    os.write(far, waiting.popleft()[1])
                except OSError:
                    pass  # not up yet, or full: the packet is lost, as on any wire


def packets(end, most=64):
    for _ in range(most):
        try:
            yield os.read(end, 65536)
        except OSError:
            return


def timed(connection, target, headers, recording):
    """Seconds to the first byte and to the last."""
    started = time.monotonic()
    connection.request("GET", target, headers=headers)
    answer = connection.getresponse()
    digest = hashlib.sha256(answer.read(1))
    first = time.monotonic() - started
    buffer = bytearray(256 * 1024)
    while count := answer.readinto(buffer):
        digest.update(memoryview(buffer)[:count])
    if answer.status != 200 or digest.hexdigest() != recording.sha256:
        raise SystemExit(f"a download for the clock ended wrong (status {answer.status})")
    return first, time.monotonic() - started


def in_ranges(connections, target, url, recording):
    """Seconds to the last byte of a download in one range for each connection, all at once."""
    size, count = recording.size, len(connections)
    parts = [None] * count

    def fetch(at, connection):
        first, last = size * at // count, size * (at + 1) // count - 1
        connection.request("GET", target, headers={**signed("GET", url), "Range": f"bytes={first}-{last}"})
        parts[at] = connection.getresponse().read()

    started = time.monotonic()
    threads = [threading.Thread(target=fetch, args=each) for each in enumerate(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = time.monotonic() - started
    if hashlib.sha256(b"".join(parts)).hexdigest() != recording.sha256:
        raise SystemExit("a download in ranges ended wrong")
    return taken, taken


def latency(args):
    """The same recording straight from S3 and through the gateway, by turns."""
    recording = recordings(args.recordings)[0]
    url = f"{args.bucket}/recordings/{recording.link.split('?')[0].rsplit('/', 1)[1]}.mp3"
    ways = {"S3, new connection": [], "S3, kept connection": [], "S3, 4 ranges at once on kept connections": [], "gateway": []}
    kept, target = connect(url)
    timed(kept, target.rstrip("?"), signed("GET", url), recording)
    through, linked = connect(recording.link)
    timed(through, linked, {}, recording)
    through.close()
    four = [connect(url)[0] for _ in range(4)]
    in_ranges(four, target.rstrip("?"), url, recording)
    handshakes = []
    for _ in range(args.rounds):
        started = time.monotonic()
        fresh, target = connect(url)
        handshake = time.monotonic() - started
        handshakes.append(handshake)
        first, whole = timed(fresh, target.rstrip("?"), signed("GET", url), recording)
        ways["S3, new connection"].append((first + handshake, whole + handshake))
        fresh.close()
        ways["S3, kept connection"].append(timed(kept, target.rstrip("?"), signed("GET", url), recording))
        in_four = in_ranges(four, target.rstrip("?"), url, recording)
        ways["S3, 4 ranges at once on kept connections"].append(in_four)
        through, linked = connect(recording.link)
        ways["gateway"].append(timed(through, linked, {}, recording))
        through.close()
    medians = {way: [statistics.median(column) for column in zip(*times)] for way, times in ways.items()}
    ratio = medians["gateway"][1] / medians["S3, new connection"][1]
    kept_ratio = medians["gateway"][1] / medians["S3, kept connection"][1]
    said = "; ".join(f"{way} {whole:.2f} s (first byte {first * 1000:.0f} ms)" for way, (first, whole) in medians.items())
    trip = statistics.median(handshakes) * 1000
    print(f"round trip {trip:.0f} ms; {said}; gateway : S3 = {ratio:.2f} (kept: {kept_ratio:.2f})")
    return ratio <= args.allowed


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)

    def command(run, *arguments):
        its = commands.add_parser(run.__name__, description=run.__doc__)
        its.set_defaults(run=run)
        for name, options in arguments:
            its.add_argument(name, **options)

    command(fill, ("bucket", {}), ("sizes", {"nargs": "+", "type": int}))
    command(fullest, ("servers", {"nargs": "+"}))
    command(
        paced,
        ("recordings", {}),
        ("plan", {"nargs": "+", "metavar": "COUNT:SIZE:RATE"}),
        ("--over", {"type": float, "default": 0.0}),
    )
    command(ask, ("recordings", {}), ("--seconds", {"type": float}), ("--outage", {"type": float}))
    command(wire, ("names", {"nargs": 2}), ("--delay", {"type": float}))
    command(
        latency,
        ("recordings", {}),
        ("bucket", {}),
        ("--rounds", {"type": int, "default": 5}),
        ("--allowed", {"type": float, "default": 1.05}),
    )
    args = parser.parse_args()
    sys.exit(args.run(args) is False)


main()
