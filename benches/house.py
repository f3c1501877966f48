"""What every bench needs: a drey daemon of its own, git repositories, probes, figures."""

import http.client
import json
import os
import pathlib
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOMAIN = "bench.localhost"
# How often a probe asks until it is answered, in seconds; the same on both sides of every ratio.
PROBE_EVERY = 0.01


def run(*command, cwd=None, env=None, check=True):
    """Runs a command quietly; its output is shown only when it fails."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    if check and done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Repository:
    """A bare repository and a clone of it."""

    def __init__(self, folder, name):
        self.bare = folder / f"{name}.git"
        self.clone = folder / name
        run("git", "init", "-q", "--bare", "-b", "main", self.bare)
        run("git", "clone", "-q", self.bare, self.clone)
        for key, value in (("user.name", "bench"), ("user.email", "bench@localhost")):
            self.git("config", key, value)

    def git(self, *arguments):
        return run("git", *arguments, cwd=self.clone)

    def commit(self, files):
        for path, content in files.items():
            target = self.clone / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                target.write_bytes(content)
            else:
                target.write_text(content)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "bench")


class Drey:
    """A daemon with its own data directory, serving repositories that have its hook."""

    def __init__(self, folder, repositories, binary, more="", of_each=()):
        """`more`: whole sections of the configuration; `of_each`: lines that every repository gets."""
        self.folder = folder
        self.binary = binary
        self.https = free_port()
        config = folder / "drey.toml"
        self.listen, plain = free_port(), free_port()
        lines = [
            f'data_dir = "{folder}/data"',
            "[http]",
            f'listen = "127.0.0.1:{self.listen}"',
            "[proxy]",
            f'domain = "{DOMAIN}"',
            f'https = "127.0.0.1:{self.https}"',
            f'http = "127.0.0.1:{plain}"',
            "[defaults]",
            'merge_grace = "0s"',
            more,
        ]
        for repository in repositories:
            name = repository.bare.stem
            lines += ["[[repo]]", f'name = "{name}"', f'url = "{repository.bare}"', f'secret = "bench-{name}-secret"']
            lines += of_each
        config.write_text("\n".join(lines) + "\n")
        self.config = config
        self.log = open(folder / "drey.log", "w")
        self.process = subprocess.Popen([binary, "serve", "--config", config], stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 30
        while not (folder / "data/drey.sock").exists():
            if time.monotonic() > deadline or self.process.poll() is not None:
                sys.exit((folder / "drey.log").read_text())
            time.sleep(0.05)
        for repository in repositories:
            self.drey("hook", "install", "--repo", repository.bare.stem, repository.bare)
        self.tls = ssl.create_default_context(cafile=self._authority(plain))

    def _authority(self, plain):
        connection = http.client.HTTPConnection("127.0.0.1", plain)
        connection.request("GET", "/.well-known/drey-ca.pem", headers={"Host": DOMAIN})
        path = self.folder / "ca.pem"
        path.write_bytes(connection.getresponse().read())
        return path

    def drey(self, *arguments):
        return run(self.binary, "--config", self.config, *arguments)

    def environments(self):
        return json.loads(self.drey("env", "list", "--json"))["items"]

    def get(self, slug, path="/"):
        """Status and body over a new TLS connection, or None when there is no answer."""
        host = f"{slug}.{DOMAIN}"
        try:
            raw = socket.create_connection(("127.0.0.1", self.https), timeout=5)
            with self.tls.wrap_socket(raw, server_hostname=host) as sock:
                sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{self.https}\r\nConnection: close\r\n\r\n".encode())
                return read_answer(sock)
        except OSError:
            return None

    def status(self, field):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
        return 0

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def destroy_all(self):
        for environment in self.environments():
            self.drey("env", "destroy", f"{environment['repo']}/{environment['branch']}")
        until(lambda: not self.environments(), 300)

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)


def read_answer(sock):
    data = b""
    while chunk := sock.recv(65536):
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def get_plain(address, port, path="/"):
    try:
        with socket.create_connection((address, port), timeout=5) as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
            return read_answer(sock)
    except (OSError, IndexError, ValueError):
        return None


def until(check, limit):
    """Asks every PROBE_EVERY seconds until the check is true; seconds it took."""
    begin = time.monotonic()
    while not check():
        if time.monotonic() - begin > limit:
            sys.exit(f"not within {limit} s")
        time.sleep(PROBE_EVERY)
    return time.monotonic() - begin


def workplace():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="drey-bench-"))
    return folder, lambda: shutil.rmtree(folder, ignore_errors=True)


class Figures:
    """Prints `name: value unit (min … max, n)` and keeps one flat JSON object."""

    def __init__(self, name):
        self.name = name
        self.values = {}

    def tell(self, name, samples, unit):
        value = statistics.median(samples)
        self.values[name] = round(value, 3)
        print(f"{name}: {value:.3g} {unit} ({min(samples):.3g} … {max(samples):.3g}, {len(samples)})", flush=True)

    def write(self):
        folder = ROOT / "target/bench"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.json").write_text(json.dumps(self.values) + "\n")
