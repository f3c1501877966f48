"""The embedded proxy against nginx from the same machine, in the same run: processor time for each request and each
connection, latency, throughput, memory, and how soon a change of a route counts.

One core for the proxy, one for the load and the backend, all of them before whatever else runs on this machine. Processor time
is the figure: rates depend on who else works. Both proxies are asked in turns, and each ratio is one of neighbours in time."""

import os
import pathlib
import re
import resource
import socket
import ssl
import subprocess
import sys
import time

from house import Figures, run, workplace
from proxy_nginx import BIG, DOMAIN, LOAD_CORE, Backend, DreyProxy, NginxProxy

ROUNDS = int(os.environ.get("ROUNDS", "7"))
SECONDS = 3
CONNECTIONS = 64
ROUTES, MORE_ROUTES = 1000, 10_000
IDLE = 1000
# Connections are idle when nothing happened on them for so long, in seconds.
IDLE_FOR = 8
SLOW_READERS = 16
HANDSHAKES = 2000
DOWNLOADS = 8
CHANGES = 200
# Prints how many requests were answered, and how many were not as they should be.
WRK = """
local hosts, step = {hosts}, {step}
local requests, n = {{}}, 0
init = function()
  for i = 0, hosts - 1 do requests[i] = wrk.format("GET", "/", {{ ["Host"] = "r" .. i * step .. ".{domain}" }}) end
end
request = function() n = (n + 1) % hosts; return requests[n] end
done = function(summary, latency)
  local e = summary.errors
  io.write("told ", summary.requests, " ", e.connect + e.read + e.write + e.status + e.timeout, "\\n")
end
"""


class Load:
    """Programs that ask, all of them on the core for load."""

    def __init__(self, folder):
        self.folder = folder

    def http1(self, proxy, hosts=1, step=1):
        """Asks in HTTP/1.1; processor µs of the proxy for each request."""
        script = self.folder / f"hosts-{hosts}-{step}.lua"
        script.write_text(WRK.format(hosts=hosts, step=step, domain=DOMAIN))
        before = proxy.cpu_seconds()
        told = run("taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", script,
                   f"https://{DOMAIN}:{proxy.port}/")
        requests, errors = re.search(r"told (\d+) (\d+)", told).groups()
        if errors != "0" or requests == "0":
            sys.exit(f"{proxy.name}: {errors} of {requests} requests failed\n{told}")
        return (proxy.cpu_seconds() - before) / int(requests) * 1e6

    def slowest(self, proxy):
        """What 99 of 100 requests take at most, in µs, of the time that was written down of each. The script of the other
        program makes it ask in bursts, and its latencies tell of those."""
        log = self.folder / "requests.log"
        log.unlink(missing_ok=True)
        self._h2load(proxy, "--h1", f"-c{CONNECTIONS}", f"-D{SECONDS}", "--warm-up-time=0", "-m1", f"--log-file={log}")
        took = sorted(int(line.split()[2]) for line in log.read_text().splitlines())
        return took[len(took) * 99 // 100]

    def http2(self, proxy):
        """Asks over HTTP/2; processor µs for each request."""
        return self._h2load(proxy, f"-c{CONNECTIONS}", f"-D{SECONDS}", "--warm-up-time=0", "-m1")

    def handshakes(self, proxy):
        """Each request over a connection of its own; processor µs for each."""
        return self._h2load(proxy, "--h1", f"-c{HANDSHAKES}", f"-n{HANDSHAKES}", f"-r{CONNECTIONS}", "--rate-period=100ms")

    def _h2load(self, proxy, *options, path=""):
        before = proxy.cpu_seconds()
        told = run("taskset", "-c", LOAD_CORE, "h2load", *options, f"--connect-to=127.0.0.1:{proxy.port}",
                   f"https://r0.{DOMAIN}:{proxy.port}/{path}")
        spent = proxy.cpu_seconds() - before
        done, succeeded, failed = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed", told).groups()
        if succeeded == "0" or failed != "0" or done != succeeded:
            sys.exit(f"{proxy.name}: {failed} of {done} requests failed\n{told}")
        return spent / int(succeeded) * 1e6

    def download(self, proxy):
        """MiB of a large body that pass in a second."""
        begin = time.perf_counter()
        self._h2load(proxy, "--h1", "-c1", f"-n{DOWNLOADS}", path="big")
        return DOWNLOADS * BIG / 2**20 / (time.perf_counter() - begin)


class Visitor:
    """A TLS connection that is kept."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def __init__(self, proxy, number):
        self.host = f"r{number}.{DOMAIN}"
        raw = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.context.wrap_socket(raw, server_hostname=self.host)

    def ask(self, path="/"):
        self.stream.sendall(f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode())

    def get(self):
        """The body of a short answer."""
        self.ask()
        data = b""
        while True:
            received = self.stream.recv(65536)
            if not received:
                sys.exit(f"{self.host}: the connection ended after {data!r}")
            data += received
            head, end, body = data.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            if end and length and len(body) == int(length[1]):
                return body


def memory(proxies, figures):
    """Resident memory with many open connections, and with readers that hardly read."""
    resident, growth = {}, {}
    for proxy in proxies:
        visitors = [Visitor(proxy, number % ROUTES) for number in range(IDLE)]
        for visitor in visitors:
            visitor.get()
        time.sleep(IDLE_FOR)
        resident[proxy.name] = proxy.memory_mb()
        readers = [Visitor(proxy, number) for number in range(SLOW_READERS)]
        for reader in readers:
            reader.ask("/big")
        until = time.monotonic() + 3
        while time.monotonic() < until:
            for reader in readers:
                reader.stream.recv(4096)
            time.sleep(0.05)
        growth[proxy.name] = (proxy.memory_mb() - resident[proxy.name]) / SLOW_READERS
        del visitors, readers
    figures.tell("rss_mb", [resident["drey"]], "MB")
    figures.tell("nginx_rss_mb", [resident["nginx"]], "MB")
    figures.tell("rss_ratio", [resident["drey"] / resident["nginx"]], "×")
    figures.tell("slow_reader_mb", [growth["drey"]], "MB each")
    figures.tell("nginx_slow_reader_mb", [growth["nginx"]], "MB each")


def route_changes(drey, backend, figures):
    """From the moment a change is told to the first answer from where the route leads now."""
    visitor, took = Visitor(drey, 0), []
    for change in range(CHANGES):
        address, wanted = (backend.first, False) if change % 2 else (backend.second, True)
        began = time.perf_counter()
        drey.process.stdin.write(f"move 0 {address}\n")
        drey.process.stdin.flush()
        while (visitor.get() == b"moved") is not wanted:
            pass
        took.append((time.perf_counter() - began) * 1000)
        drey.hear()
    figures.tell("route_change_ms", took, "ms")


def in_turns(figures, name, measured, drey, nginx, unit):
    """The ratio of neighbours in time, drey's over nginx'; the first round warms up."""
    rounds = [(measured(drey), measured(nginx)) for _ in range(ROUNDS + 1)][1:]
    figures.tell(f"{name}_{unit}", [ours for ours, _ in rounds], unit)
    figures.tell(f"nginx_{name}_{unit}", [theirs for _, theirs in rounds], unit)
    figures.tell(f"{name}_ratio", [ours / theirs for ours, theirs in rounds], "×")


def many_names(load, figures, drey, larger):
    """Ten times the names in the table, as many asked for."""
    step = MORE_ROUTES // ROUTES
    rounds = [(load.http1(larger, ROUTES, step), load.http1(drey, ROUTES)) for _ in range(ROUNDS + 1)][1:]
    figures.tell("hosts_10000_cpu_ratio", [more / fewer for more, fewer in rounds], "×")


def bare_proxy():
    """The proxy as a program of its own, in the profile of the shipped binary."""
    told = subprocess.run(["cargo", "build", "--release", "--bench", "bare_proxy", "--message-format=json"],
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    paths = re.findall(r'"executable":"([^"]*bare_proxy[^"]*)"', told)
    return paths[-1]


def install():
    missing = [package for package, program in (("nginx-light", "/usr/sbin/nginx"), ("wrk", "/usr/bin/wrk"),
                                                ("nghttp2-client", "/usr/bin/h2load"))
               if not pathlib.Path(program).exists()]
    if not missing:
        return
    root = [] if os.geteuid() == 0 else ["sudo"]
    # Only the program is wanted, not its service.
    policy = pathlib.Path("/usr/sbin/policy-rc.d")
    run(*root, "apt-get", "update")
    is_ours = not policy.exists()
    if is_ours:
        run(*root, "sh", "-c", f"printf '#!/bin/sh\\nexit 101\\n' >{policy} && chmod 755 {policy}")
    try:
        run(*root, "apt-get", "install", "-y", "--no-install-recommends", *missing)
    finally:
        if is_ours:
            run(*root, "rm", policy)


def first_in_line():
    """Whoever is started from here comes before all others: what they take from either proxy is all that its slowest answers tell."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    except PermissionError:
        print("not root: the slowest answers tell of this machine as well", file=sys.stderr)


def main():
    install()
    first_in_line()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    binary = os.environ.get("BARE_PROXY") or bare_proxy()
    folder, tidy = workplace()
    folder.chmod(0o755)
    backend = Backend(folder)
    running = [backend]
    try:
        drey = DreyProxy(folder, binary, ROUTES, backend)
        running.append(drey)
        nginx = NginxProxy(folder, ROUTES, backend, drey.certificate())
        running.append(nginx)
        larger = DreyProxy(folder, binary, MORE_ROUTES, backend)
        running.append(larger)
        figures, load = Figures("proxy"), Load(folder)
        only = sys.argv[2:]
        parts = {
            "memory": lambda: memory((drey, nginx), figures),
            "h1": lambda: in_turns(figures, "h1_cpu", load.http1, drey, nginx, "us"),
            "p99": lambda: in_turns(figures, "p99", load.slowest, drey, nginx, "us"),
            "hosts": lambda: in_turns(figures, "h1_1000_hosts_cpu", lambda p: load.http1(p, ROUTES), drey, nginx, "us"),
            "names": lambda: many_names(load, figures, drey, larger),
            "h2": lambda: in_turns(figures, "h2_cpu", load.http2, drey, nginx, "us"),
            "handshake": lambda: in_turns(figures, "handshake_cpu", load.handshakes, drey, nginx, "us"),
            "body": lambda: in_turns(figures, "body_rate", load.download, drey, nginx, "mib"),
            "change": lambda: route_changes(drey, backend, figures),
        }
        for name, part in parts.items():
            if not only or name in only:
                part()
        figures.write()
    finally:
        for process in reversed(running):
            process.stop()
        tidy()


if __name__ == "__main__":
    main()
