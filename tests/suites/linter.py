"""What REDbot and httplint say about the gateway's answers. REDbot sends further requests: with ranges, conditions and codings.

A finding that is bad or a warning fails the run, unless it is in STANDS with the reason why it stands; one in STANDS that
no longer comes up fails the run too.
"""

import configparser
import http.client
import multiprocessing
import sys
import time

import thor
from httplint import HttpRequestLinter, HttpResponseLinter
from redbot.resource import HttpResource

from program import ABSENT, Program

STANDS = {
    ("ranges", "PARTIAL_WITHOUT_RANGE"):
        "several ranges have a Content-Range in each part, and must not have one in the head (RFC 9110 section 15.3.7.2)",
    ("no such format", "STATUS_BAD_REQUEST"):
        "a format that does not exist is the client's mistake, and the document says which formats do",
    ("recording", "CONTENT_TYPE_MISMATCH"):
        "its sniffer knows an MP3 by an ID3 tag, and recordings of calls have none",
}


def config():
    parser = configparser.ConfigParser()
    parser.read_dict({"redbot": {"enable_local_access": "True"}})
    return parser["redbot"]


def asked_by_redbot(url, method="GET", fields=()):
    """The findings about an answer, and about the answers to REDbot's further requests."""
    resource = HttpResource(config())
    resource.set_request(url, method, list(fields))
    resource.on("check_done", thor.stop)
    resource.check()
    thor.run()
    assert resource.fetch_done and resource.fetch_error is None, f"{url}: {resource.fetch_error!r}"
    assert resource.response.version == "1.1", resource.response.version
    notes = [*resource.response.notes]
    for asked in resource.subreqs.values():
        notes += asked.response.notes
    return resource.response.status_code, list(flat(notes))


def asked_raw(program, target, method, fields):
    """A request that REDbot would not send: httplint reads the answer."""
    connection = http.client.HTTPConnection(*program.gateway, timeout=10)
    connection.request(method, target, headers=dict(fields))
    answer = connection.getresponse()
    asked = HttpRequestLinter()
    asked.process_request_topline(method.encode(), (program.origin + target).encode(), b"HTTP/1.1")
    asked.process_headers([(name.encode(), value.encode()) for name, value in fields])
    linter = HttpResponseLinter()
    linter.request = asked
    linter.is_head_response = method == "HEAD"
    linter.process_response_topline(b"HTTP/1.1", str(answer.status).encode(), answer.reason.encode())
    linter.process_headers([(name.encode(), value.encode()) for name, value in answer.getheaders()])
    linter.feed_content(answer.read())
    linter.finish_content(True)
    return answer.status, list(flat(linter.notes))


def flat(notes):
    for note in notes:
        yield note.level.name, type(note).__name__, str(note.summary)
        yield from flat(getattr(note, "subnotes", ()))


def main():
    began, fresh = time.monotonic(), multiprocessing.get_context("fork")
    seen, failures, answers, good = set(), [], 0, 0
    with Program() as program:
        recording, transcript = program.target("recording"), program.target("transcript")
        absent, forged = program.target("recording", ABSENT), recording[:-4] + "0000"
        etag = one_field(program, transcript, "ETag")
        asks = [
            ("recording", "GET", recording, (), 200),
            ("transcript", "GET", transcript, (), 200),
            ("denied", "GET", forged, (), 403),
            ("absent", "GET", absent, (), 404),
            ("no such route", "GET", "/nowhere", (), 404),
            ("HEAD", "HEAD", recording, (), 200),
            ("HEAD of what is denied", "HEAD", forged, (), 403),
            ("another method", "POST", recording, (), 405),
            ("preflight", "OPTIONS", recording, PREFLIGHT, 204),
            ("OPTIONS", "OPTIONS", recording, (), None),
            ("range", "GET", recording, [("Range", "bytes=100-199")], 206),
            ("captions", "GET", transcript + "&format=vtt", (), 200),
            ("part of captions", "GET", transcript + "&format=vtt", [("Range", "bytes=10-19")], 206),
            ("no such format", "GET", transcript + "&format=pdf", (), 400),
            ("ranges", "GET", recording, [("Range", "bytes=0-9,1000-1009")], 206),
            ("last bytes", "GET", transcript, [("Range", "bytes=-5")], 206),
            ("unsatisfiable", "GET", recording, [("Range", "bytes=9000000-")], 416),
            ("not changed", "GET", transcript, [("If-None-Match", etag)], 304),
            ("changed", "GET", transcript, [("If-Match", '"other"')], 412),
            ("a web page", "GET", transcript, [("Origin", "https://app.example.com")], 200),
        ] + [(coding, "GET", transcript, [("Accept-Encoding", coding)], 200) for coding in ("gzip", "br", "zstd")] + [
            (form, "GET", f"{transcript}&format={form}", (), 200) for form in ("txt", "srt", "md")]
        for name, method, target, fields, expected in asks:
            judges = [lambda: asked_raw(program, target, method, fields)]
            if not fields and method == "GET":
                # In a separate process: its event loop is meant to run once.
                judges.append(lambda: fresh.Pool(1).apply(asked_by_redbot, (program.origin + target,)))
            for judge in judges:
                status, notes = judge()
                assert expected in (None, status), f"{name}: {status}"
                answers += 1
                for level, kind, summary in notes:
                    if level in ("GOOD", "INFO"):
                        good += 1
                    elif (name, kind) in STANDS:
                        seen.add((name, kind))
                    else:
                        failures.append(f"{name}: {level} {kind}: {summary}")
        assert program.stop() == 0
    for name, kind in sorted(seen):
        print(f"note  {name}: {kind}: {STANDS[name, kind]}")
    failures += [f"{name}: {kind} no longer comes up; take it out of STANDS" for name, kind in STANDS.keys() - seen]
    for failure in sorted(set(failures)):
        print(f"FAIL  {failure}")
    print(f"linter: {answers} answers, {good} findings that are good or neutral, {len(seen)} that stand with a reason, "
          f"{len(set(failures))} failures, in {time.monotonic() - began:.0f} s")
    sys.exit(bool(failures))


PREFLIGHT = [("Origin", "https://app.example.com"), ("Access-Control-Request-Method", "GET"),
             ("Access-Control-Request-Headers", "range")]


def one_field(program, target, name):
    connection = http.client.HTTPConnection(*program.gateway, timeout=10)
    connection.request("HEAD", target)
    return connection.getresponse().getheader(name)


main()
