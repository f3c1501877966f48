"""The two proxies that are held against each other, and the backend behind both: each a process of its own."""

import os
import pathlib
import signal
import subprocess
import sys
import time

from house import free_port, run

# The base domain: its own name resolves everywhere, and load tools take the name of TLS from the address they call.
DOMAIN = "localhost"
# One core for the proxy that is measured, one for whoever loads it and for the backend.
PROXY_CORE, LOAD_CORE = "0", "1"
CHUNK = "x" * 1024
BIG = 64 * 1024 * 1024

COMMON = """
daemon on; pid {folder}/{name}.pid; error_log {folder}/{name}.log; worker_processes 1;
events {{ worker_connections {connections}; }}
http {{
  access_log off;
  keepalive_requests 1000000000; keepalive_timeout 75s;
  client_body_temp_path {folder}/{name}-body; proxy_temp_path {folder}/{name}-proxy;
  fastcgi_temp_path {folder}/{name}-fastcgi; uwsgi_temp_path {folder}/{name}-uwsgi; scgi_temp_path {folder}/{name}-scgi;
"""

BACKEND = COMMON + """
  sendfile on;
  server {{ listen 127.0.0.1:{first}; location = /big {{ root {folder}; }} location / {{ return 200 "{chunk}"; }} }}
  server {{ listen 127.0.0.1:{second}; location / {{ return 200 "moved"; }} }}
}}
"""

# One server and a map: a change is a line of data. Keeps as many connections to a backend as drey does.
PROXY = COMMON + """
  map_hash_max_size 65536; map_hash_bucket_size 256;
  map $host $qa_up {{ hostnames; default ""; include {folder}/routes.map; }}
  map $http_upgrade $qa_conn {{ default upgrade; "" ""; }}
  include {folder}/upstreams.conf;
  ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:qa:10m; ssl_session_tickets off;
  server {{ listen 127.0.0.1:{port} ssl http2; server_name .{domain};
    ssl_certificate {certificate}; ssl_certificate_key {key};
    location / {{
      if ($qa_up = "") {{ return 503; }}
      proxy_pass http://$qa_up; proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $qa_conn;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Forwarded-Port $server_port; proxy_set_header Proxy "";
      proxy_buffering off; proxy_request_buffering off;
      proxy_connect_timeout 3s; proxy_read_timeout 3600s; }} }}
}}
"""


class Measured:
    """What is known of a proxy's processes."""

    def processes(self):
        raise NotImplementedError

    def cpu_seconds(self):
        return sum(map(cpu_seconds, self.processes()))

    def memory_mb(self):
        """Resident memory; pages that processes share count once."""
        return sum(map(proportional_kb, self.processes())) / 1024


class Nginx(Measured):
    """An nginx with a configuration, a folder and a port of its own."""

    def __init__(self, folder, name, config, core):
        self.pid_file = folder / f"{name}.pid"
        path = folder / f"{name}.conf"
        path.write_text(config)
        run("taskset", "-c", core, "nginx", "-c", path)
        deadline = time.monotonic() + 10
        while not (self.pid_file.exists() and self.pid_file.read_text().strip()):
            if time.monotonic() > deadline:
                sys.exit(f"{path}: nginx wrote no {self.pid_file}")
            time.sleep(0.01)
        self.master = int(self.pid_file.read_text())

    def processes(self):
        children = pathlib.Path(f"/proc/{self.master}/task/{self.master}/children").read_text().split()
        return [self.master, *map(int, children)]

    def stop(self):
        os.kill(self.master, signal.SIGTERM)


class Backend(Nginx):
    """Answers with 1 KiB, with 64 MiB at `/big`, and at its second address with another word."""

    def __init__(self, folder):
        (folder / "big").write_bytes(bytes(BIG))
        first, second = free_port(), free_port()
        self.first, self.second = f"127.0.0.1:{first}", f"127.0.0.1:{second}"
        named = dict(folder=folder, name="backend", connections=16384, first=first, second=second, chunk=CHUNK)
        super().__init__(folder, "backend", BACKEND.format(**named), LOAD_CORE)


class NginxProxy(Nginx):
    name = "nginx"

    def __init__(self, folder, routes, backend, certificate):
        self.port = free_port()
        numbers = range(routes)
        (folder / "routes.map").write_text("".join(f"r{n}.{DOMAIN} up_{n};\n" for n in numbers))
        upstream = "upstream up_{n} {{ server {address} max_fails=0; keepalive 64; keepalive_requests 1000000000; }}\n"
        (folder / "upstreams.conf").write_text(
            "".join(upstream.format(n=n, address=backend.first) for n in numbers))
        pem, key = certificate
        named = dict(folder=folder, name="proxy", connections=4096, port=self.port, domain=DOMAIN, certificate=pem, key=key)
        super().__init__(folder, "proxy", PROXY.format(**named), PROXY_CORE)


class DreyProxy(Measured):
    """The proxy alone, with the routes it is told."""

    name = "drey"

    def __init__(self, folder, binary, routes, backend):
        self.port = free_port()
        self.directory = folder / f"drey-{routes}"
        command = ["taskset", "-c", PROXY_CORE, binary, DOMAIN, f"127.0.0.1:{self.port}", self.directory]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.hear()
        self.say(f"routes {routes} {backend.first}")

    def say(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        self.hear()

    def hear(self):
        if not self.process.stdout.readline():
            sys.exit("the proxy ended")

    def certificate(self):
        return self.directory / "wildcard.pem", self.directory / "wildcard.key"

    def processes(self):
        return [self.process.pid]

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)


def cpu_seconds(process):
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def proportional_kb(process):
    for line in pathlib.Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0
