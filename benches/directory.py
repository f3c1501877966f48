"""How soon the service directory tells of a container's death.

death_told_ms: from before `docker kill` to the first answer of `GET /api/v1/services` that does not have it running; asked over
the daemon's socket, again and again. answer_ms: one such answer.
"""

import http.client
import json
import pathlib
import socket
import sys
import time

from house import Drey, Figures, Repository, run, until, workplace
from main_job import push_branch

# Each dies once, so that no repair is in the way of the next.
WORKERS = 20
STACK = "services:\n  web:\n    image: drey-demo/tiny:1\n    command: [serve, '8080', /www]\n    expose: ['8080']\n" + "".join(
    f"  worker-{number}:\n    image: drey-demo/tiny:1\n    command: [busybox, sleep, '10000']\n" for number in range(WORKERS)
)


class Directory(http.client.HTTPConnection):
    """The API over the daemon's socket, on one connection."""

    def __init__(self, path):
        super().__init__("drey")
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)

    def services(self):
        self.request("GET", "/api/v1/services?limit=500")
        answer = self.getresponse()
        body = answer.read()
        if answer.status != 200:
            sys.exit(f"{answer.status}: {body}")
        return json.loads(body)["items"]

    def running(self):
        return {it["container"] for it in self.services() if it["state"] == "running"}


def main(binary):
    folder, clean = workplace()
    hooked = Repository(folder, "stack")
    hooked.commit({"compose.yaml": STACK})
    hooked.git("push", "-q", "origin", "HEAD:main")
    drey = Drey(folder, [hooked], binary)
    figures = Figures("directory")
    try:
        push_branch(hooked, "directory")
        until(lambda: (drey.get("directory") or (0,))[0] == 200, 300)
        directory = Directory(folder / "data/drey.sock")
        until(lambda: len(directory.running()) == WORKERS + 1, 60)
        workers = [it["container"] for it in directory.services() if it["service"].startswith("worker")]
        told, answers = [], []
        for worker in workers:
            begin = time.monotonic()
            run("docker", "kill", worker)
            while worker in directory.running():
                if time.monotonic() - begin > 30:
                    sys.exit(f"{worker}: its death is not told")
            told.append(1000 * (time.monotonic() - begin))
            begin = time.monotonic()
            directory.services()
            answers.append(1000 * (time.monotonic() - begin))
        figures.tell("death_told_ms", told, "ms")
        figures.tell("answer_ms", answers, "ms")
        drey.destroy_all()
        figures.write()
    finally:
        drey.stop()
        clean()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
