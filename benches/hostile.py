"""Good stacks made hostile: how many are refused, and whether anything harmful is among those that are accepted.

mutants: made from a rendered document; whole: those that go the whole way, Compose among it; unknown_keys: keys that
nobody knows, each at a place of its own. Of the accepted ones that went the whole way some are deployed for real, and
what `docker inspect` says of their containers is looked at by rules of its own: deployed, containers, harmful.
DREY_MUTANTS (10000), DREY_MUTANTS_WHOLE (200), DREY_UNKNOWN_KEYS (1000), DREY_DEPLOYED (10); DREY_SEED for others.
"""

import json
import os
import pathlib
import subprocess
import sys

from house import ROOT, Drey, Figures, Repository, run, until, workplace

FILES = {"data/f": "x\n", "conf": "x\n", "some.env": "C=3\n", "Dockerfile": "FROM drey-demo/tiny:1\n"}
SETTLED = ("ready", "failed", "blocked")
CAPABILITIES = {
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETFCAP", "SETGID",
    "SETPCAP", "SETUID", "SYS_CHROOT",
}


def mutants(accepted):
    """Figures of tests/compose/mutants.rs, which fails on anything harmful."""
    env = {
        "DREY_MUTANTS": os.environ.get("DREY_MUTANTS", "10000"),
        "DREY_MUTANTS_WHOLE": os.environ.get("DREY_MUTANTS_WHOLE", "200"),
        "DREY_UNKNOWN_KEYS": os.environ.get("DREY_UNKNOWN_KEYS", "1000"),
        "DREY_MUTANTS_OUT": str(accepted),
    }
    command = ["cargo", "test", "--locked", "--quiet", "--test", "compose", "--", "mutants::", "--nocapture"]
    running = subprocess.run(command, cwd=ROOT, env=os.environ | env, stdout=subprocess.PIPE, text=True)
    told = {}
    for line in running.stdout.splitlines():
        # The test runner puts a dot in front for each test that is over.
        label, colon, value = line.lstrip(".").partition(": ")
        if colon and label.replace("_", "").isalpha() and value.isdigit():
            told[label] = int(value)
        else:
            print(line, file=sys.stderr)
    return told, running.returncode == 0


def harm(container, folder):
    """What is wrong with a container, by what the engine says of it."""
    host, project = container["HostConfig"], container["Config"]["Labels"]["com.docker.compose.project"]
    own = lambda name: name == "none" or name.startswith(project + "_") or name.startswith("container:")
    added = {name.removeprefix("CAP_") for name in host["CapAdd"] or []}
    dropped = {name.removeprefix("CAP_") for name in host["CapDrop"] or []}
    rules = {
        "privileged": host["Privileged"],
        "capabilities": added - CAPABILITIES or not ({"NET_RAW", "MKNOD"} <= dropped or "ALL" in dropped),
        "guards": host["SecurityOpt"] != ["no-new-privileges:true"] or not host["MaskedPaths"],
        "name spaces": any(
            not (mode in ("", "private", "shareable", "none") or mode.startswith("container:"))
            for mode in (host["PidMode"], host["IpcMode"], host["UTSMode"], host["UsernsMode"])
        ) or host["CgroupnsMode"] != "private",
        "networks": not own(host["NetworkMode"]) or not all(map(own, container["NetworkSettings"]["Networks"])),
        "devices": host.get("Devices") or host.get("DeviceRequests") or host.get("DeviceCgroupRules"),
        "ports": any((host["PortBindings"] or {}).values()) or host.get("PublishAllPorts"),
        "limits": host["Memory"] <= 0 or host["NanoCpus"] <= 0 or (host["PidsLimit"] or 0) <= 0,
        "log": host["LogConfig"]["Type"] != "json-file" or "max-size" not in host["LogConfig"]["Config"],
        "tmpfs": any("size=" not in options for options in (host.get("Tmpfs") or {}).values()),
        "oom": host["OomScoreAdj"] < 0 or host.get("OomKillDisable"),
        "mounts": [
            mount for mount in container["Mounts"]
            if (mount["Type"] == "bind" and (mount["RW"] or not mount["Source"].startswith(folder)))
            or (mount["Type"] == "volume" and not own(mount["Name"]) and len(mount["Name"]) != 64)
            or mount["Type"] not in ("bind", "volume", "tmpfs", "image")
        ],
    }
    return [f"{container['Name']}: {rule}: {found}" for rule, found in rules.items() if found]


def deploy(binary, documents):
    """Deploys each on a branch of its own; how many came up, containers that were looked at, and what is wrong."""
    folder, clean = workplace()
    repository = Repository(folder, "hostile")
    repository.commit({"README": "x\n"})
    repository.git("push", "-q", "origin", "main")
    drey = Drey(folder, [repository], binary)
    ready, containers, wrong = 0, 0, []
    try:
        for number, document in enumerate(documents):
            branch = f"m{number}"
            repository.git("checkout", "-q", "-b", branch, "main")
            repository.commit(FILES | {"compose.yaml": document})
            repository.git("push", "-q", "origin", branch)
            phase = lambda: next((it["phase"] for it in drey.environments() if it["branch"] == branch), "")
            until(lambda: phase() in SETTLED, 180)
            ready += phase() == "ready"
            ids = run("docker", "ps", "-aq", "--filter", f"label=drey.branch={branch}", "--filter", "label=drey.repo=hostile")
            for container in json.loads(run("docker", "inspect", *ids.split())) if ids.split() else []:
                containers += 1
                wrong += harm(container, str(folder / "data/environments"))
            drey.drey("env", "destroy", f"hostile/{branch}")
    finally:
        drey.destroy_all()
        drey.stop()
        clean()
    return ready, containers, wrong


def main():
    figures = Figures("hostile")
    folder, clean = workplace()
    told, passed = mutants(folder / "accepted")
    for name, value in told.items():
        figures.tell(name, [value], "")
    documents = [path.read_text() for path in sorted((folder / "accepted").glob("*.json"))]
    documents = documents[: int(os.environ.get("DREY_DEPLOYED", "10"))]
    clean()
    ready, containers, wrong = deploy(pathlib.Path(sys.argv[1]), documents)
    for line in wrong:
        print(line, file=sys.stderr)
    for name, value in (("deployed", len(documents)), ("ready", ready), ("containers", containers), ("harmful", len(wrong))):
        figures.tell(name, [value], "")
    figures.write()
    sys.exit(0 if passed and containers and not wrong else 1)


main()
