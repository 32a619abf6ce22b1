"""Transcripts as WebVTT, SubRip, Markdown and text, read by other people's parsers: the W3C's webvtt-parser, webvtt-py, srt,
pysrt and markdown-it. Each finds the speakers, the times and the words of the JSON, those of hostile transcripts too.
"""

import html
import io
import json
import pathlib
import re
import subprocess
import sys
import urllib.request
import uuid

import pysrt
import srt
import webvtt
from markdown_it import MarkdownIt

from program import ROOT, Program

HERE = pathlib.Path(__file__).parent
NODE_PACKAGES = ROOT / "target/suites/webvtt"

# Characters that end a line or a cue become one space. A non-breaking space stays.
GAPS = re.compile("[ \x00-\x1f\x7f-\x9f\u2028\u2029]+")


def call(name, *said):
    return {"schema": "call-transcript/1", "speakers": [{"id": "a", "name": name, "role": "user", "channel": 0}],
            "utterances": [{"index": at, "speaker": "a", "start_ms": start, "end_ms": end, "text": text}
                           for at, (start, end, text) in enumerate(said)]}


HOSTILE = [
    call("Jane", (0, 900, "a\n\nb"), (1_000, 1_900, "c\r\n\r\n2\r\n00:00:05.000 --> 00:00:06.000\r\nd")),
    call("A--\n\n00:00:09.000 --> 00:00:10.000", (0, 1, "-->"), (1, 2, "--->>"), (2, 3, "-- > --")),
    call("<v Tom & Jerry>", (0, 1, "<b>bold</b> & <c.red>red</c>"), (1, 2, "&amp; &lt; &#45; &nbsp;"), (2, 3, "a < b > c")),
    call("NOTE", (0, 1, "NOTE"), (1, 2, "WEBVTT"), (2, 3, "STYLE"), (3, 4, "1"), (4, 5, "00:00:01.000")),
    call("Jane", (5_000, 6_000, "late"), (0, 9_000, "long"), (100, 50, "backwards"), (0, 0, "at once"), (7, 8, " \t\n ")),
    call("Jane", (359_999_999, 360_000_000, "99 hours"), (360_000_000, 5_000_000_000, "more")),
    call("Zoë\u00a0Müller", (0, 1, "Ça va\u00a0? — «\u202fOui\u202f» 日本語 😀"), (1, 2, "\x00\x01\u2028\u2029x\ufeffy")),
    call("*_`[x](y)`_*", (0, 1, "# 1. **b** _i_ `c` [l](u) ![i](u) <http://x> ~~s~~ | $m$ \\ &copy;"), (1, 2, "1. - +")),
    call("Jane"),
]


class Calls(Program):
    """The program, with the sample call and the hostile transcripts."""

    def fill_store(self):
        sample = json.loads(next((ROOT / "fixtures/transcripts").glob("*.json")).read_bytes())
        folder = self.folder / "store/transcripts"
        folder.mkdir(parents=True)
        self.calls = {str(uuid.UUID(int=at)): call for at, call in enumerate([sample, *HOSTILE], 1)}
        for name, call in self.calls.items():
            (folder / f"{name}.json").write_text(json.dumps(call))

    def rendered(self, name, form):
        with urllib.request.urlopen(self.origin + self.target("transcript", name, "--format", form)) as answer:
            text = answer.read().decode()
            assert int(answer.headers["Content-Length"]) == len(text.encode())
            assert answer.headers["Content-Disposition"] == f'inline; filename="transcript-{name}.{form}"'
            return text


def one_line(text):
    return GAPS.sub(" ", text).strip(" ")


def expected(call):
    """Begin, end, speaker and text of each utterance with words, in their order."""
    names = {speaker["id"]: one_line(speaker["name"][:100]) for speaker in call["speakers"]}
    said = sorted(call["utterances"], key=lambda said: said["start_ms"])
    cues = [(one["start_ms"], max(one["end_ms"], one["start_ms"] + 1), names[one["speaker"]], one_line(one["text"])) for one in said]
    return [cue for cue in cues if cue[3]]


def as_subrip(text):
    """SubRip has no escapes: an arrow gets a space."""
    return re.sub("(?<=--)>", " >", text)


def check_webvtt(text, cues):
    done = subprocess.run(["node", HERE / "captions.mjs", NODE_PACKAGES], input=text, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["errors"] == [], found["errors"]
    # It leaves the escapes in names, which the standard undoes (WebVTT 6.4, start tag annotation state).
    read = [(start, end, name and html.unescape(name), words) for start, end, name, words in found["cues"]]
    assert read == cues, (read, cues)
    # webvtt-py neither undoes escapes nor looks into tags.
    captions = webvtt.from_buffer(io.StringIO(text)).captions
    assert [(caption.start_in_seconds, caption.voice is None) for caption in captions] == [(start // 1000, False) for start, *_ in cues]
    assert len(captions) == len(cues)


def check_subrip(text, cues):
    wanted = [(start, end, f"{as_subrip(name)}: {as_subrip(words)}") for start, end, name, words in cues]
    found = [(one.start, one.end, one.content) for one in srt.parse(text)]
    assert [(ms(start), ms(end), content) for start, end, content in found] == wanted, (found, wanted)
    assert [one.index for one in srt.parse(text)] == list(range(1, len(cues) + 1))
    found = [(one.start.ordinal, one.end.ordinal, one.text) for one in pysrt.from_string(text, error_handling=pysrt.ERROR_RAISE)]
    assert found == wanted, (found, wanted)


def ms(time):
    return round(time.total_seconds() * 1000)


def check_markdown(text, cues):
    tokens = [token for token in MarkdownIt("commonmark").parse(text) if token.type == "inline"]
    paragraphs = [[(child.type, child.content) for child in token.children] for token in tokens]
    plain = [[content for kind, content in inline if kind == "text"] for inline in paragraphs]
    wanted = [f"({clock(start)}) {name}: {words}" for start, _, name, words in cues]
    assert ["".join(parts) for parts in plain] == wanted, (plain, wanted)
    kinds = {kind for inline in paragraphs for kind, _ in inline}
    assert kinds <= {"text", "strong_open", "strong_close", "text_special"}, kinds


def check_text(text, cues):
    assert text.splitlines() == [f"[{clock(start)}] {name}: {words}" for start, _, name, words in cues], text


def clock(start):
    seconds = start // 1000
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


CHECKS = {"vtt": check_webvtt, "srt": check_subrip, "md": check_markdown, "txt": check_text}


def main():
    checked = 0
    with Calls() as program:
        for name, call in program.calls.items():
            cues = expected(call)
            for form, check in CHECKS.items():
                check(program.rendered(name, form), cues)
                checked += len(cues)
        assert program.stop() == 0
    assert checked > 100, checked
    print(f"captions: {len(CHECKS)} formats of {1 + len(HOSTILE)} transcripts, {checked} utterances")
    sys.exit(0)


main()
