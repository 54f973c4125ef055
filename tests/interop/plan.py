"""Scenarios through Kamailio and rtpengine: the acceptance plan of `z5 acceptance`, three phones of ours, and far ends of another make."""

import json
import os
import subprocess
import time
from pathlib import Path

import judge
from linphone import Linphone
from peers import REALM

OURS_HZ = 440
# of the tones of scenarios, as RMS: -10 dBm0, where a sine of 0 dBm0 is 3.17 dB below the one that clips
OURS_DBFS = -10 - 3.17 - 3.01
# judged here: z5 answers as the echo that some of them call
JUDGED = {"V1", *(f"V{n}" for n in range(4, 14))}
# why each of the others is not, as the table says it
OPEN = {
    "V2": "what the server saw of TLS",
    "V3": "what the server got",
    "V14": "a mailbox with a message",
    "V15": "a list of xCards",
    "V16": "what the server got",
    "V17": "what the server got",
}
# how good sound and pictures are depends on the machine that all of it runs on; that they are there does not
PATIENT = {
    "register": "1m", "ring": "1m", "fps": 2, "freezes": 99, "first": "1m", "dropped": 99, "loss": "90%", "tone": 0.1,
    "level": "-40..0", "latency": "1m", "heard": 2000, "moved": 50, "unmuted": 200, "talk": "1500ms", "look": "2s", "listen": "1500ms",
}


def z5(world, *arguments, seconds=120, **parties):
    """Runs it with --json and a configuration for each party; gives its lines."""
    command = [os.environ.get("Z5", "z5"), *map(str, arguments), "--json"]
    for user, options in parties.items():
        command += ["--party", f"{user}={world.config(user, text=True, **options)}"]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds)
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    if run.returncode != 0:
        told = [line for line in lines if line.get("verdict") in ("fail", "failed")]
        raise world.failed(f"exit {run.returncode}: {run.stderr[-400:]} {told}")
    return lines


def acceptance(world):
    """All phones are z5, three of them devices of one account, and so is the echo. What is not judged says why."""
    sets = [word for name, value in PATIENT.items() for word in ("--set", f"{name}={value}")]
    lines = z5(
        world, "acceptance", *sets, "--set", f"bob=sip:bob@{REALM}", "--set", "refresh=10s",
        alice={"expires": 6}, bob={}, carol={}, echo={},
    )
    rows = {line["id"]: line for line in lines if line["event"] == "point"}
    wrong = [row for point, row in rows.items() if row["verdict"] != ("pass" if point in JUDGED else "not-judged")]
    wrong += [rows[point] for point, why in OPEN.items() if why not in rows[point]["open"]]
    if wrong or set(rows) != JUDGED | set(OPEN):
        raise world.failed(f"{wrong}")
    return "; ".join(f"{point} {' '.join(rows[point]['measured'])}" for point in ("V4", "V5", "V10"))


def joined(world):
    """Three phones of z5: two calls at a time, one held; attended and blind transfer; a phone that says it is busy."""
    lines = z5(world, "run", Path(__file__).with_name("joined.yaml"), alice={}, bob={}, carol={})
    return f"{sum(line['event'] == 'step' for line in lines)} steps"


def heard_there(world, path):
    """Our tone, in the recording of the far end."""
    wrong = judge.tone(path, OURS_HZ, OURS_DBFS, tolerance_db=1.5)
    if wrong:
        raise world.failed(f"the far end heard: {wrong} ({path})")


def baresip(world):
    """A scenario calls baresip, which answers by itself."""
    peer = world.baresip()
    try:
        z5(world, "run", Path(__file__).with_name("far.yaml"), alice={})
        peer.wait_event("CALL_CLOSED", 5)
    finally:
        peer.close()
    heard_there(world, peer.heard())


def linphone(world):
    """A scenario calls linphone, which answers by itself and types, and is typed to."""
    says, typed = "linphone says 42", "Hello, z5 here: äöü €"
    peer = Linphone(world.run / "bob", world.server, world.media / "theirs-16000.wav", "--type", says)
    try:
        z5(
            world, "run", Path(__file__).with_name("far-text.yaml"), "--set", f"says={says}", "--set", f"typed={typed}",
            alice={},
        )
        peer.wait_event("ended")
    finally:
        peer.close()
    if peer.text().strip("\n") != typed:
        raise world.failed(f"linphone read {peer.text()!r}")
    heard_there(world, peer.heard)


def echo(world):
    """`z5 answer --echo` is what baresip calls: its tone comes back, and both record it."""
    answer = world.z5("answer", "--echo", "--record", world.run / "record", "--duration", "20s")
    answer.wait_event("ready")
    peer = world.baresip(answer=False)
    try:
        peer.command("dial", f"sip:alice@{REALM}")
        peer.wait_event("CALL_ESTABLISHED", 10)
        answer.wait_event("first-media")
        time.sleep(3)
        peer.command("hangup")
        answer.result()
    finally:
        peer.close()
    for path in (peer.heard(), *(world.run / "record").glob("*.wav")):
        wrong = judge.tone(path, 1000, world.level)
        if wrong:
            raise world.failed(f"{wrong} ({path})")


def echo_text(world):
    """What linphone types to an echo comes back, letter by letter, and so does its tone."""
    typed = "Who is there? äöü €"
    answer = world.z5("answer", "--echo", "--duration", "5s", text=True)
    answer.wait_event("ready")
    peer = Linphone(
        world.run / "bob", world.server, world.media / "theirs-16000.wav", "--dial", f"sip:alice@{REALM}", "--type", typed
    )
    try:
        answer.result()
        peer.wait_event("ended")
    finally:
        peer.close()
    if peer.text().strip("\n") != typed:
        raise world.failed(f"linphone read {peer.text()!r}")
    wrong = judge.tone(peer.heard, 1000, world.level, tolerance_db=1.5)
    if wrong:
        raise world.failed(f"{wrong} ({peer.heard})")


JOURNEYS = {
    "acceptance": (acceptance, {"devices": True}),
    "scenario-joined": (joined, {}),
    "scenario-baresip": (baresip, {}),
    "scenario-linphone": (linphone, {}),
    "echo-baresip": (echo, {}),
    "echo-linphone": (echo_text, {}),
}
# takes as long as all calls of the plan one after the other
BESIDE = {"acceptance"}
