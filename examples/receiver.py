#!/usr/bin/env python3
"""A receiver of webhooks: checks the signature, writes the event down, answers, and downloads the files afterwards.

    WEBHOOK_SECRET=whsec_… python3 examples/receiver.py 9000 calls

It needs Python 3.8 or newer and nothing else. For each call the folder `calls` gets EVENT.json, EVENT.mp3 and
EVENT.transcript.json. What was not downloaded when it stopped is downloaded at the next start.
"""

import hashlib
import hmac
import json
import os
import queue
import re
import shutil
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

SECRET = os.environ["WEBHOOK_SECRET"]
PORT, FOLDER = int(sys.argv[1]), Path(sys.argv[2])
LARGEST_BODY = 10_000_000
accepted = queue.Queue()  # events that are on disk, and whose files are not
writing = threading.Lock()


def is_genuine(raw_body: bytes, signature: str, secret: str) -> bool:
    expected = hmac.new(secret.encode(), raw_body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.encode())


class Receiver(BaseHTTPRequestHandler):
    timeout = 10  # seconds for a request to arrive

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        if not 0 <= length <= LARGEST_BODY:
            return self.answer(413)
        raw_body = self.rfile.read(length)
        if not is_genuine(raw_body, self.headers.get("X-Webhook-Signature", ""), SECRET):
            return self.answer(401)
        event = self.headers.get("webhook-id", "")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", event):  # it becomes the name of a file
            return self.answer(400)
        if write_down(event, raw_body):
            accepted.put(event)
        self.answer(200)  # for an event that came before, too: otherwise it comes again

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def write_down(event: str, raw_body: bytes) -> bool:
    """Writes the event to disk; False if it is there already."""
    path = FOLDER / f"{event}.json"
    with writing:
        if path.exists():
            return False
        save(path, lambda file: file.write(raw_body))
        return True


def save(path: Path, write):
    """Makes the file whole or not at all."""
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def download_all():
    while True:
        event = accepted.get()
        call = json.loads((FOLDER / f"{event}.json").read_bytes())["call"]
        for link, name in [(call["recording_url"], f"{event}.mp3"), (call["transcript_url"], f"{event}.transcript.json")]:
            if link and not (FOLDER / name).exists():  # null: the call has none
                download(link, FOLDER / name)
        print(f"{event}: call {call['status']}", flush=True)


def download(link: str, path: Path):
    for pause in [1, 10, 60, 0]:
        try:
            with urlopen(link, timeout=60) as answer:
                save(path, lambda file: shutil.copyfileobj(answer, file))
                expected = int(answer.headers["Content-Length"])
            if path.stat().st_size == expected:  # Python reports no connection that breaks early
                return
            path.unlink()
            raise OSError("the connection broke")
        except OSError as error:  # also answers of 400 and more: 403 expired, 404 erased, 503 try again
            print(f"{path.name}: {error}", flush=True)
            time.sleep(pause)


FOLDER.mkdir(exist_ok=True)
for path in FOLDER.glob("*.json"):
    if not path.name.endswith(".transcript.json"):
        accepted.put(path.stem)
server = ThreadingHTTPServer(("127.0.0.1", PORT), Receiver)
print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
threading.Thread(target=download_all, daemon=True).start()  # from here on, only this thread prints
server.serve_forever()
