"""Scenarios through Kamailio and rtpengine: the acceptance plan of `z5 acceptance`, three phones of ours, and far ends of another make."""

import json
import os
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import judge
from linphone import Linphone
from peers import REALM, Server
from services import Cards, Mailbox

OURS_HZ = 440
# of the tones of scenarios, as RMS: -10 dBm0, where a sine of 0 dBm0 is 3.17 dB below the one that clips
OURS_DBFS = -10 - 3.17 - 3.01
# z5 answers as the echo that some of them call
JUDGED = {f"V{n}" for n in range(1, 18)}
# another provider, and who answers there and here
OTHER, CALLEE = "other.test", "+15555550900"
# where alice says that she is
ADDRESS = "https://location.example/interop"
MESSAGES = 2
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
    """All phones are z5, three of them devices of one account, and so are the echoes: one stands for those who answer emergency
    calls, one is at another provider, which is a second Kamailio with a second rtpengine. Alice's SIP runs over TLS. What z5 saw
    at its own end is compared with what the servers say they got."""
    with ExitStack() as open_now:
        own = world.server
        other = Server(world.run / "other", realm=OTHER, sip_port=own.peer_port, peer=(REALM, own.sip_port))
        open_now.callback(other.close)
        open_now.callback(Mailbox(own.mailbox_port, MESSAGES).close)
        cards = Cards(own.run / "server.pem", own.run / "server.key", "alice", "alice-pw", [("Bob", "+15555550102")])
        open_now.callback(cards.close)
        for provider in (own, other):
            abroad = world.z5("answer", "--echo", "--stay", "10m", user=CALLEE, server=provider, text=True)
            open_now.callback(abroad.child.wait, 10)
            open_now.callback(abroad.child.terminate)
            abroad.wait_event("ready")
        told = {
            **PATIENT, "bob": f"sip:bob@{REALM}", "refresh": "10s", "address": ADDRESS, "messages": MESSAGES, "contact": "Bob",
            "provider": OTHER, "callee": CALLEE, "emergency": "urn:service:sos",
        }
        sets = [word for name, value in told.items() for word in ("--set", f"{name}={value}")]
        book = f'[contacts]\nuri = "{cards.uri}"\nprotocol = "xcard"\n'
        alice = {"expires": 6, "transport": "tls", "mwi": f"sip:mailbox@{REALM}", "tail": book}
        lines = z5(world, "acceptance", *sets, seconds=240, alice=alice, bob={}, carol={}, echo={})
        rows = {line["id"]: line for line in lines if line["event"] == "point"}
        wrong = [row for row in rows.values() if row["verdict"] != "pass"]
        if wrong or set(rows) != JUDGED:
            raise world.failed(f"{wrong}")
        # the other way round
        back = {"provider": REALM, "callee": CALLEE}
        sets = [word for name, value in back.items() for word in ("--set", f"{name}={value}")]
        z5(world, "acceptance", "--only", "V16", *sets, alice={"server": other})
    for point in ("V2", "V3", "V16", "V17"):
        if not any(one.endswith(", seen by z5") for one in rows[point]["measured"]):
            raise world.failed(f"whose eyes: {rows[point]}")
    for server, got in (
        (own, f"REGISTER taken, Geolocation <{ADDRESS}>"),
        (own, "emergency call, Geolocation <cid:"),
        (other, f"call of another provider's, From sip:alice@{REALM}, to sip:{CALLEE}@{OTHER}"),
        (own, f"call of another provider's, From sip:alice@{OTHER}, to sip:{CALLEE}@{REALM}"),
    ):
        if not server.saw(f"interop: {got}"):
            raise world.failed(f"the server did not get: {got}")
    if len(cards.stored) < 2 or "Zoë" not in cards.stored[0] or "Zoë" in cards.text.decode():
        raise world.failed(f"the list of xCards was stored {len(cards.stored)} times")
    return "; ".join(f"{point} {' '.join(rows[point]['measured'])}" for point in ("V2", "V4", "V5", "V10"))


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
    "acceptance": (acceptance, {"devices": True, "peer": (OTHER, None)}),
    "scenario-joined": (joined, {}),
    "scenario-baresip": (baresip, {}),
    "scenario-linphone": (linphone, {}),
    "echo-baresip": (echo, {}),
    "echo-linphone": (echo_text, {}),
}
# takes as long as all calls of the plan one after the other
BESIDE = {"acceptance"}
