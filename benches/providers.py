"""1,000 environments, one route changed: how soon it is served by drey's own proxy, by HAProxy that is told by its socket, and by
nginx that reads its configuration again; and what nginx takes of memory."""

import os
import subprocess
import sys
import time

from house import Figures, free_port, run, workplace
from proxy import ROUTES, Visitor, bare_proxy, install
from proxy_nginx import DOMAIN, Backend, DreyProxy, Measured

CHANGES = 50
# The longest that a change may take, in seconds.
LIMIT = 30


class DrivenProxy(Measured):
    """A proxy of the distribution, and what drives it."""

    def __init__(self, folder, binary, name, backend):
        self.name, self.port, self.confirm = name, free_port(), free_port()
        directory = folder / name
        command = [binary, name, DOMAIN, f"127.0.0.1:{self.port}", f"127.0.0.1:{self.confirm}", directory]
        self.driver = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.hear()
        self.say(f"routes {ROUTES} {backend.first}")
        file, start = {
            "nginx": ("nginx.conf", ["nginx", "-g", "daemon off;", "-c"]),
            "haproxy": ("haproxy.cfg", ["haproxy", "-W", "-f"]),
        }[name]
        file = directory / "proxy/current" / file
        deadline = time.monotonic() + LIMIT
        while not file.exists():
            if time.monotonic() > deadline:
                sys.exit(f"{name}: {file} is not written")
            time.sleep(0.01)
        self.log = open(folder / f"{name}.log", "w")
        self.process = subprocess.Popen([*start, file], stdout=self.log, stderr=self.log)
        self.say("wait")

    def say(self, command):
        self.tell(command)
        self.hear()

    def tell(self, command):
        self.driver.stdin.write(command + "\n")
        self.driver.stdin.flush()

    def hear(self):
        if not self.driver.stdout.readline():
            sys.exit(f"{self.name}: what drives it ended")

    def settle(self):
        self.say("wait")

    def processes(self):
        found = [self.process.pid]
        for process in found:
            found.extend(children(process))
        return found

    def stop(self):
        self.driver.terminate()
        self.driver.wait(timeout=30)
        self.process.terminate()
        self.process.wait(timeout=90)


class Embedded(DreyProxy):
    name = "embedded"

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def settle(self):
        pass


def children(process):
    with open(f"/proc/{process}/task/{process}/children") as file:
        return [int(child) for child in file.read().split()]


def changes(proxy, backend, figures, keeps):
    """From the moment a change is told to the first answer from where the route leads now."""
    visitor, took = Visitor(proxy, 0), []
    for change in range(CHANGES):
        address, wanted = (backend.first, False) if change % 2 else (backend.second, True)
        began = time.perf_counter()
        proxy.tell(f"move 0 {address}")
        while (visitor.get() == b"moved") is not wanted:
            if time.perf_counter() - began > LIMIT:
                sys.exit(f"{proxy.name}: the change is not served")
            # nginx closes what was idle when it read its configuration.
            if not keeps:
                visitor = Visitor(proxy, 0)
        took.append((time.perf_counter() - began) * 1000)
        proxy.hear()
        proxy.settle()
        if not keeps:
            visitor = Visitor(proxy, 0)
    figures.tell(f"{proxy.name}_ms", took, "ms")


def driven_proxy():
    run("cargo", "build", "--release", "--bench", "driven_proxy")
    told = subprocess.run(["cargo", "build", "--release", "--bench", "driven_proxy", "--message-format=json"],
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    paths = [part.split('"')[0] for part in told.split('"executable":"')[1:]]
    return [path for path in paths if "driven_proxy" in path][-1]


def main():
    install()
    embedded = os.environ.get("BARE_PROXY") or bare_proxy()
    driven = os.environ.get("DRIVEN_PROXY") or driven_proxy()
    folder, tidy = workplace()
    folder.chmod(0o755)
    backend = Backend(folder)
    running, figures = [backend], Figures("providers")
    try:
        own = Embedded(folder, embedded, ROUTES, backend)
        running.append(own)
        changes(own, backend, figures, True)
        haproxy = DrivenProxy(folder, driven, "haproxy", backend)
        running.append(haproxy)
        changes(haproxy, backend, figures, True)
        nginx = DrivenProxy(folder, driven, "nginx", backend)
        running.append(nginx)
        changes(nginx, backend, figures, False)
        figures.tell("nginx_memory_mb", [nginx.memory_mb()], "MB")
        figures.tell("haproxy_memory_mb", [haproxy.memory_mb()], "MB")
        figures.write()
    finally:
        for process in reversed(running):
            process.stop()
        tidy()


if __name__ == "__main__":
    main()
