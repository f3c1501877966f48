"""The intake of webhooks: 1,000 deliveries of 25 KB, of all five forges, 100 a second, while a deployment runs all the time.

p99_ms, refused: a delivery's time counts from the moment at which it was due. Half of them are pushes, the others tell of
pull requests; their branches are ignored by the configuration, so what is measured is taking them, not what follows.
"""

import hashlib
import hmac
import json
import pathlib
import sys
import threading

from deliveries import paced, tell
from house import Drey, Figures, Repository, until, workplace
from intake import BODY_BYTES, deploy_for_ever, of_work

DELIVERIES, RATE = 1000, 100


def padded(document):
    document["padding"] = ""
    document["padding"] = "x" * (BODY_BYTES - len(json.dumps(document)))
    return json.dumps(document).encode()


def pushed(number):
    """As GitHub, GitLab, Gitea and Forgejo tell it."""
    before, after = (hashlib.sha1(f"{number}{part}".encode()).hexdigest() for part in ("a", "b"))
    return {"ref": f"refs/heads/ignored/{number}", "before": before, "after": after}


def pull_request(number):
    head = {"ref": f"ignored/{number}", "sha": hashlib.sha1(str(number).encode()).hexdigest()}
    pull = {"number": number, "title": "a change", "state": "open", "head": head, "base": {"ref": "main"}}
    return {"action": "opened", "number": number, "pull_request": pull}


def merge_request(number):
    attributes = {
        "iid": number, "action": "open", "state": "opened", "title": "a change",
        "source_branch": f"ignored/{number}", "target_branch": "main",
        "last_commit": {"id": hashlib.sha1(str(number).encode()).hexdigest()},
    }
    return {"object_kind": "merge_request", "object_attributes": attributes}


def of_bitbucket(number):
    repository = {"full_name": "team/work"}
    commit = {"hash": hashlib.sha1(str(number).encode()).hexdigest()}
    if number % 2:
        new = {"type": "branch", "name": f"ignored/{number}", "target": commit}
        return "repo:push", {"repository": repository, "push": {"changes": [{"old": None, "new": new}]}}
    side = {"branch": {"name": f"ignored/{number}"}, "commit": commit, "repository": repository}
    target = {"branch": {"name": "main"}, "repository": repository}
    pull = {"id": number, "title": "a change", "state": "OPEN", "source": side, "destination": target}
    return "pullrequest:created", {"repository": repository, "pullrequest": pull}


def request(name, number):
    secret = f"bench-{name}-secret"
    forge = ("github", "gitlab", "gitea", "forgejo", "bitbucket")[number % 5]
    is_push = number // 5 % 2 == 0
    if forge == "bitbucket":
        event, document = of_bitbucket(number)
    elif forge == "gitlab":
        event = "Push Hook" if is_push else "Merge Request Hook"
        document = pushed(number) if is_push else merge_request(number)
    else:
        event = "push" if is_push else "pull_request"
        document = pushed(number) if is_push else pull_request(number)
    content = padded(document)
    mac = hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
    headers = {
        "github": {"X-GitHub-Event": event, "X-GitHub-Delivery": number, "X-Hub-Signature-256": f"sha256={mac}"},
        "gitlab": {"X-Gitlab-Event": event, "Idempotency-Key": number, "X-Gitlab-Token": secret},
        "gitea": {"X-Gitea-Event": event, "X-Gitea-Delivery": number, "X-Gitea-Signature": mac},
        "forgejo": {"X-Forgejo-Event": event, "X-Forgejo-Delivery": number, "X-Forgejo-Signature": mac},
        "bitbucket": {"X-Event-Key": event, "X-Request-UUID": number, "X-Hub-Signature": f"sha256={mac}"},
    }[forge]
    lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
    head = (
        f"POST /hooks/{forge}/{name} HTTP/1.1\r\nHost: drey\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n{lines}\r\n"
    )
    return head.encode() + content


def main(binary):
    folder, clean = workplace()
    work = Repository(folder, "work")
    of_work(work)
    figures = Figures("intake-forges")
    drey = Drey(folder, [work], binary, of_each=['ignore = ["ignored/**"]'])
    stopped, counts = threading.Event(), {}
    worker = threading.Thread(target=deploy_for_ever, args=(drey, work, stopped, counts))
    try:
        worker.start()
        until(lambda: counts, 180)
        before = counts["work"]
        requests = [request("work", number) for number in range(1, DELIVERIES + 1)]
        times, refused = paced(drey.listen, requests, RATE)
        figures.tell("deployments_meanwhile", [counts["work"] - before], "")
        tell(figures, times)
        figures.tell("max_ms", [times[-1]], "ms")
        figures.tell("refused", [refused], "")
        stopped.set()
        worker.join()
        told = json.loads(drey.drey("event", "list", "--json"))["items"]
        if not told:
            sys.exit("no event was made of any delivery")
        drey.destroy_all()
    finally:
        stopped.set()
        drey.stop()
        clean()
    figures.write()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
