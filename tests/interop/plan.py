"""The acceptance plan of `z5 acceptance` through Kamailio and rtpengine: the points that need two phones and no mock carrier."""

import json
import os
import subprocess
from pathlib import Path

from peers import REALM

# judged here; what the others need only the mock carrier has
JUDGED = {"V4", "V9", "V10", "V11", "V13"}
ALL = JUDGED | {"V2", "V3", "V14"}


def acceptance(world):
    """Both phones are z5. The points whose scenarios look into the mock carrier are told as not judged."""
    parties = [f"{user}={world.config(user, text=True)}" for user in ("alice", "bob")]
    command = [os.environ.get("Z5", "z5"), "acceptance", "--json", "--only", ",".join(sorted(ALL)), "--jobs", "1"]
    for party in parties:
        command += ["--party", party]
    command += ["--set", f"bob=sip:bob@{REALM}"]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    rows = [line for line in map(json.loads, run.stdout.splitlines()) if line["event"] == "point"]
    verdicts = {row["id"]: row["verdict"] for row in rows}
    wanted = {point: "pass" if point in JUDGED else "not-judged" for point in ALL}
    if verdicts != wanted or run.returncode != 0:
        wrong = [row for row in rows if row["verdict"] != wanted[row["id"]]]
        raise world.failed(f"exit {run.returncode}: {run.stderr[-400:]} {wrong}")
    return "; ".join(f"{row['id']} {' '.join(row['measured'])}" for row in rows if row["id"] in ("V4", "V10"))


def joined(world):
    """Three phones of z5: two calls at a time, one held; attended and blind transfer; a phone that says it is busy."""
    command = [os.environ.get("Z5", "z5"), "run", "--json"]
    for user in ("alice", "bob", "carol"):
        command += ["--party", f"{user}={world.config(user, text=True)}"]
    command.append(str(Path(__file__).with_name("joined.yaml")))
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90)
    if run.returncode != 0:
        raise world.failed(f"exit {run.returncode}: {run.stderr[-400:]}")
    steps = [line for line in map(json.loads, run.stdout.splitlines()) if line["event"] == "step"]
    return f"{len(steps)} steps"


JOURNEYS = {"acceptance": (acceptance, {}), "scenario-joined": (joined, {})}
