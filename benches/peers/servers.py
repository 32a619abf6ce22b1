"""The servers that are compared, each started on a fresh folder and pinned to the first CPU.

All serve the same files, and all check a signature first: nginx with `secure_link` (MD5), lighttpd with a script
(HMAC-SHA256, the same links), Caddy not at all, because it cannot. Standard library only.
"""
import base64
import contextlib
import fcntl
import hashlib
import hmac
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import termios
import time

HERE = pathlib.Path(__file__).resolve().parent
SERVER_CPU, CLIENT_CPU = 0, 1
SECRET = "a secret of nginx's"
PREFIX = "/webhook-assets"
ROOM = 16_000  # the connection limit of every server
BUCKET_PORT = 9000  # with TLS on the next
OURS = "webhook-assets"


class Failed(Exception):
    """An error that ends the run, with a hint."""


class Folder:
    """The folder for everything that a run creates: objects, keys, configurations, logs."""

    def __init__(self, path, binary, load, nice=0):
        self.path = pathlib.Path(path)
        self.path.chmod(0o755)
        self.root = self.path / "objects"
        for name in ("recordings", "transcripts"):
            (self.root / name).mkdir(parents=True)
        self.binary, self.load, self.nice = binary, load, nice
        self.keys = self.path / "keys.json"
        self.key = os.urandom(32)
        self.expires = int(time.time()) + 20 * 3600
        making = [binary, "keys", "new", "--import", "--keys", self.keys]
        self.run(making, input=self.key.hex())
        self.run([
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", self.path / "tls.key", "-out", self.path / "tls.pem",
        ])
        self.check_signing()

    def check_signing(self):
        """Checks that `Asset.signed` signs as the program does."""
        asset = Asset(self, 0, "transcript")
        minted = asset.minted()
        self.expires, kept = int(minted.split("expires=")[1].split("&")[0]), self.expires
        if asset.signed() != minted:
            raise Failed(f"links are made differently now: {minted}")
        self.expires = kept

    def asked(self, command, timeout):
        """The same for the client, on its CPU."""
        return self.run(command, timeout=timeout, **child({CLIENT_CPU}, self.nice))

    @staticmethod
    def run(command, **more):
        done = subprocess.run([str(part) for part in command], text=True, capture_output=True, **more)
        if done.returncode != 0:
            raise Failed(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout


def child(cpus, nice=0):
    """Options for servers and clients: on these CPUs, in a separate session, with a higher priority on request."""

    def prepare():
        os.sched_setaffinity(0, cpus)
        if nice:
            os.setpriority(os.PRIO_PROCESS, 0, nice)
            # Where the scheduler shares the machine among sessions, the session's priority counts.
            with contextlib.suppress(OSError):
                pathlib.Path("/proc/self/autogroup").write_text(str(nice))

    return {"start_new_session": True, "preexec_fn": prepare}


class Asset:
    """An object, and the targets that open it."""

    def __init__(self, folder, number, kind):
        self.id = "%08x-0000-4000-8000-%012x" % (number * 2654435761 % 2**32, number)
        self.kind = kind
        self.path = f"/recordings/{self.id}.mp3" if kind == "recording" else f"/transcripts/{self.id}.json"
        self.file = folder.root / self.path[1:]
        self.folder = folder

    def make(self, size, text=None):
        """Writes `text`, or random bytes, which nothing compresses."""
        with open(self.file, "wb") as file:
            if text is not None:
                file.write(text)
            while text is None and size > 0:
                size -= file.write(os.urandom(min(size, 1 << 20)))
        return self

    def minted(self):
        """The program's link, minted by the program itself."""
        base = "http://localhost"
        mint = [self.folder.binary, "mint", self.kind, self.id, "--public-url", base, "--keys", self.folder.keys]
        return self.folder.run(mint).strip().removeprefix(base)

    def signed(self):
        """The program's link, signed here (`Folder` checks how): quicker than a process for each of a million objects."""
        text = f"webhook-assets/v1\n{self.kind}\n{self.id}\n{self.folder.expires}"
        digits = hmac.new(self.folder.key, text.encode(), hashlib.sha256).hexdigest()
        return f"{PREFIX}/{self.kind}/{self.id}?expires={self.folder.expires}&sig={digits}"

    def nginx(self):
        digest = hashlib.md5(f"{self.folder.expires}{self.path} {SECRET}".encode()).digest()
        digits = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        return f"{self.path}?sig={digits}&expires={self.folder.expires}"

    def caddy(self):
        return self.path


def spoiled(target):
    """The same link with one digit changed."""
    at = target.index("sig=") + 4
    return target[:at] + ("0" if target[at] != "0" else "1") + target[at + 1 :]


class Server:
    """A running server: its processes, its processor time, its memory."""

    name = port = None
    tls = False

    def __init__(self, folder, variant=""):
        self.folder, self.variant = folder, variant
        self.place = folder.path / "servers" / "".join(c if c.isalnum() else "-" for c in self.name)
        self.log = self.place / "log"

    def target(self, asset):
        raise NotImplementedError

    def command(self):
        raise NotImplementedError

    def environment(self):
        return {}

    @contextlib.contextmanager
    def running(self, cpus=(SERVER_CPU,)):
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(parents=True)
        command = [str(part) for part in self.command()]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WEBHOOK_ASSETS_")}
        with open(self.log, "wb") as log:
            process = subprocess.Popen(
                command, cwd=self.place, env=kept | self.environment(), stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=log, **child(cpus, self.folder.nice),
            )
        self.process = process
        try:
            self.wait()
            yield self
        finally:
            # Its session: master and workers only.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def wait(self):
        deadline = time.monotonic() + 15
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise Failed(f"{self.name} does not start{self.last_words()}") from None
                time.sleep(0.02)
        time.sleep(0.1)
        if self.process.poll() is not None:
            raise Failed(f"{self.name} ended{self.last_words()}")

    def last_words(self):
        text = self.log.read_text(errors="replace").strip()
        return f"; its log ends:\n{text[-2000:]}" if text else "; its log is empty"

    def processes(self):
        """All processes of its session."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                    if int(fields[3]) == self.process.pid:
                        found.append(int(entry.name))
        return found

    def cpu(self):
        """Seconds of processor time of all its threads, including ended ones (CPUCLOCK_SCHED)."""
        return sum(time.clock_gettime((~process << 3) | 2) for process in self.processes())

    def waited(self):
        """Seconds that its threads were ready to run but waited for a CPU."""
        total = 0
        for process in self.processes():
            for task in pathlib.Path(f"/proc/{process}/task").iterdir():
                with contextlib.suppress(OSError):
                    total += int((task / "schedstat").read_text().split()[1])
        return total / 1e9

    def memory(self):
        """Bytes: all resident, and resident that is no file's (RssAnon)."""
        total = {"VmRSS": 0, "RssAnon": 0}
        for process in self.processes():
            for line in pathlib.Path(f"/proc/{process}/status").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in total:
                    total[name] += int(value.split()[0]) * 1024
        return total

    def in_pipes(self):
        """The bytes in its pipes."""
        pipes = {}
        for process in self.processes():
            for descriptor in pathlib.Path(f"/proc/{process}/fd").iterdir():
                with contextlib.suppress(OSError):
                    pipes[os.readlink(descriptor)] = descriptor
        return sum(waiting(descriptor) for name, descriptor in pipes.items() if name.startswith("pipe:"))

    def read_from_disk(self):
        lines = (pathlib.Path(f"/proc/{process}/io").read_text() for process in self.processes())
        return sum(int(line.split()[1]) for text in lines for line in text.splitlines() if line.startswith("read_bytes"))


def waiting(pipe):
    """The bytes in a pipe that can be read (FIONREAD)."""
    with contextlib.suppress(OSError), open(pipe, "rb", opener=lambda path, _: os.open(path, os.O_RDONLY | os.O_NONBLOCK)) as end:
        return int.from_bytes(fcntl.ioctl(end, termios.FIONREAD, bytes(4)), sys.byteorder)
    return 0


class Ours(Server):
    """The whole program: access records to a file, metrics, limits, the webhook sender and the admin listener beside it."""

    port = 8080

    def __init__(self, folder, binary=None, label="", store="file", tls=False, threads=1, keys=None, options=()):
        self.name = OURS + label
        super().__init__(folder)
        self.binary, self.store, self.tls = binary or folder.binary, store, tls
        self.threads, self.keys, self.options = threads, keys or folder.keys, dict(options)

    def target(self, asset):
        return asset.signed()

    def command(self):
        return [self.binary, "serve"]

    def environment(self):
        # All requests come from one address here, and more downloads are in flight than the defaults allow.
        settings = {
            "LISTEN": f"127.0.0.1:{self.port}",
            "ADMIN_LISTEN": f"127.0.0.1:{self.port + 1}",
            "PUBLIC_URL": "http://localhost",
            "KEYS": str(self.keys),
            "STORE": f"file://{self.folder.root}" if self.store == "file" else "s3://bucket",
            "DATABASE": f"sqlite:{self.place}/webhooks.db",
            "SERVER_CONNECTIONS": str(ROOM),
            "SERVER_CONNECTIONS_PER_ADDRESS": str(ROOM),
            "GATEWAY_REQUESTS_IN_FLIGHT": str(ROOM),
            "GATEWAY_REQUESTS_PER_ADDRESS": str(ROOM),
        }
        if self.store == "s3 over TLS":
            settings["STORE_CA_FILE"] = f"{self.folder.path}/tls.pem"
        if self.tls:
            settings |= {"TLS_CERTIFICATE": f"{self.folder.path}/tls.pem", "TLS_KEY": f"{self.folder.path}/tls.key"}
        settings = {f"WEBHOOK_ASSETS_{name}": value for name, value in (settings | self.options).items()}
        bucket = {
            "AWS_ACCESS_KEY_ID": "anybody", "AWS_SECRET_ACCESS_KEY": "anything", "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{BUCKET_PORT}", "AWS_ALLOW_HTTP": "true",
        }
        if self.store == "s3 over TLS":
            bucket |= {"AWS_ENDPOINT_URL": f"https://127.0.0.1:{BUCKET_PORT + 1}", "AWS_ALLOW_HTTP": "false"}
        # How many threads serve.
        threads = {"TOKIO_WORKER_THREADS": str(self.threads), "WEBHOOK_ASSETS_GATEWAY_THREADS": str(self.threads)}
        return settings | threads | (bucket if self.store != "file" else {})


class Floor(Server):
    """What the kernel alone costs: floor.c, compiled on first use. It checks nothing, and sends the bytes of
    any of the row's objects."""

    name, port = "the kernel alone", 8120
    HEAD = 700  # as long as ours

    def __init__(self, folder, row, objects):
        super().__init__(folder)
        self.row, self.objects = row, objects
        self.program = folder.path / "floor"
        if not self.program.exists():
            folder.run(["cc", "-O2", "-o", self.program, HERE / "floor.c"])

    def target(self, asset):
        return asset.signed()

    def command(self):
        row = self.row
        length = 340 if row.spoiled else row.length or self.objects[0].file.stat().st_size
        kind = "close" if "--close" in row.load else "memory" if length < 16_384 else "file"
        at = 1_000_000 if row.status == 206 else 0
        return [self.program, self.port, length, self.HEAD, kind, at, *(asset.file for asset in self.objects)]


class Nginx(Server):
    """nginx with `secure_link`; the variants are servers of one configuration."""

    variants = {
        "": 8101, "tcp_nopush off": 8102, "access log": 8103, "TLS": 8104,
        "proxy, default": 8105, "proxy, keep-alive": 8106, "proxy, tuned": 8107, "proxy over TLS": 8108,
        "HTTP/2": 8109, "gzip": 8110, "no open_file_cache": 8111,
    }
    tls_listeners = {"TLS": "ssl", "HTTP/2": "ssl http2"}

    def __init__(self, folder, variant="", workers=1):
        self.name = f"nginx ({variant})" if variant else "nginx"
        super().__init__(folder, variant)
        self.port, self.tls, self.workers = self.variants[variant], variant in self.tls_listeners, workers

    def target(self, asset):
        return asset.nginx()

    def command(self):
        conf = self.place / "nginx.conf"
        conf.write_text(self.configuration())
        return ["nginx", "-p", self.place, "-c", conf, "-e", "stderr"]

    def configuration(self):
        checked = f"""
            secure_link $arg_sig,$arg_expires;
            secure_link_md5 "$secure_link_expires$uri {SECRET}";
            if ($secure_link = "") {{ return 403; }}
            if ($secure_link = "0") {{ return 403; }}"""
        files = f"location / {{ root {self.folder.root}; {checked} }}"
        bucket = f"http://127.0.0.1:{BUCKET_PORT}/bucket/"
        kept = 'proxy_http_version 1.1; proxy_set_header Connection "";'
        large = "proxy_buffer_size 256k; proxy_buffers 8 256k; proxy_busy_buffers_size 512k; proxy_max_temp_file_size 0;"
        trusted = f"""proxy_ssl_protocols TLSv1.3; proxy_ssl_session_reuse on; proxy_ssl_server_name on;
            proxy_ssl_name localhost; proxy_ssl_verify on; proxy_ssl_trusted_certificate {self.folder.path}/tls.pem;"""
        tls = encrypted(self.folder) + "ssl_session_tickets off; ssl_session_cache off;"
        servers = {
            "": files,
            "tcp_nopush off": "tcp_nopush off; " + files,
            # One buffer takes the file, and one the answer.
            "gzip": "gzip on; gzip_comp_level 1; gzip_types application/json; gzip_vary on; "
                    "output_buffers 1 128k; gzip_buffers 2 64k; " + files,
            "no open_file_cache": "open_file_cache off; " + files,
            "access log": f"access_log {self.place}/access.log combined buffer=64k flush=1s; " + files,
            "TLS": tls + files,
            "HTTP/2": tls + files,
            "proxy, default": f"location / {{ {checked} proxy_pass {bucket}; }}",
            "proxy, keep-alive": f"location / {{ {checked} {kept} proxy_pass http://bucket/bucket/; }}",
            "proxy, tuned": f"location / {{ {checked} {kept} {large} proxy_pass http://bucket/bucket/; }}",
            "proxy over TLS": f"location / {{ {checked} {kept} {large} {trusted} proxy_pass https://bucket-tls/bucket/; }}",
        }
        listening = "\n".join(
            f"server {{ listen 127.0.0.1:{self.variants[name]} backlog=4096 {self.tls_listeners.get(name, '')}; {body} }}"
            for name, body in servers.items()
        )
        return settings(self.place, f"""
            open_file_cache max=10000 inactive=60s;
            upstream bucket {{ server 127.0.0.1:{BUCKET_PORT}; keepalive 64; keepalive_requests 1000000000; }}
            upstream bucket-tls {{ server 127.0.0.1:{BUCKET_PORT + 1}; keepalive 64; keepalive_requests 1000000000; }}
            {listening}""", self.workers)


class Bucket(Server):
    """A stand-in for S3: an nginx that serves the objects below /bucket, plain and over TLS, on the client's CPU."""

    name, port = "the bucket's server", BUCKET_PORT

    def command(self):
        conf = self.place / "nginx.conf"
        listening = f"""
            open_file_cache max={open_files() // 2} inactive=60s;
            server {{ listen 127.0.0.1:{self.port} backlog=4096; listen 127.0.0.1:{self.port + 1} backlog=4096 ssl;
                tcp_nopush off; {encrypted(self.folder)} location /bucket/ {{ alias {self.folder.root}/; }} }}"""
        conf.write_text(settings(self.place, listening, 1))
        return ["nginx", "-p", self.place, "-c", conf, "-e", "stderr"]


def open_files():
    """The limit of open files: `run` has raised it as far as this machine lets it."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def encrypted(folder):
    return f"""ssl_certificate {folder.path}/tls.pem; ssl_certificate_key {folder.path}/tls.key; ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256; ssl_ecdh_curve X25519; """


def settings(place, http, workers):
    """The settings that all nginx share: Debian's, without its log, with kept connections."""
    temporary = " ".join(f"{kind}_temp_path {place}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    return f"""
        daemon off; {"user root;" if os.geteuid() == 0 else ""} pid {place}/pid; worker_processes {workers};
        worker_rlimit_nofile {open_files()}; error_log stderr error;
        events {{ worker_connections 16384; multi_accept on; }}
        http {{
            types {{ audio/mpeg mp3; application/json json; }}
            default_type application/octet-stream;
            sendfile on; tcp_nopush on; access_log off; {temporary}
            keepalive_timeout 300s; keepalive_requests 1000000000; {http}
        }}"""


class Lighttpd(Server):
    name, port = "lighttpd", 8200

    def target(self, asset):
        return asset.minted()

    def command(self):
        script = self.place / "link.lua"
        script.write_text((HERE / "link.lua").read_text().replace("@KEY@", self.folder.key.hex()))
        conf = self.place / "lighttpd.conf"
        conf.write_text(f"""
            server.modules = ("mod_magnet")
            server.document-root = "{self.folder.root}"
            server.bind = "127.0.0.1"
            server.port = {self.port}
            server.listen-backlog = 4096
            server.max-connections = {ROOM}
            server.max-fds = 100000
            server.max-keep-alive-requests = 65535
            server.errorlog = "/dev/stderr"
            mimetype.assign = (".mp3" => "audio/mpeg", ".json" => "application/json")
            magnet.attract-physical-path-to = ("{script}")
        """)
        return ["lighttpd", "-D", "-f", conf]


class Caddy(Server):
    name, port = "Caddy", 8300

    def target(self, asset):
        return asset.caddy()

    def command(self):
        conf = self.place / "Caddyfile"
        options = "{\n admin off\n auto_https off\n}\n"
        conf.write_text(f"{options}http://:{self.port} {{\n root * {self.folder.root}\n file_server\n}}\n")
        return ["caddy", "run", "--config", conf, "--adapter", "caddyfile"]

    def environment(self):
        return {"GOMAXPROCS": "1", "HOME": str(self.place), "XDG_CONFIG_HOME": str(self.place), "XDG_DATA_HOME": str(self.place)}


def versions():
    """The versions of the compared programs, as they print them."""
    said = {  # The first number in each is the version.
        "nginx": ["nginx", "-v"], "lighttpd": ["lighttpd", "-v"], "Caddy": ["caddy", "version"],
        "OpenSSL": ["openssl", "version"],
    }
    found = {}
    for name, command in said.items():
        if shutil.which(command[0]):
            done = subprocess.run(command, text=True, capture_output=True)
            found[name] = re.search(r"\d[\d.]*", done.stdout + done.stderr).group()
    return found
