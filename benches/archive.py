"""Archive and restore against the same work done by hand with docker compose, tar and zstd, on the same content.

archive_ratio: `drey env archive` → the archive is recorded, which it is once every byte was read back, against
`docker compose stop` + tar | zstd -T0 into a file + sync of the file + `tar -tf` of it. restore_ratio: `drey archive
restore --wait` → the page answers over HTTPS, against untar into a new volume + `docker compose up -d` → the page
answers. archive_rss_mb, restore_rss_mb: the daemon's peak while it does so. size_ratio: drey's file against the other.

The content: one volume of DREY_BENCH_ARCHIVE_MB (1024) in DREY_BENCH_ARCHIVE_FILES (10000) files; a third of them are
random bytes, the others like text: together they compress to about a half.
"""

import http.client
import json
import os
import pathlib
import random
import shutil
import socket
import sys
import time

from house import Drey, Figures, Repository, get_plain, run, until, workplace
from main_job import SERVE

PAIRS = int(os.environ.get("DREY_BENCH_PAIRS", "3"))
BYTES = int(os.environ.get("DREY_BENCH_ARCHIVE_MB", "1024")) << 20
FILES = int(os.environ.get("DREY_BENCH_ARCHIVE_FILES", "10000"))
FILES_IN_FOLDER = 100
# Text is cut out of so much of it: farther apart than any compressor here looks back.
TEXT_BYTES = 32 << 20
WORDS = 600
# Seconds for one archive or one restore.
WITHIN = 600
COMPOSE = f"""services:
  web:
    image: drey-demo/tiny:1
    command: ["busybox", "sh", "-c", "{SERVE}"]
    expose: ["8080"]
    volumes: ["data:/data"]
volumes:
  data:
"""


def make_content(folder):
    """Files from a quarter to seven quarters of the mean size; the same ones for both sides."""
    dice = random.Random(1)
    words = ["".join(dice.choices("etaoinshrdlu", k=dice.randint(3, 11))) for _ in range(WORDS)]
    # A few words make most of a text.
    weights = [1 / (rank + 1) for rank in range(WORDS)]
    text = " ".join(dice.choices(words, weights, k=TEXT_BYTES // 7)).encode()
    mean = BYTES / FILES
    for number in range(FILES):
        size = round(mean * (0.25 + 1.5 * number / max(FILES - 1, 1)))
        place = folder / f"{number // FILES_IN_FOLDER:04}"
        place.mkdir(parents=True, exist_ok=True)
        if number % 3 == 0:
            content = os.urandom(size)
        else:
            begin = dice.randrange(max(len(text) - size, 1))
            content = text[begin : begin + size]
        (place / f"{number:05}").write_bytes(content)


def folder_of(volume):
    folder = pathlib.Path(run("docker", "volume", "inspect", "-f", "{{.Mountpoint}}", volume).strip())
    if not os.access(folder, os.W_OK):
        sys.exit(f"{folder}: cannot be written; by hand, volumes are read and written as root, on the engine's machine")
    return folder


def pipe(command):
    run("bash", "-c", f"set -o pipefail; {command}")


def fill(content, volume):
    """Puts the content into a volume and has it on the disk: nobody's figures hold another's writing."""
    pipe(f"tar -C {content} -cf - . | tar -C {folder_of(volume)} -xf -")
    run("sync")


def peak(drey):
    """The daemon's highest resident memory since the last call, in MB; forgets it."""
    highest = drey.status("VmHWM") / 1024
    pathlib.Path(f"/proc/{drey.process.pid}/clear_refs").write_text("5")
    return highest


def ask(drey, path):
    """The API over the daemon's socket: asked often, and no process each time."""
    connection = http.client.HTTPConnection("drey")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(drey.folder / "data/drey.sock"))
    connection.request("GET", path)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


class Ours:
    def __init__(self, drey, repository):
        self.drey = drey
        self.repository = repository

    def begin(self, branch, content):
        self.repository.git("checkout", "-q", "-B", branch)
        self.repository.commit({"branch.txt": branch})
        self.repository.git("push", "-q", "-f", "origin", branch)
        self.name = f"{self.repository.bare.stem}/{branch}"
        self.slug = branch
        until(self.answers, WITHIN)
        names = run("docker", "volume", "ls", "-q", "--filter", f"label=drey.branch={branch}").split()
        fill(content, next(name for name in names if name.endswith("_data")))

    def answers(self):
        return (self.drey.get(self.slug) or (0,))[0] == 200

    def archive(self):
        peak(self.drey)
        begin = time.monotonic()
        self.drey.drey("env", "archive", self.name)
        until(lambda: ask(self.drey, "/api/v1/archives")["items"], WITHIN)
        took = time.monotonic() - begin
        self.archived = ask(self.drey, "/api/v1/archives")["items"][0]
        until(lambda: not self.drey.environments(), WITHIN)
        return took, peak(self.drey), self.archived["size_bytes"]

    def restore(self):
        peak(self.drey)
        begin = time.monotonic()
        self.drey.drey("archive", "restore", self.archived["id"], "--wait")
        until(self.answers, WITHIN)
        return time.monotonic() - begin, peak(self.drey)

    def end(self):
        self.drey.destroy_all()
        self.drey.drey("archive", "remove", self.archived["id"])


class ByHand:
    """What a careful person does without drey."""

    def __init__(self, folder):
        self.folder = folder / "hand"
        self.folder.mkdir()
        (self.folder / "compose.yaml").write_text(COMPOSE)
        self.file = folder / "hand.tar.zst"

    def compose(self, *arguments):
        run("docker", "compose", "-p", self.project, *arguments, cwd=self.folder)

    def begin(self, branch, content):
        self.project = f"hand-{branch}"
        self.compose("up", "-d")
        fill(content, f"{self.project}_data")

    def answers(self):
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        address = run("docker", "inspect", "-f", form, f"{self.project}-web-1").strip()
        return (get_plain(address, 8080) or (0,))[0] == 200

    def archive(self):
        folder = folder_of(f"{self.project}_data")
        begin = time.monotonic()
        self.compose("stop")
        pipe(f"tar -C {folder} -cf - . | zstd -q -T0 > {self.file}")
        run("sync", self.file)
        pipe(f"tar --zstd -tf {self.file} > {self.folder}/list")
        took = time.monotonic() - begin
        self.compose("down", "-v")
        return took, self.file.stat().st_size

    def take_freed_inodes(self):
        """ext4 passes over each inode that was freed lately: whoever makes the next files pays for all that were
        removed before. Neither side shall."""
        run("docker", "volume", "create", f"{self.project}_first")
        pipe(f"tar --zstd -C {folder_of(f'{self.project}_first')} -xf {self.file}")
        run("sync")

    def restore(self):
        begin = time.monotonic()
        run("docker", "volume", "create", f"{self.project}_data")
        pipe(f"tar --zstd -C {folder_of(f'{self.project}_data')} -xf {self.file}")
        self.compose("up", "-d")
        until(self.answers, WITHIN)
        return time.monotonic() - begin

    def end(self):
        self.compose("down")
        # Compose leaves a volume alone that it did not make itself.
        run("docker", "volume", "rm", "-f", f"{self.project}_data", f"{self.project}_first")
        self.file.unlink(missing_ok=True)


def measure(ours, hand, content):
    """One pair; each figure is a list with one sample more."""
    samples = {}
    for pair in range(PAIRS):
        # By its name the volume is found, and the other side's project: nobody else's, whoever measures beside.
        branch = f"archive-{os.getpid()}-{pair}"
        ours.begin(branch, content)
        archived, archive_rss, size = ours.archive()
        hand.begin(branch, content)
        try:
            archived_by_hand, size_by_hand = hand.archive()
            hand.take_freed_inodes()
            restored, restore_rss = ours.restore()
            run("sync")
            restored_by_hand = hand.restore()
        finally:
            hand.end()
        ours.end()
        for name, unit, value in (
            ("archive_drey_s", "s", archived),
            ("archive_by_hand_s", "s", archived_by_hand),
            ("archive_ratio", "ratio", archived / archived_by_hand),
            ("restore_drey_s", "s", restored),
            ("restore_by_hand_s", "s", restored_by_hand),
            ("restore_ratio", "ratio", restored / restored_by_hand),
            ("archive_rss_mb", "MB", archive_rss),
            ("restore_rss_mb", "MB", restore_rss),
            ("size_ratio", "ratio", size / size_by_hand),
            ("compressed_to", "ratio", size / BYTES),
        ):
            samples.setdefault(name, (unit, []))[1].append(value)
    return samples


def main(binary):
    if missing := [tool for tool in ("tar", "zstd") if not shutil.which(tool)]:
        sys.exit(f"missing: {' '.join(missing)}; run script/bootstrap --tests")
    folder, clean = workplace()
    repository = Repository(folder, "archive")
    repository.commit({"compose.yaml": COMPOSE})
    repository.git("push", "-q", "origin", "HEAD:main")
    content = folder / "content"
    make_content(content)
    drey = Drey(folder, [repository], binary)
    figures = Figures("archive")
    try:
        for name, (unit, values) in measure(Ours(drey, repository), ByHand(folder), content).items():
            figures.tell(name, values, unit)
        figures.write()
    finally:
        try:
            drey.destroy_all()
        finally:
            drey.stop()
            clean()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
