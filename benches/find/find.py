"""Fills a database with deliveries, and measures how long the private API takes to find calls among them.

Standard library only.
"""
import argparse
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import platform
import shutil
import signal
import sqlite3
import statistics
import subprocess
import time

ADMIN, POSTGRES = 9401, 9402
WORKSPACES, ENDPOINTS = 10, 2  # endpoints of each workspace
NUMBERS, PROSPECTS, AGENTS = 50, 500_000, 200
REPEATS = 40

CONTENT = json.dumps({
    "call": {"ended_at": "2025-12-17T14:30:00.000Z", "status": "connected", "direction": "outgoing", "duration_seconds": 180,
             "from_number": "+33100000000", "to_number": "+33600000000", "summary": "Discussed pricing options. " * 8},
    "prospect": {"first_name": "John", "last_name": "Doe", "email": "john.doe@example.com", "company": "Acme Inc",
                 "job_title": "Software Engineer", "crm_contact_id": "123", "crm_company_id": "456"},
    "user": {"name": "Jane Smith", "email": "jane@yourcompany.com"}, "list": None}, separators=(",", ":"))


def fill(endpoints, count, now):
    """The statements that fill the tables; `i` numbers the calls, and the endpoints have a table."""
    first = now - count * 60  # a call every 60 ms
    series = f"(SELECT i, {first} + i * 60 AS at, i % {len(endpoints)} AS place FROM series) AS n"
    source = f"{series} JOIN places p ON p.place = n.place"
    return [
        f"""INSERT INTO events (id, workspace, call_id, test, content, recording, transcript, accepted_at, call_id_reversed,
            from_number_reversed, to_number_reversed, user_email, prospect_email)
            SELECT 'msg_' || md5('e' || i), p.workspace, 'call-' || md5('c' || i), FALSE, '{CONTENT}', md5('r' || i), NULL, n.at,
            reverse('call-' || md5('c' || i)), reverse(CAST(33100000000 + i % {NUMBERS} AS TEXT)),
            reverse(CAST(33600000000 + (i * 7919) % {PROSPECTS} AS TEXT)), 'agent-' || (i % {AGENTS}) || '@acme.example',
            'prospect-' || (i % {PROSPECTS}) || '@example.com' FROM {source}""",
        f"""INSERT INTO deliveries (id, event_id, endpoint_id, workspace, position, state, test, lane, due_at, tries, attempts,
            last_status, last_summary, links_expire_at, created_at, ended_at)
            SELECT 'dlv_' || md5('e' || i) || '_1', 'msg_' || md5('e' || i), p.endpoint, p.workspace, 0, 'delivered', FALSE, 0,
            n.at, 1, 1, 200, 'The receiver accepted it.', (n.at + 86400000) / 1000, n.at, n.at + 300 FROM {source}""",
        f"""INSERT INTO attempts (delivery_id, number, started_at, took_ms, status, code, summary, links_expire_at)
            SELECT 'dlv_' || md5('e' || i) || '_1', 1, n.at, 300, 200, 'accepted', 'The receiver accepted it.',
            (n.at + 86400000) / 1000 FROM {source}""",
    ]


class Sqlite:
    name = "SQLite"

    def __init__(self, folder, _options):
        self.path = folder / "webhooks.db"
        self.url = f"sqlite:{self.path}"

    @contextlib.contextmanager
    def running(self):
        yield

    def fill(self, endpoints, count):
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.create_function("md5", 1, lambda text: hashlib.md5(str(text).encode()).hexdigest(), deterministic=True)
        connection.create_function("reverse", 1, lambda text: text[::-1], deterministic=True)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -500000")
        connection.execute("CREATE TEMP TABLE places (place INTEGER, workspace TEXT, endpoint TEXT)")
        connection.executemany("INSERT INTO places VALUES (?, ?, ?)", endpoints)
        connection.execute("CREATE TEMP TABLE series (i INTEGER)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO series VALUES (?)", ((i,) for i in range(count)))
        for statement in fill(endpoints, count, int(time.time() * 1000)):
            connection.execute(statement)
        connection.execute("COMMIT")
        connection.close()

    def size(self):
        return self.path.stat().st_size


class Postgres:
    name = "PostgreSQL"

    def __init__(self, folder, options):
        self.place, self.programs = folder / "cluster", pathlib.Path(options.postgres)
        self.owner = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups"] if os.geteuid() == 0 else []
        self.url = f"postgres://bench@127.0.0.1:{POSTGRES}/postgres"

    @contextlib.contextmanager
    def running(self):
        self.place.mkdir()
        if self.owner:
            shutil.chown(self.place, "postgres")
        data = self.place / "data"
        subprocess.run([*self.owner, self.programs / "initdb", "-D", data, "-U", "bench", "--auth", "trust", "-E", "UTF8",
                        "--locale", "C.UTF-8", "--no-sync"], check=True, stdout=subprocess.DEVNULL, cwd=self.place)
        settings = {"port": POSTGRES, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.place,
                    "max_wal_size": "4GB"}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        server = subprocess.Popen([*self.owner, self.programs / "postgres", "-D", data, *words], cwd=self.place,
                                  stderr=subprocess.DEVNULL)
        try:
            self.wait()
            yield
        finally:
            server.send_signal(signal.SIGQUIT)
            server.wait(20)

    def wait(self):
        for _ in range(100):
            if subprocess.run([self.programs / "pg_isready", "-h", "127.0.0.1", "-p", str(POSTGRES)],
                              stdout=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.1)
        raise SystemExit("PostgreSQL does not start")

    def sql(self, text):
        command = [self.programs / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", self.url]
        return subprocess.run(command, input=text, check=True, capture_output=True, text=True).stdout

    def fill(self, endpoints, count):
        rows = ", ".join(f"({place}, '{workspace}', '{endpoint}')" for place, workspace, endpoint in endpoints)
        statements = ";\n".join(fill(endpoints, count, int(time.time() * 1000)))
        self.sql(f"SET synchronous_commit = off; CREATE TEMP TABLE places (place BIGINT, workspace TEXT, endpoint TEXT);"
                 f"INSERT INTO places VALUES {rows}; CREATE TEMP TABLE series AS SELECT i FROM generate_series(0::bigint, {count - 1}) AS i;"
                 f"ANALYZE series; ANALYZE places; {statements}; VACUUM ANALYZE events, deliveries, attempts; CHECKPOINT;")

    def size(self):
        return int(self.sql("SELECT pg_database_size('postgres')"))


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def searches(count):
    """What is looked for, by its name."""
    i = count // 3
    call = "call-" + md5(f"c{i}")
    number = str(33600000000 + (i * 7919) % PROSPECTS)
    return {
        "a call's id": call,
        "its beginning": call[:13],
        "its end": call[-8:],
        "a beginning that all have": "call-",
        "an event": "msg_" + md5(f"e{i}"),
        "a delivery": "dlv_" + md5(f"e{i}") + "_1",
        "a phone number of a few calls": "+" + number,
        "its last eight digits": number[-8:],
        f"a phone number of 1 call in {NUMBERS}": "+33100000007",
        "an e-mail address of a few calls": f"prospect-{i % PROSPECTS}@example.com",
        f"an e-mail address of 1 call in {AGENTS}": "agent-7@acme.example",
        "a host": "hooks-3.example.com",
        "nothing that is there": "+49 30 1234567",
    }


def measure(connection, body):
    begun = time.perf_counter()
    connection.request("POST", "/v1/find", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = json.loads(response.read())
    took = (time.perf_counter() - begun) * 1000
    assert response.status == 200, answer
    return took, len(answer["calls"])


@contextlib.contextmanager
def serving(options, environment):
    server = subprocess.Popen([options.program, "serve", "--only", "sender"], env=environment, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with contextlib.suppress(OSError):
                connection = http.client.HTTPConnection("127.0.0.1", ADMIN, timeout=60)
                connection.request("GET", "/readyz")
                if (response := connection.getresponse()).read() and response.status == 200:
                    yield connection
                    return
            time.sleep(0.1)
        raise SystemExit("the program does not start")
    finally:
        server.terminate()
        server.wait(20)


def run(engine, folder, options):
    environment = {
        "WEBHOOK_ASSETS_DATABASE": engine.url, "WEBHOOK_ASSETS_KEYS": str(folder / "keys.json"),
        "WEBHOOK_ASSETS_PUBLIC_URL": "https://app.example.com/api", "WEBHOOK_ASSETS_STORE": "memory:///",
        "WEBHOOK_ASSETS_ADMIN_LISTEN": f"127.0.0.1:{ADMIN}", "WEBHOOK_ASSETS_WEBHOOKS_SECRET_KEY_FILE": str(folder / "secret.key"),
    }
    command = [options.program, "keys", "new", "--keys", folder / "keys.json"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (folder / "secret.key").write_text(os.urandom(32).hex())
    with engine.running():
        endpoints = []
        for place in range(WORKSPACES * ENDPOINTS):
            workspace = f"workspace-{place % WORKSPACES}"
            add = [options.program, "webhooks", "add", "--workspace", workspace, f"https://hooks-{place}.example.com/hook", "--json"]
            added = json.loads(subprocess.run(add, env=environment, check=True, capture_output=True, text=True).stdout)
            endpoints.append((place, workspace, added["id"]))
        begun = time.monotonic()
        engine.fill(endpoints, options.deliveries)
        print(f"\n{engine.name}: {options.deliveries:,} deliveries, {engine.size() / 1e9:.1f} GB, filled in "
              f"{time.monotonic() - begun:.0f} s\n")
        print("| what is looked for | in | calls | first | median | longest |\n|---|---|---|---|---|---|")
        with serving(options, environment) as connection:
            for name, query in searches(options.deliveries).items():
                for where, body in (("all workspaces", {}), ("one", {"workspace": "workspace-3"})):
                    times = [measure(connection, {"query": query, **body}) for _ in range(REPEATS + 1)]
                    first, rest = times[0], [took for took, _ in times[1:]]
                    print(f"| {name} | {where} | {first[1]} | {first[0]:.1f} ms | {statistics.median(rest):.1f} ms | {max(rest):.1f} ms |")


def processor():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{os.cpu_count()} CPUs, {name}, Linux {platform.release()}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--postgres", required=True)
    parser.add_argument("--program", type=lambda path: pathlib.Path(path).resolve(), required=True)
    parser.add_argument("--deliveries", type=int, default=1_000_000)
    parser.add_argument("--engines", default="sqlite,postgres")
    options = parser.parse_args()
    # PostgreSQL runs as another user.
    options.folder.chmod(0o755)
    print(processor())
    for name in options.engines.split(","):
        folder = options.folder / name
        folder.mkdir()
        folder.chmod(0o755)
        run({"sqlite": Sqlite, "postgres": Postgres}[name](folder, options), folder, options)


main()
