"""The senders that are compared, each on the first CPU and on a fresh database; the database is on the second CPU.

All answer a call when the delivery is on disk, sign with HMAC-SHA256 as Standard Webhooks does, keep connections, end an
attempt after ten seconds and try again after a failure. Standard library only.
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "peers"))

import servers  # noqa: E402
from servers import CLIENT_CPU, SERVER_CPU, Failed, Server, child  # noqa: E402

OURS = "webhook-assets"
RECEIVERS = "127.0.0.1:9100"


class Folder:
    """The folder of a run, and the programs that it needs."""

    def __init__(self, options):
        self.path = pathlib.Path(options.folder)
        # PostgreSQL runs as another user.
        self.path.chmod(0o755)
        self.program, self.load, self.modules = options.program, options.load, pathlib.Path(options.modules)
        self.postgres, self.nice = pathlib.Path(options.postgres), options.nice
        self.keys, self.key = self.path / "keys.json", self.path / "secrets.key"
        self.run([self.program, "keys", "new", "--keys", self.keys])
        self.key.write_text(os.urandom(32).hex())

    run = staticmethod(servers.Folder.run)


class Postgres(Server):
    """A cluster as initdb makes it: a commit is on disk before it is confirmed. Each measurement has a database."""

    name, port = "PostgreSQL", 9200

    def __init__(self, folder):
        super().__init__(folder)
        # PostgreSQL refuses to run as root.
        self.owner = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups"] if os.geteuid() == 0 else []
        self.made = 0

    def command(self):
        if self.owner:
            shutil.chown(self.place, "postgres")
        initdb = [self.folder.postgres / "initdb", "-D", self.place / "data", "-U", "bench", "--auth", "trust", "-E", "UTF8"]
        self.folder.run([*self.owner, *initdb, "--no-sync"], cwd=self.place)
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.place, "max_connections": 300}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [*self.owner, self.folder.postgres / "postgres", "-D", self.place / "data", *options]

    @contextlib.contextmanager
    def running(self, cpus=(CLIENT_CPU,)):
        with super().running(cpus):
            try:
                yield self
            finally:
                self.process.send_signal(signal.SIGQUIT)
                self.process.wait(10)

    def processes(self):
        """The server and its children, each of which has a session."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [self.process.pid, *map(int, children.split())]

    def cpu(self):
        """With the sessions that have ended."""
        ended = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[13:15]
        return super().cpu() + sum(map(int, ended)) / os.sysconf("SC_CLK_TCK")

    def url(self, database):
        return f"postgres://bench@127.0.0.1:{self.port}/{database}"

    def sql(self, text, database="postgres"):
        command = [self.folder.postgres / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", self.url(database)]
        return self.folder.run(command, input=text)

    @contextlib.contextmanager
    def database(self):
        """A fresh database; yields its name."""
        self.made += 1
        name = f"bench{self.made}"
        self.sql(f"CREATE DATABASE {name}; CHECKPOINT;")
        try:
            yield name
        finally:
            self.sql(f"DROP DATABASE {name} WITH (FORCE)")


class Redis(Server):
    """redis-server that answers when the write is on disk (`appendfsync always`)."""

    name, port = "redis", 9300

    def command(self):
        options = {"port": self.port, "bind": "127.0.0.1", "dir": self.place, "appendonly": "yes", "appendfsync": "always", "save": ""}
        return ["redis-server", *(word for name, value in options.items() for word in (f"--{name}", value))]


class Sender(Server):
    """A sender with its database."""

    port = 9000
    store = None  # the server of its database; None: a file of its own

    @contextlib.contextmanager
    def started(self):
        """The sender on a fresh database."""
        with self.running((SERVER_CPU,)):
            yield self

    def database_cpu(self):
        return self.store.cpu() if self.store else 0.0

    def environment(self):
        return {"LISTEN": f"127.0.0.1:{self.port}"}


class Ours(Sender):
    """The sender as shipped; it logs every attempt to a file."""

    def __init__(self, folder, postgres=None):
        self.name = f"{OURS}, {'PostgreSQL' if postgres else 'SQLite'}"
        super().__init__(folder)
        self.store, self.database = postgres, None

    @contextlib.contextmanager
    def started(self):
        with self.store.database() if self.store else contextlib.nullcontext() as self.database, super().started():
            yield self

    def command(self):
        return [self.folder.program, "serve", "--only", "sender"]

    def environment(self):
        settings = {
            "ADMIN_LISTEN": f"127.0.0.1:{self.port}",
            "DATABASE": self.store.url(self.database) if self.store else f"sqlite:{self.place}/webhooks.db",
            "PUBLIC_URL": "https://app.example.com/api",
            "KEYS": self.folder.keys,
            "STORE": "memory:///",
            "WEBHOOKS_SECRET_KEY_FILE": self.folder.key,
            "WEBHOOKS_ALLOW_HTTP": "true",
            "WEBHOOKS_ALLOWED_NETWORKS": "127.0.0.0/8",
            "LOG_FORMAT": "json",
        }
        return {f"WEBHOOK_ASSETS_{name}": str(value) for name, value in settings.items()}


class Script(Sender):
    """A worker of a few lines: benches/senders/peers/NAME.js."""

    script = None

    def command(self):
        return [self.folder.modules / "node_modules/.bin/node", self.folder.modules / self.script]


class GraphileWorker(Script):
    name, script = "graphile-worker, PostgreSQL", "graphile-worker.js"

    def __init__(self, folder, postgres):
        super().__init__(folder)
        self.store, self.database = postgres, None

    @contextlib.contextmanager
    def started(self):
        with self.store.database() as self.database, super().started():
            yield self

    def environment(self):
        return super().environment() | {"DATABASE_URL": self.store.url(self.database)}


class BullMq(Script):
    name, script = "BullMQ, redis", "bullmq.js"

    def __init__(self, folder):
        super().__init__(folder)
        self.store = Redis(folder)

    @contextlib.contextmanager
    def started(self):
        with self.store.running((CLIENT_CPU,)), super().started():
            yield self

    def environment(self):
        return super().environment() | {"REDIS_URL": f"redis://127.0.0.1:{self.store.port}"}


class Load:
    """Callers and receivers, on the second CPU (benches/senders/load)."""

    def __init__(self, sender):
        self.sender = sender
        command = [sender.folder.load, f"127.0.0.1:{sender.port}", RECEIVERS]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            **child({CLIENT_CPU}, sender.folder.nice),
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def do(self, **command):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"{self.sender.name}: {self.process.stderr.read().strip()}{self.sender.last_words()}")
        return json.loads(line)


def busy(cpu):
    """Seconds that a CPU has worked for whatever runs on this machine."""
    fields = next(line for line in open("/proc/stat") if line.startswith(f"cpu{cpu} ")).split()[1:]
    idle = int(fields[3]) + int(fields[4])
    return (sum(map(int, fields[:8])) - idle) / os.sysconf("SC_CLK_TCK")


def settle():
    """Until results that have arrived are recorded."""
    time.sleep(0.3)
