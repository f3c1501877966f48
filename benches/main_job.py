"""The main job against the same work done by hand with git and docker compose, on the same engine, in turn.

first_push_ratio: push of a new branch → first 200 over HTTPS, against the same push to a bare repository without
hooks + checkout + `docker compose up -d` + the same probe. update_ratio: a push that changes one of four built
services → the new content is served, against the same push + checkout + `docker compose up -d --build` + probe.
Idle: memory and CPU of the daemon with twenty environments.
"""

import os
import pathlib
import sys
import time

from house import Drey, Figures, Repository, get_plain, run, until, workplace

PAIRS = int(os.environ.get("DREY_BENCH_PAIRS", "10"))
IDLE_ENVIRONMENTS = 20
IDLE_SECONDS = 30
CONTEXT_BYTES = 5 * 1024 * 1024
# PID 1 has no default handler for SIGTERM: without the trap every stop would take ten seconds on both sides.
SERVE = "trap 'exit 0' TERM; busybox httpd -f -p 8080 -h /www & wait"
SERVICES = ["web", "api", "esb", "cache"]


def compose_of_images():
    services = "".join(
        f"  {name}:\n    image: drey-demo/tiny:1\n"
        f"    command: [\"busybox\", \"sh\", \"-c\", \"busybox mkdir -p /tmp/www; echo {name} > /tmp/www/index.html; "
        f"{SERVE.replace('/www', '/tmp/www')}\"]\n"
        + ("    expose: [\"8080\"]\n" if name == "web" else "")
        for name in SERVICES
    )
    return f"services:\n{services}"


def compose_of_builds():
    services = "".join(
        f"  {name}:\n    build: ./{name}\n" + ("    expose: [\"8080\"]\n" if name == "web" else "") for name in SERVICES
    )
    return f"services:\n{services}"


def build_context(name, version):
    dockerfile = (
        "FROM drey-demo/tiny:1\nCOPY ballast /ballast\nCOPY index.html /www/index.html\n"
        f"CMD [\"busybox\", \"sh\", \"-c\", \"{SERVE}\"]\n"
    )
    return {f"{name}/Dockerfile": dockerfile, f"{name}/index.html": f"{name} {version}\n"}


class ByHand:
    """What a team does without drey."""

    def __init__(self, folder, repository):
        self.folder = folder
        self.repository = repository

    def checkout(self, branch):
        target = self.folder / f"hand-{branch}"
        if target.exists():
            run("git", "fetch", "-q", "origin", branch, cwd=target)
            run("git", "checkout", "-q", "FETCH_HEAD", cwd=target)
        else:
            run("git", "clone", "-q", "--branch", branch, self.repository.bare, target)
        return target

    def up(self, branch, *options):
        target = self.checkout(branch)
        run("docker", "compose", "-p", f"hand-{branch}", "up", "-d", *options, cwd=target)

    def address(self, branch):
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return run("docker", "inspect", "-f", form, f"hand-{branch}-web-1").strip()

    def down(self, branch):
        run("docker", "compose", "-p", f"hand-{branch}", "down", "-v", "--remove-orphans", "-t", "1")


def push_branch(repository, branch, files=None):
    repository.git("checkout", "-q", "-B", branch)
    repository.commit(files or {"branch.txt": branch})
    begin = time.monotonic()
    repository.git("push", "-q", "-f", "origin", branch)
    return begin


def first_push(drey, hooked, hand, plain, figures):
    ours, theirs = [], []
    for pair in range(PAIRS):
        branch = f"first-{pair}"
        begin = push_branch(hooked, branch)
        until(lambda: (drey.get(branch) or (0,))[0] == 200, 120)
        ours.append(time.monotonic() - begin)
        begin = push_branch(plain, branch)
        hand.up(branch)
        address = hand.address(branch)
        until(lambda: (get_plain(address, 8080) or (0,))[0] == 200, 120)
        theirs.append(time.monotonic() - begin)
        hand.down(branch)
        drey.destroy_all()
    figures.tell("first_push_drey_s", ours, "s")
    figures.tell("first_push_by_hand_s", theirs, "s")
    figures.tell("first_push_ratio", [a / b for a, b in zip(ours, theirs)], "ratio")


def update(drey, hooked, hand, plain, figures):
    ours, theirs = [], []
    hand.repository = plain
    push_branch(hooked, "update")
    until(lambda: (drey.get("update") or (0,))[0] == 200, 300)
    push_branch(plain, "update")
    hand.up("update", "--build")
    for pair in range(PAIRS):
        text = f"web {pair + 1}".encode()
        begin = push_branch(hooked, "update", build_context("web", pair + 1))
        until(lambda: text in (drey.get("update") or (0, b""))[1], 120)
        ours.append(time.monotonic() - begin)
        begin = push_branch(plain, "update", build_context("web", pair + 1))
        hand.up("update", "--build")
        address = hand.address("update")
        until(lambda: text in (get_plain(address, 8080) or (0, b""))[1], 120)
        theirs.append(time.monotonic() - begin)
    hand.down("update")
    drey.destroy_all()
    figures.tell("update_drey_s", ours, "s")
    figures.tell("update_by_hand_s", theirs, "s")
    figures.tell("update_ratio", [a / b for a, b in zip(ours, theirs)], "ratio")


def idle(drey, hooked, figures):
    for number in range(IDLE_ENVIRONMENTS):
        push_branch(hooked, f"idle-{number}")
    ready = lambda: sum(e["phase"] == "ready" for e in drey.environments()) == IDLE_ENVIRONMENTS
    until(ready, 600)
    time.sleep(5)
    begin, cpu = time.monotonic(), drey.cpu_seconds()
    time.sleep(IDLE_SECONDS)
    percent = 100 * (drey.cpu_seconds() - cpu) / (time.monotonic() - begin)
    figures.tell("idle_rss_mb", [drey.status("VmRSS") / 1024], "MB")
    figures.tell("idle_cpu_percent", [percent], "%")
    drey.destroy_all()


def main(binary):
    folder, clean = workplace()
    hooked, plain = Repository(folder, "images"), Repository(folder, "images-plain")
    hooked_builds, plain_builds = Repository(folder, "builds"), Repository(folder, "builds-plain")
    for repository in (hooked, plain):
        repository.commit({"compose.yaml": compose_of_images()})
        repository.git("push", "-q", "origin", "HEAD:main")
    ballast = os.urandom(CONTEXT_BYTES)
    for repository in (hooked_builds, plain_builds):
        files = {"compose.yaml": compose_of_builds()}
        for name in SERVICES:
            files |= build_context(name, 0) | {f"{name}/ballast": ballast}
        repository.commit(files)
        repository.git("push", "-q", "origin", "HEAD:main")
    drey = Drey(folder, [hooked, hooked_builds], binary)
    figures = Figures("main-job")
    try:
        first_push(drey, hooked, ByHand(folder, plain), plain, figures)
        update(drey, hooked_builds, ByHand(folder, plain_builds), plain_builds, figures)
        idle(drey, hooked, figures)
        figures.write()
    finally:
        drey.stop()
        clean()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
