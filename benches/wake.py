"""Waking against `docker compose start` and the same probe, on the same engine, in turn.

wake_ratio: a request to an environment that sleeps → the first byte of its answer, against `docker compose start` of the
same stopped project → the first 200 of the same probe. unpause_ms: what a request to a frozen environment
(`sleep = "pause"`) takes longer than one to it when it is awake. Asleep: memory and CPU of the daemon with a hundred
environments of which no container runs.
"""

import json
import os
import pathlib
import statistics
import sys
import time

from house import Drey, Figures, Repository, get_plain, run, until, workplace
from main_job import SERVE, ByHand, push_branch

PAIRS = int(os.environ.get("DREY_BENCH_PAIRS", "10"))
ASLEEP = int(os.environ.get("DREY_ASLEEP", "100"))
ASLEEP_SECONDS = 30
# Names of environments that sleep at once, asked and put to sleep so many at a time.
BATCH = 20


def service(name, more=""):
    fill = f"busybox mkdir -p /tmp/www; echo {name} > /tmp/www/index.html; {SERVE.replace('/www', '/tmp/www')}"
    return f'  {name}:\n    image: drey-demo/tiny:1\n    command: ["busybox", "sh", "-c", "{fill}"]\n{more}'


# The cache waits for nobody, the bus for both, the page for the bus.
STACK = "services:\n" + "".join(
    [
        service("web", '    expose: ["8080"]\n    depends_on: [esb]\n'),
        service("esb", "    depends_on: [db, cache]\n"),
        service("db"),
        service("cache"),
    ]
)
ONE = "services:\n" + service("web", '    expose: ["8080"]\n')


def is_there(drey, branch):
    return (drey.get(branch) or (0,))[0] == 200


def phase(drey, branch):
    return next((it["phase"] for it in drey.environments() if it["branch"] == branch), None)


def put_to_sleep(drey, repo, branch):
    """Asks until it is taken: what is there a moment ago is still being deployed to its end."""
    asked = lambda: json.loads(drey.drey("env", "sleep", "--json", f"{repo}/{branch}"))["action"]
    until(lambda: asked() == "sleeping", 60)


def lull(drey, repo, branch, state="exited"):
    """Returns when all of it rests: the phase says so as soon as the route is gone."""
    put_to_sleep(drey, repo, branch)
    ours = ["--filter", f"label=drey.repo={repo}", "--filter", f"label=drey.branch={branch}"]
    states = lambda: set(run("docker", "ps", "-a", "--format", "{{.State}}", *ours).split())
    until(lambda: phase(drey, branch) == "asleep" and states() == {state}, 60)


def asked(check):
    begin = time.monotonic()
    until(check, 60)
    return time.monotonic() - begin


def wake(drey, hooked, hand, plain, figures):
    push_branch(hooked, "wake")
    until(lambda: is_there(drey, "wake"), 120)
    push_branch(plain, "wake")
    hand.up("wake")
    project = hand.folder / "hand-wake"
    ours, theirs = [], []
    for _ in range(PAIRS):
        lull(drey, "stack", "wake")
        ours.append(asked(lambda: is_there(drey, "wake")))
        run("docker", "compose", "-p", "hand-wake", "stop", cwd=project)
        begin = time.monotonic()
        run("docker", "compose", "-p", "hand-wake", "start", cwd=project)
        # Only the bench asks for the address: that is no part of waking.
        started = time.monotonic()
        address = hand.address("wake")
        begin += time.monotonic() - started
        until(lambda: (get_plain(address, 8080) or (0,))[0] == 200, 60)
        theirs.append(time.monotonic() - begin)
    hand.down("wake")
    drey.destroy_all()
    figures.tell("wake_drey_s", ours, "s")
    figures.tell("wake_by_hand_s", theirs, "s")
    figures.tell("wake_ratio", [a / b for a, b in zip(ours, theirs)], "ratio")


def unpause(drey, hooked, figures):
    push_branch(hooked, "frozen", {"compose.yaml": STACK + "x-drey:\n  sleep: pause\n"})
    until(lambda: is_there(drey, "frozen"), 120)
    direct = statistics.median(asked(lambda: is_there(drey, "frozen")) for _ in range(20))
    over = []
    for _ in range(PAIRS):
        lull(drey, "stack", "frozen", "paused")
        over.append(1000 * (asked(lambda: is_there(drey, "frozen")) - direct))
    drey.destroy_all()
    figures.tell("unpause_ms", over, "ms")


def asleep(drey, hooked, figures):
    branches = [f"asleep-{number}" for number in range(ASLEEP)]
    for start in range(0, ASLEEP, BATCH):
        some = branches[start : start + BATCH]
        for branch in some:
            push_branch(hooked, branch)
        for branch in some:
            until(lambda: is_there(drey, branch), 300)
        for branch in some:
            put_to_sleep(drey, "one", branch)
    until(lambda: sum(it["phase"] == "asleep" for it in drey.environments()) == ASLEEP, 300)
    time.sleep(5)
    begin, cpu = time.monotonic(), drey.cpu_seconds()
    time.sleep(ASLEEP_SECONDS)
    percent = 100 * (drey.cpu_seconds() - cpu) / (time.monotonic() - begin)
    figures.tell("asleep_rss_mb", [drey.status("VmRSS") / 1024], "MB")
    figures.tell("asleep_cpu_percent", [percent], "%")
    running = run("docker", "ps", "-q", "--filter", "label=drey.repo=one").split()
    figures.tell("asleep_running", [len(running)], "containers")
    drey.destroy_all()


def repository(folder, name, compose):
    made = Repository(folder, name)
    made.commit({"compose.yaml": compose})
    made.git("push", "-q", "origin", "HEAD:main")
    return made


def main(binary):
    folder, clean = workplace()
    hooked, plain = repository(folder, "stack", STACK), repository(folder, "stack-plain", STACK)
    one = repository(folder, "one", ONE)
    # As many as are woken here within an hour.
    drey = Drey(folder, [hooked, one], binary, more='[limits]\nwakes_per_hour = "unlimited"\nenvironments = "unlimited"')
    figures = Figures("wake")
    try:
        wake(drey, hooked, ByHand(folder, plain), plain, figures)
        unpause(drey, hooked, figures)
        asleep(drey, one, figures)
        figures.write()
    finally:
        drey.stop()
        clean()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
