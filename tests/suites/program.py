"""The real program in a fresh folder, with an environment that holds only what is set here."""

import hashlib
import os
import pathlib
import random
import re
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("WEBHOOK_ASSETS_PROGRAM") or str(ROOT / "target/debug/webhook-assets")
CALL = "550e8400-e29b-41d4-a716-446655440000"
ABSENT = "650e8400-e29b-41d4-a716-446655440000"
RECORDING_SIZE = 5_000_000
TRANSCRIPT_SIZE = 40_000


def settled(ask, seconds, what):
    """Polls until there is a true answer."""
    end = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(what() if callable(what) else what)
        time.sleep(0.05)


class Program:
    """A running `serve`; stopped at the end of `with`. Settings are named as in the settings file: server__header_timeout."""

    def __init__(self, tls=False, only="gateway", folder=None, log_folder=None, **settings):
        self.own_folder = folder is None
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="webhook-assets-"))
        self.log_path = pathlib.Path(log_folder or self.folder) / "log"
        self.tls = tls
        self.arguments = ["serve"] + (["--only", only] if only else [])
        self.environment = {
            "PATH": os.environ["PATH"],
            "WEBHOOK_ASSETS_PUBLIC_URL": "https://app.example.com/api",
            "WEBHOOK_ASSETS_STORE": f"file://{self.folder}/store",
            "WEBHOOK_ASSETS_KEYS": f"{self.folder}/keys.json",
            "WEBHOOK_ASSETS_LISTEN": "127.0.0.1:0",
            "WEBHOOK_ASSETS_ADMIN_LISTEN": "127.0.0.1:0",
            "WEBHOOK_ASSETS_LOG_LEVEL": "warn",
            "RUST_BACKTRACE": "1",
        }
        if tls:
            settings |= {"tls__certificate": f"{self.folder}/tls.pem", "tls__key": f"{self.folder}/tls.key"}
        for name, value in settings.items():
            self.environment["WEBHOOK_ASSETS_" + name.upper().replace("__", "_")] = str(value)

    def __enter__(self):
        self.fill_store()
        if self.tls:
            self.make_certificate()
        self.run("keys", "new")
        self.log_file = open(self.log_path, "wb")
        self.process = subprocess.Popen(
            [BINARY, *self.arguments], env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=self.log_file,
        )
        self.said = b""
        self.gateway = self.address(b"gateway")
        self.admin = self.address(b"admin")
        return self

    def __exit__(self, failed, *_):
        self.process.kill()
        self.process.wait()
        self.log_file.close()
        log = self.log()
        if failed:
            print("the last lines of the program's log:", *log.splitlines()[-10:], sep="\n  ")
        if self.own_folder:
            shutil.rmtree(self.folder)
        assert "panicked" not in log, "the program has panicked:\n" + log[log.index("panicked") - 500:][:3000]

    def stop(self, seconds=20):
        """Stops it like a supervisor; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=seconds)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def address(self, listener):
        pattern = re.compile(listener + rb" listening on \w+://([\d.]+):(\d+)")
        os.set_blocking(self.process.stdout.fileno(), False)

        def found():
            self.said += self.process.stdout.read() or b""
            assert self.process.poll() is None, "the program has ended:\n" + self.log()
            match = pattern.search(self.said)
            return match and (match[1].decode(), int(match[2]))

        return settled(found, 20, lambda: f"{listener.decode()} is not bound: {self.said!r}\n{self.log()}")

    def fill_store(self):
        """A recording that begins as an MP3 and goes on as noise, a transcript of text, and nothing else."""
        sample = next((ROOT / "fixtures/recordings").glob("*.mp3")).read_bytes()
        noise = (sample + random.Random(1).randbytes(RECORDING_SIZE))[:RECORDING_SIZE]
        said = b"Jane Smith: Hi John. " * (TRANSCRIPT_SIZE // 21)
        words = b'{"schema":"call-transcript/1","utterances":[{"start_ms":0,"end_ms":900,"text":"%s"}]}' % said
        self.objects = {"recording": noise, "transcript": words}
        for kind, name in (("recording", f"recordings/{CALL}.mp3"), ("transcript", f"transcripts/{CALL}.json")):
            path = self.folder / "store" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.objects[kind])
        self.digests = {kind: hashlib.sha256(data).hexdigest() for kind, data in self.objects.items()}

    def make_certificate(self):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
             "-keyout", self.folder / "tls.key", "-out", self.folder / "tls.pem"],
            check=True, capture_output=True,
        )

    def trust(self, *protocols):
        context = ssl.create_default_context(cafile=str(self.folder / "tls.pem"))
        if protocols:
            context.set_alpn_protocols(protocols)
        return context

    def run(self, *arguments):
        done = subprocess.run([BINARY, *arguments], env=self.environment, cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def target(self, kind="recording", call=CALL, *arguments):
        """Path and query of a good link, as a proxy that strips the prefix passes it on."""
        return self.run("mint", kind, call, *arguments).strip().removeprefix("https://app.example.com/api")

    @property
    def origin(self):
        return f"{'https' if self.tls else 'http'}://{self.gateway[0]}:{self.gateway[1]}"

    def metrics(self):
        """Every sample of /metrics whose value is a number."""
        with urllib.request.urlopen(f"http://{self.admin[0]}:{self.admin[1]}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def status(self, name):
        """A number of /proc/PID/status: RssAnon in kB, Threads."""
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{name}:\s+(\d+)", text, re.M)[1])
