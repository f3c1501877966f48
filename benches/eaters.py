"""What one branch uses up, seen by the others: a fork bomb, a memory eater, a disk filler, and forged deliveries.

Each goes on for DREY_BENCH_SECONDS (60). Meanwhile signed deliveries come in, 50 a second, and the page of another branch is
asked for four times a second. NAME_p99_ms: of the deliveries, from the moment at which each was due. NAME_refused: deliveries
that were not answered 202. NAME_neighbour_failures: pages that did not come. Four forgers share one
address, whose refusals are held back: many addresses at once are in the bench of the intake. The filler writes a gigabyte again and again:
what follows from a disk that is full is shown by the tests.
"""

import hashlib
import http.client
import os
import pathlib
import statistics
import sys
import threading
import time

from house import Drey, Figures, Repository, run, until, workplace
from intake import Client, request

SECONDS = int(os.environ.get("DREY_BENCH_SECONDS", "60"))
RATE = 50
FORGED_RATE = 1000
COMPOSE = """services:
  web:
    image: drey-demo/tiny:1
    command:
      - busybox
      - sh
      - -c
      - "busybox mkdir -p /tmp/www; echo fine > /tmp/www/index.html; exec serve 8080 /tmp/www"
    expose: [8080]
"""
# Each ends with the container's process that began it.
EATERS = {
    "fork_bomb": "bomb() { bomb | bomb & }; while :; do bomb; done",
    "memory_eater": "while :; do busybox sh -c 'x=aaaaaaaa; while :; do x=$x$x; done'; done",
    "disk_filler": "while :; do busybox dd if=/dev/zero of=/filler bs=1M count=1000; done",
}


def delivery(number):
    commit = hashlib.sha1(f"eaters {number}".encode()).hexdigest()
    return f"{'0' * 40} {commit} refs/heads/ignored/{number}\n".encode()


class Deliveries(threading.Thread):
    """Honest ones, at their rate; seconds from when each was due."""

    def __init__(self, port, name):
        super().__init__()
        self.client, self.name_, self.times, self.refused, self.stopped = Client(port), name, [], 0, threading.Event()

    def run(self):
        begin, number = time.monotonic(), 0
        while not self.stopped.is_set():
            due = begin + number / RATE
            time.sleep(max(0, due - time.monotonic()))
            answer = self.client.send(request("shop", f"{self.name_}-{number}", delivery(f"{self.name_} {number}")))
            self.times.append(time.monotonic() - due)
            self.refused += answer != 202
            number += 1


class Visits(threading.Thread):
    def __init__(self, drey):
        super().__init__()
        self.drey, self.failures, self.times, self.stopped = drey, 0, [], threading.Event()

    def run(self):
        while not self.stopped.is_set():
            begin = time.monotonic()
            answer = self.drey.get("neighbour")
            self.times.append(time.monotonic() - begin)
            self.failures += answer is None or answer[0] != 200
            time.sleep(0.25)


def forge(port, stopped, counts):
    """Deliveries with a signature of a secret that nobody has, as fast as they are answered, FORGED_RATE at most."""
    body = delivery("forged")
    number = 0
    begin = time.monotonic()
    while not stopped.is_set():
        time.sleep(max(0, begin + number * 4 / FORGED_RATE - time.monotonic()))
        number += 1
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            headers = {"X-Drey-Delivery": str(number), "X-Drey-Signature-256": "sha256=" + "0" * 64}
            connection.request("POST", "/hooks/git/shop", body, headers)
            answer = connection.getresponse()
            counts[answer.status] = counts.get(answer.status, 0) + 1
            connection.close()
        except OSError:
            counts[0] = counts.get(0, 0) + 1


def measure(name, drey, figures, eat):
    deliveries, visits = Deliveries(drey.listen, name), Visits(drey)
    stop = eat()
    time.sleep(1)
    deliveries.start(), visits.start()
    time.sleep(SECONDS)
    for it in (deliveries, visits):
        it.stopped.set()
        it.join()
    stop()
    p99 = statistics.quantiles(deliveries.times, n=100)[98] * 1000
    figures.tell(f"{name}_p99_ms", [p99], "ms")
    figures.tell(f"{name}_refused", [deliveries.refused], "deliveries")
    figures.tell(f"{name}_neighbour_failures", [visits.failures], f"of {len(visits.times)} visits")
    figures.tell(f"{name}_neighbour_ms", [it * 1000 for it in visits.times], "ms")


def container(branch):
    return run("docker", "ps", "-q", "--filter", f"label=drey.branch={branch}", "--filter", "label=drey.repo=shop").split()[0]


def eater(script):
    def eat():
        inside = container("eater")
        # Once a bomb has all the processes, no command gets in any more: it is ended from outside, with its container.
        run("docker", "exec", "-d", inside, "busybox", "sh", "-c", script)
        return lambda: run("docker", "restart", "-t", "0", inside)

    return eat


def flood(drey):
    def eat():
        stopped, counts = threading.Event(), {}
        threads = [threading.Thread(target=forge, args=(drey.listen, stopped, counts)) for _ in range(4)]
        for thread in threads:
            thread.start()

        def stop():
            stopped.set()
            for thread in threads:
                thread.join()
            print(f"forged deliveries by answer: {counts}", flush=True)

        return stop

    return eat


def main(binary):
    folder, clean = workplace()
    figures = Figures("eaters")
    repository = Repository(folder, "shop")
    repository.commit({"compose.yaml": COMPOSE})
    repository.git("push", "-q", "origin", "HEAD:main")
    drey = Drey(folder, [repository], binary, of_each=['ignore = ["ignored/**"]'])
    try:
        for branch in ("eater", "neighbour"):
            repository.git("checkout", "-q", "-B", branch)
            repository.commit({"branch.txt": branch})
            repository.git("push", "-q", "origin", branch)
            until(lambda: (drey.get(branch) or (0,))[0] == 200, 120)
        for name, script in EATERS.items():
            measure(name, drey, figures, eater(script))
            until(lambda: (drey.get("eater") or (0,))[0] == 200, 120)
        measure("forged", drey, figures, flood(drey))
        figures.write()
    finally:
        drey.destroy_all()
        drey.stop()
        clean()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
