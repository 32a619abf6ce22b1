#!/usr/bin/env python3
"""What a cache of hot objects could save: the same downloads, five of each in a row as a receiver, its retry and three
automation steps make them, from an S3 server and from files in the page cache, which no cache can beat.

    cargo build --profile dist && bash tests/run stores seaweedfs && python3 tests/stores/hot_objects.py

Prints the gateway's processor time for a request and the latency, medians of five rounds, interleaved.
"""

import glob
import http.client
import json
import os
import statistics
import subprocess
import tempfile
import time
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = f"{ROOT}/target/dist/webhook-assets"
SAMPLE = f"{ROOT}/fixtures/transcripts/550e8400-e29b-41d4-a716-446655440000.json"
KEY, SECRET = "AKIATESTKEY000000001", "testsecrettestsecrettestsecrettestsecret"
S3 = "http://127.0.0.1:8333"
FLAGS = """-ip=127.0.0.1 -ip.bind=127.0.0.1 -master.telemetry=false -admin.ui=false -webdav=false -s3.port.iceberg=0
-s3.port.lance=0 -s3.port=8333 -bucket=assets""".split()


def start_s3(folder):
    """Starts the SeaweedFS that tests/run stores installed."""
    weed = next(path for path in glob.glob(f"{ROOT}/target/stores/**/weed", recursive=True) if os.access(path, os.X_OK))
    identity = {"name": "g", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}
    with open(f"{folder}/s3.json", "w") as file:
        json.dump({"identities": [identity]}, file)
    os.makedirs(f"{folder}/weed")
    command = [weed, "mini", f"-dir={folder}/weed", f"-s3.config={folder}/s3.json", *FLAGS]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(200):
        if subprocess.run(["curl", "-sfo", "/dev/null", f"{S3}/healthz"]).returncode == 0:
            break
        time.sleep(0.1)
    time.sleep(2)
    return server


def store(folder, key, body):
    """Stores the object as a file and in the bucket."""
    path = f"{folder}/files/{key}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(body)
    sign = ["--aws-sigv4", "aws:amz:us-east-1:s3", "-u", f"{KEY}:{SECRET}"]
    subprocess.run(["curl", "-sfo", "/dev/null", *sign, "-T", path, f"{S3}/assets/{key}"], check=True)


def serve(store_url, keys):
    environment = {
        "PATH": os.environ["PATH"],
        "WEBHOOK_ASSETS_LISTEN": "127.0.0.1:0",
        "WEBHOOK_ASSETS_ADMIN_LISTEN": "127.0.0.1:0",
        "WEBHOOK_ASSETS_PUBLIC_URL": "http://h",
        "WEBHOOK_ASSETS_STORE": store_url,
        "WEBHOOK_ASSETS_KEYS": keys,
        "WEBHOOK_ASSETS_LOG_LEVEL": "warn",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": S3,
        "AWS_ALLOW_HTTP": "true",
    }
    server = subprocess.Popen([PROGRAM, "serve"], env=environment, stdout=subprocess.PIPE, text=True)
    return server, int(server.stdout.readline().rsplit(":", 1)[1])


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def download(port, target):
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", target)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status == 200, answer.status
    return time.perf_counter() - started


def main():
    with tempfile.TemporaryDirectory() as folder:
        s3 = start_s3(folder)
        servers = {}
        try:
            calls = [str(uuid.uuid4()) for _ in range(20)]
            with open(SAMPLE, "rb") as file:
                transcript = file.read()
            recording = os.urandom(5 * 1024 * 1024)
            for call in calls:
                store(folder, f"recordings/{call}.mp3", recording)
                store(folder, f"transcripts/{call}.json", transcript)
            keys = f"{folder}/keys.json"
            subprocess.run([PROGRAM, "keys", "new", "--keys", keys], check=True, stdout=subprocess.DEVNULL)

            def link(kind, call):
                command = [PROGRAM, "mint", kind, call, "--keys", keys, "--public-url", "http://h"]
                return subprocess.check_output(command, text=True).strip().removeprefix("http://h")

            servers = {"S3": serve("s3://assets", keys), "page cache": serve(f"file://{folder}/files", keys)}
            rounds = {}
            for _ in range(5):
                for kind, times in ("recording", 1), ("transcript", 10):
                    targets = [link(kind, call) for call in calls]
                    for name, (server, port) in servers.items():
                        before = processor_seconds(server.pid)
                        taken = [download(port, t) for _ in range(times) for t in targets for _ in range(5)]
                        used = (processor_seconds(server.pid) - before) / len(taken)
                        rounds.setdefault((kind, name), []).append((used * 1e3, statistics.median(taken) * 1e3))
            print(f"{'asset':12} {'from':12} {'gateway CPU':>12} {'latency':>10}")
            for (kind, name), values in rounds.items():
                used, latency = (statistics.median(column) for column in zip(*values))
                print(f"{kind:12} {name:12} {used:9.2f} ms {latency:7.2f} ms")
        finally:
            for server, _ in servers.values():
                server.kill()
            s3.kill()


main()
