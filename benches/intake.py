"""The intake under load, against bare SQLite, and with many branches at once.

p99_ms, refused: signed deliveries of 25 KB, 50 a second for 60 s, while two deployments run all the time. A delivery's
time counts from the moment at which it was due, not from when a client was free to send it.
durable_rate_ratio: the highest rate of answered deliveries (several clients at once) against the rate at which Python's
sqlite3 commits the same rows to a database of the same schema and settings, one commit per delivery, in turn.
attacked_p99_ms, attacked_lost: the same, with small deliveries, while 1,000 forged ones are on their way all the time, as fast as they
are answered (forged_rate); attacked_lost are honest ones that were not taken.
rss_mb_500: the most memory that the daemon has while 500 branches, pushed at once, are taken in with room for 20.

A git hook says one line per ref, so 25 KB are some 220 refs: here one branch that the configuration ignores, as it is
said with `ignore`, and the tags of a repository that is mirrored. Each is a row: SQLite gets all of them too.
"""

import asyncio
import collections
import hashlib
import hmac
import json
import multiprocessing
import os
import pathlib
import queue
import sqlite3
import sys
import threading
import time

from deliveries import Client, paced, tell
from house import ROOT, Drey, Figures, Repository, run, until, workplace

BODY_BYTES = 25_000
RATE = 50
SECONDS = int(os.environ.get("DREY_BENCH_SECONDS", "60"))
# Deliveries of one round of the highest rate, rounds, and clients: as many as keep a batch full.
ROUND = int(os.environ.get("DREY_BENCH_ROUND", "1500"))
ROUNDS = 3
PROCESSES, CLIENTS = 2, 12
FORGERS = 1000
BRANCHES = 500
PLACES = 20
WITHIN = 300
SLOW = "trap 'exit 0' TERM; busybox sleep 2; busybox httpd -f -p 8080 -h /www & wait"
QUICK = "trap 'exit 0' TERM; busybox mkdir -p /tmp/www; busybox httpd -f -p 8080 -h /tmp/www & wait"


def body(number):
    """What a hook says of a mirror push: one branch, and tags."""
    commit = hashlib.sha1(str(number).encode()).hexdigest()
    zero = "0" * 40
    lines = [f"{zero} {commit} refs/heads/ignored/{number}"]
    size = len(lines[0])
    while size < BODY_BYTES:
        lines.append(f"{zero} {commit} refs/tags/release-{number}.{len(lines)}")
        size += len(lines[-1]) + 1
    return ("\n".join(lines) + "\n").encode()


def request(repository, delivery_id, content):
    secret = f"bench-{repository}-secret".encode()
    signature = hmac.new(secret, content, hashlib.sha256).hexdigest()
    head = (
        f"POST /hooks/git/{repository} HTTP/1.1\r\nHost: drey\r\nContent-Length: {len(content)}\r\n"
        f"X-Drey-Delivery: {delivery_id}\r\nX-Drey-Signature-256: sha256={signature}\r\n\r\n"
    )
    return head.encode() + content


def deploy_for_ever(drey, repository, stopped, counts):
    """One deployment after the other: what is built changes each time, and what starts takes its time."""
    name = repository.bare.stem
    number = 0
    while not stopped.is_set():
        number += 1
        repository.commit({"web/ballast": os.urandom(2_000_000), "web/number": str(number)})
        repository.git("push", "-q", "-f", "origin", "HEAD:work")
        commit = repository.git("rev-parse", "HEAD").strip()
        while not stopped.is_set():
            shown = json.loads(run(drey.binary, "--config", drey.config, "env", "show", f"{name}/work", "--json",
                                   check=False) or "{}")
            if shown.get("running_commit") == commit and shown.get("phase") == "ready":
                counts[name] = number
                break
            time.sleep(0.25)


def under_load(drey, work, figures):
    stopped, counts = threading.Event(), {}
    workers = [threading.Thread(target=deploy_for_ever, args=(drey, it, stopped, counts)) for it in work]
    for worker in workers:
        worker.start()
    until(lambda: len(counts) == len(work), 180)
    name = work[0].bare.stem
    before = dict(counts)
    requests = [request(name, f"load-{number}", body(number)) for number in range(RATE * SECONDS)]
    times, refused = paced(drey.listen, requests, RATE)
    stopped.set()
    for worker in workers:
        worker.join()
    figures.tell("deployments_meanwhile", [sum(counts.values()) - sum(before.values())], "")
    tell(figures, times)
    figures.tell("max_ms", [times[-1]], "ms")
    figures.tell("refused", [refused], "")
    figures.tell("rss_mb_load", [drey.status("VmRSS") / 1024], "MB")


def forge(port, name, seconds, told):
    """In a process of its own: forged deliveries, each over a connection of its own; how many were answered, and how."""
    counts = collections.Counter()

    async def forger(number, end):
        content = body(number)[:200]
        repository = name if number % 3 else "unknown"
        data = request("forger", f"forged-{number}", content).replace(b"/git/forger", f"/git/{repository}".encode())
        while time.monotonic() < end:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(data)
                counts[(await reader.read(12))[9:].decode()] += 1
                writer.close()
            except OSError:
                counts["none"] += 1

    async def all_of_them():
        end = time.monotonic() + seconds
        await asyncio.gather(*(forger(number, end) for number in range(FORGERS)))

    asyncio.run(all_of_them())
    told.put(counts)


def under_attack(drey, name, figures):
    told = multiprocessing.Queue()
    forging = multiprocessing.Process(target=forge, args=(drey.listen, name, SECONDS, told))
    forging.start()
    one_line = [body(number).split(b"\n")[0] + b"\n" for number in range(RATE * (SECONDS - 1))]
    requests = [request(name, f"attacked-{number}", line) for number, line in enumerate(one_line)]
    times, lost = paced(drey.listen, requests, RATE, kept=False)
    counts = told.get()
    forging.join()
    tell(figures, times, "attacked_")
    figures.tell("attacked_lost", [lost], "")
    figures.tell("forged_rate", [sum(counts.values()) / SECONDS], "/s")
    if counts["202"]:
        sys.exit("a forged delivery was taken")


def send_all(port, requests, gate, told):
    """In a process of its own: all of them, over several connections."""
    left = queue.SimpleQueue()
    for data in requests:
        left.put(data)
    faults = []

    def send():
        client = Client(port)
        while True:
            try:
                data = left.get_nowait()
            except queue.Empty:
                return
            status = client.send(data)
            if status != 202:
                faults.append(status)

    threads = [threading.Thread(target=send) for _ in range(CLIENTS)]
    gate.wait()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told.put((time.monotonic(), len(faults)))


def highest_rate(drey, name, turn):
    """Deliveries a second that are answered, all of them durable."""
    requests = [request(name, f"rate-{turn}-{number}", body(turn * ROUND + number)) for number in range(ROUND)]
    gate, told = multiprocessing.Barrier(PROCESSES + 1), multiprocessing.Queue()
    processes = [
        multiprocessing.Process(target=send_all, args=(drey.listen, requests[part::PROCESSES], gate, told))
        for part in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    gate.wait()
    begin = time.monotonic()
    ends = [told.get() for _ in processes]
    for process in processes:
        process.join()
    if faults := sum(fault for _, fault in ends):
        sys.exit(f"{faults} deliveries were refused at the highest rate")
    return ROUND / (max(end for end, _ in ends) - begin)


EVENT_COLUMNS = "place, source, repo, kind, branch, detail, delivery_id, skip, received_at, state, reason"


def bare_rate(drey, turn, folder):
    """Commits a second of the rows that drey wrote in this turn, by SQLite alone."""
    theirs = sqlite3.connect(f"file:{drey.folder}/data/drey.db?mode=ro", uri=True)
    like = f"rate-{turn}-%"
    deliveries = theirs.execute(
        "SELECT id, repo, source, delivery_id, body, received_at FROM delivery WHERE delivery_id LIKE ?", (like,)
    ).fetchall()
    events = {
        row[0]: theirs.execute(f"SELECT {EVENT_COLUMNS} FROM event WHERE delivery = ? ORDER BY place", row[:1]).fetchall()
        for row in deliveries
    }
    theirs.close()
    assert len(deliveries) == ROUND, "an answered delivery has no row"
    path = folder / f"bare-{turn}.db"
    ours = sqlite3.connect(path, isolation_level=None)
    for migration in sorted((ROOT / "migrations").glob("*.sql")):
        ours.executescript(migration.read_text())
    ours.execute("PRAGMA journal_mode = WAL")
    ours.execute("PRAGMA synchronous = FULL")
    ours.execute("PRAGMA foreign_keys = ON")
    marks = ", ".join("?" * (1 + EVENT_COLUMNS.count(",") + 1))
    begin = time.monotonic()
    for row in deliveries:
        ours.execute("BEGIN IMMEDIATE")
        done = ours.execute(
            "INSERT INTO delivery (repo, source, delivery_id, body, received_at) VALUES (?, ?, ?, ?, ?)", row[1:]
        )
        key = (done.lastrowid,)
        ours.executemany(
            f"INSERT INTO event (delivery, {EVENT_COLUMNS}) VALUES ({marks})", [key + event for event in events[row[0]]]
        )
        ours.execute("COMMIT")
    rate = ROUND / (time.monotonic() - begin)
    ours.close()
    path.unlink()
    return rate


def against_sqlite(drey, name, folder, figures):
    rates, bare = [], []
    highest_rate(drey, name, 0)
    for turn in range(1, ROUNDS + 1):
        rates.append(highest_rate(drey, name, turn))
        bare.append(bare_rate(drey, turn, folder))
    figures.tell("durable_rate", rates, "/s")
    figures.tell("bare_sqlite_rate", bare, "/s")
    figures.tell("durable_rate_ratio", [a / b for a, b in zip(rates, bare)], "ratio")


def many_at_once(binary, figures):
    folder, clean = workplace()
    many = Repository(folder, "many")
    many.commit({"compose.yaml": one_service(QUICK)})
    many.git("push", "-q", "origin", "HEAD:main")
    drey = Drey(folder, [many], binary, more=f'[limits]\nenvironments = {PLACES}\nwhen_full = "wait"\n')
    try:
        most, stopped = [0], threading.Event()

        def watch():
            while not stopped.is_set():
                most[0] = max(most[0], drey.status("VmRSS"))
                time.sleep(0.02)

        watcher = threading.Thread(target=watch)
        watcher.start()
        for number in range(BRANCHES):
            many.git("branch", f"many-{number}")
        begin = time.monotonic()
        many.git("push", "-q", "origin", *(f"many-{number}" for number in range(BRANCHES)))
        figures.tell("push_of_500_s", [time.monotonic() - begin], "s")
        until(lambda: is_taken_in(drey.environments()), WITHIN)
        stopped.set()
        watcher.join()
        figures.tell("rss_mb_500", [most[0] / 1024], "MB")
    finally:
        drey.stop()
        # Killing is enough for the 480 that never had anything on the engine.
        sweep("many")
        clean()


def is_taken_in(environments):
    """As many served as there are places; all others wait, and say why."""
    served = sum(it["phase"] == "ready" and it["serving"] for it in environments)
    if served > PLACES:
        sys.exit(f"{served} environments are served at once; limits.environments = {PLACES} is not kept")
    waiting = sum(not it["serving"] and bool(it["reason"]) for it in environments)
    return len(environments) == BRANCHES and served == PLACES and waiting == BRANCHES - PLACES


def sweep(repository):
    label = f"label=drey.repo={repository}"
    for kind, listing, remove in (
        ("container", ("ps", "-aq"), ("rm", "-f")),
        ("network", ("network", "ls", "-q"), ("network", "rm")),
        ("volume", ("volume", "ls", "-q"), ("volume", "rm")),
    ):
        found = run("docker", *listing, "--filter", label).split()
        if found:
            run("docker", *remove, *found)


def one_service(script):
    return (
        "services:\n  web:\n    image: drey-demo/tiny:1\n    expose: [\"8080\"]\n"
        f"    command: [\"busybox\", \"sh\", \"-c\", \"{script}\"]\n"
    )


def of_work(repository):
    """What `deploy_for_ever` deploys."""
    dockerfile = f"FROM drey-demo/tiny:1\nCOPY ballast number /www/\nCMD [\"busybox\", \"sh\", \"-c\", \"{SLOW}\"]\n"
    compose = "services:\n  web:\n    build: ./web\n    expose: [\"8080\"]\n"
    files = {"compose.yaml": compose, "web/Dockerfile": dockerfile, "web/ballast": b"", "web/number": "0"}
    repository.commit(files)
    repository.git("push", "-q", "origin", "HEAD:main")


def main(binary):
    folder, clean = workplace()
    work = [Repository(folder, f"work{number}") for number in range(2)]
    for repository in work:
        of_work(repository)
    figures = Figures("intake")
    drey = Drey(folder, work, binary, of_each=['ignore = ["ignored/**"]'])
    try:
        under_load(drey, work, figures)
        drey.destroy_all()
        under_attack(drey, work[0].bare.stem, figures)
        against_sqlite(drey, work[0].bare.stem, folder, figures)
    finally:
        drey.stop()
        clean()
    many_at_once(binary, figures)
    figures.write()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
