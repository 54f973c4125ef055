"""Runs z5 against Kamailio, rtpengine and baresip on 127.0.0.1. usage: run.sh [JOURNEY...]; environment: Z5=the program.

A journey is a function below; what it returns is printed, what it raises fails it. Audio is judged from both recordings:
z5 sends 440 Hz, baresip 1000 Hz, and each must be found in the other's file with its frequency and level.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import captures
import firewall
import judge
import linphone
import plan
import radicale
import reports
import scenarios
import transports
import video
from peers import REALM, Baresip, PeerError, Server

Z5 = os.environ.get("Z5", "z5")
OURS_HZ, THEIRS_HZ = 440, 1000
GAIN_DB = -6.0
# sox's sine of gain -6 dB has this RMS; G.711 changes it by a few hundredths of a dB
LEVEL_DBFS = GAIN_DB - 10 * math.log10(2)


class Failed(Exception):
    """z5 did not do what the journey expects."""


def expect(truth, what):
    if not truth:
        raise Failed(what)


class Z5Run:
    """One run of the program with --json: its events line by line, its result, its exit status."""

    def __init__(self, run, *arguments):
        self.err = run / f"{Path(arguments[1]).stem}.stderr"
        self.command = [Z5, *map(str, arguments), "--json"]
        self.events = []
        with self.err.open("wb") as err:
            self.child = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, text=True,
                env={**os.environ, "XDG_DATA_HOME": str(run)},
            )

    def wait_event(self, name):
        """Reads events until one is called `name`; z5's own deadlines bound the wait."""
        for line in self.child.stdout:
            event = json.loads(line)
            self.events.append(event)
            if event["event"] == name:
                return event
        self.child.wait()
        raise Failed(f"no event '{name}' (exit {self.child.returncode}): {self.err.read_text()[-400:]}")

    def broken(self):
        """The expectations that did not hold, for people."""
        last = self.events[-1] if self.events else {}
        return [e for e in last.get("expectations", []) if not e["held"]] or ""

    def result(self, status=0, seconds=30):
        """The final object; the exit status must be `status`."""
        try:
            out, _ = self.child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            raise Failed(f"{' '.join(self.command)} still ran after {seconds} s") from None
        self.events += [json.loads(line) for line in out.splitlines()]
        expect(
            self.child.returncode == status,
            f"exit {self.child.returncode}, {status} wanted: {self.err.read_text()[-400:]}{self.broken()}",
        )
        expect(self.events and self.events[-1]["event"] == "result", "the last line is not the result")
        return self.events[-1]


class World:
    """One journey's folder, server and configuration."""

    failed = Failed
    level = LEVEL_DBFS

    def __init__(self, run, media, server):
        self.run, self.media, self.server = run, media, server

    def config(self, user="alice", password=None, srtp="off", codecs='["PCMA", "PCMU"]', transport="tcp", expires=60,
               ipv6=False, ca=None, proxy=None, dns=None, mwi=None, more="", text=False, server=None, tail=""):
        """A configuration file. `proxy=""`: the domain is looked up at the name server `dns`. `server`: another provider's."""
        server = server or self.server
        realm = getattr(server, "realm", REALM)
        path = self.run / (f"{user}.toml" if realm == REALM else f"{user}-at-{realm}.toml")
        here = "::1" if ipv6 else "127.0.0.1"
        if proxy is None:
            port = server.tls_port if transport == "tls" else server.sip_port
            proxy = f"[{here}]:{port}" if ipv6 else f"{here}:{port}"
        names = f'[dns]\nservers = ["{dns}"]\n\n' if dns else ""
        ca = ca or getattr(server, "ca", None)
        trust = f'[tls]\nca_file = "{ca}"\n\n' if ca else ""
        mailbox = f'mwi = "{mwi}"\n' if mwi else ""
        route = f'proxy = "{proxy}"\n' if proxy else ""
        path.write_text(
            f'profile = "generic"\n\n{names}{trust}'
            f'[sip]\ndomain = "{realm}"\nusername = "{user}"\npassword = "{password or user + "-pw"}"\n{route}'
            f'transport = "{transport}"\nexpires = {expires}\n{mailbox}{more}\n'
            f'[media]\nbind = "{here}"\nports = "41000-41199"\naudio_codecs = {codecs}\nsrtp = "{srtp}"\ntext = {str(text).lower()}\n{tail}'
        )
        path.chmod(0o600)
        return path

    def z5_contacts(self, config, *arguments):
        return Z5Run(self.run, "--config", config, "contacts", *arguments)

    def baresip(self, answer=True, encryption=None, codecs="PCMA,PCMU", rate=8000, video=None):
        wav = self.media / f"theirs-{rate}.wav"
        return Baresip(self.run / "bob", self.server, "bob", wav, answer, encryption, codecs, rate, video)

    def z5(self, *arguments, **config):
        return Z5Run(self.run, "--config", self.config(**config), *arguments)

    def judge(self, peer, tolerance_db=1.0):
        """Both directions, from both recordings."""
        recordings = sorted((self.run / "record").glob("*.wav"))
        expect(len(recordings) == 1, f"one recording wanted, found {[p.name for p in recordings]}")
        for who, path, hz in (("z5", recordings[0], THEIRS_HZ), ("baresip", peer.heard(), OURS_HZ)):
            wrong = judge.tone(path, hz, LEVEL_DBFS, tolerance_db)
            expect(wrong is None, f"{who} heard: {wrong} ({path})")


def call_arguments(world, command, *more):
    return [command, *more, "--audio", world.media / "ours.wav", "--record", world.run / "record"]


def register(world):
    """REGISTER over TCP with digest, then unregister."""
    result = world.z5("register").result()
    return f"registered in {result['timings_ms']['register']} ms"


def wrong_password(world):
    """Refused credentials end with the step, the code and exit 14."""
    result = world.z5("register", password="nothing-like-it").result(status=14)
    code = result["failure"]["code"]
    expect(code == "register.credentials-refused", f"code {code}")


def not_found(world):
    """A number nobody has."""
    code = world.z5("call", f"sip:nobody@{REALM}", "--duration", "1s").result(status=15)["failure"]["code"]
    expect(code == "call.not-found", f"code {code}")


def unavailable(world):
    """A user who is not registered."""
    code = world.z5("call", f"sip:bob@{REALM}", "--duration", "1s").result(status=15)["failure"]["code"]
    expect(code == "call.unavailable", f"code {code}")


def z5_calls_and_hangs_up(world, *more, theirs=None, tolerance_db=1.0, **options):
    peer = world.baresip(encryption=options.pop("encryption", None), **(theirs or {}))
    try:
        call = world.z5(*call_arguments(world, "call", f"sip:bob@{REALM}", "--duration", "3s", *more), **options)
        result = call.result()
        closed = peer.wait_event("CALL_CLOSED", 5)
    finally:
        peer.close()
    world.judge(peer, tolerance_db)
    expect(closed, "baresip saw no BYE")
    stream = result["call"]["media"]["streams"][0]
    wanted = json.loads(options.get("codecs", '["PCMA"]'))[0]
    expect(stream["codec"] == wanted, f"{stream['codec']} was agreed on, {wanted} wanted")
    expect(options.get("srtp") != "required" or stream["crypto"], "agreed on no encryption")
    return f"set-up {result['timings_ms']['call_setup']} ms"


def z5_calls_z5(world):
    """Both ends are z5: the set-up time is the server's and ours alone (baresip as callee adds 40 ms of Nagle's)."""
    answer = world.z5("answer", "--audio", f"tone:{THEIRS_HZ}", user="bob")
    answer.wait_event("ready")
    call = world.z5("call", f"sip:bob@{REALM}", "--audio", f"tone:{OURS_HZ}", "--duration", "2s")
    ours, theirs = call.result(), answer.result()
    for who, result, hz in (("caller", ours, THEIRS_HZ), ("callee", theirs, OURS_HZ)):
        heard = result["call"]["audio"]["heard"]
        expect(heard["dominant_hz"] is not None, f"the {who} heard no tone")
        expect(abs(heard["dominant_hz"] - hz) < 2, f"the {who} heard {heard['dominant_hz']} Hz")
    return f"set-up {ours['timings_ms']['call_setup']} ms"


def z5_calls_pcmu(world):
    """The same with PCMU preferred."""
    return z5_calls_and_hangs_up(world, codecs='["PCMU"]')


def z5_calls_g722(world):
    """The same with G.722, sampled at 16 kHz under a clock of 8 kHz."""
    return z5_calls_and_hangs_up(world, codecs='["G722"]', theirs={"codecs": "G722/16000/1", "rate": 16000})


def z5_calls_opus(world):
    """The same with Opus, which is no wave form codec: a tone comes through a little louder or softer."""
    theirs = {"codecs": "opus/48000/2", "rate": 48000}
    return z5_calls_and_hangs_up(world, codecs='["opus"]', theirs=theirs, tolerance_db=3.0)


def z5_calls_sdes(world):
    """The same with SRTP by SDES, which both sides insist on."""
    return z5_calls_and_hangs_up(world, srtp="required", encryption="srtp-mand")


def z5_calls_gcm(world):
    """The same with AES-GCM alone."""
    return z5_calls_and_hangs_up(world, "--suite", "AEAD_AES_128_GCM", srtp="required", encryption="srtp-mand")


def z5_calls_peer_hangs_up(world):
    peer = world.baresip()
    try:
        call = world.z5(*call_arguments(world, "call", f"sip:bob@{REALM}", "--duration", "20s"))
        call.wait_event("call-established")
        time.sleep(3)
        peer.command("hangup")
        result = call.result()
        expect(result["call"]["ended_by"] == "remote", f"ended by {result['call']['ended_by']}")
    finally:
        peer.close()
    world.judge(peer)


def answering(world, hang_up):
    """baresip calls z5; `hang_up` says who ends it."""
    answer = world.z5(*call_arguments(world, "answer", "--duration", "3s" if hang_up == "local" else "20s"))
    answer.wait_event("ready")
    peer = world.baresip(answer=False)
    try:
        peer.command("dial", f"sip:alice@{REALM}")
        peer.wait_event("CALL_ESTABLISHED", 10)
        if hang_up == "remote":
            time.sleep(3)
            peer.command("hangup")
        result = answer.result()
        if hang_up == "local":
            peer.wait_event("CALL_CLOSED", 5)
        expect(result["call"]["ended_by"] == hang_up, f"ended by {result['call']['ended_by']}")
    finally:
        peer.close()
    world.judge(peer)


def peer_calls_and_hangs_up(world):
    answering(world, "remote")


def peer_calls_z5_hangs_up(world):
    answering(world, "local")


def register_sha256(world):
    """The same server with SHA-256 digests."""
    return register(world)


# name -> (journey, options of the server)
JOURNEYS = {
    "register": (register, {}),
    "register-sha256": (register_sha256, {"algorithm": "SHA-256"}),
    "wrong-password": (wrong_password, {}),
    "not-found": (not_found, {}),
    "unavailable": (unavailable, {}),
    "z5-calls-and-hangs-up": (z5_calls_and_hangs_up, {}),
    "z5-calls-z5": (z5_calls_z5, {}),
    "z5-calls-pcmu": (z5_calls_pcmu, {}),
    "z5-calls-g722": (z5_calls_g722, {}),
    "z5-calls-opus": (z5_calls_opus, {}),
    "z5-calls-sdes": (z5_calls_sdes, {}),
    "z5-calls-gcm": (z5_calls_gcm, {}),
    "z5-calls-peer-hangs-up": (z5_calls_peer_hangs_up, {}),
    "peer-calls-and-hangs-up": (peer_calls_and_hangs_up, {}),
    "peer-calls-z5-hangs-up": (peer_calls_z5_hangs_up, {}),
    **transports.JOURNEYS,
    **linphone.JOURNEYS,
    **radicale.JOURNEYS,
    **captures.JOURNEYS,
    **video.JOURNEYS,
    **plan.JOURNEYS,
    # needs no server at all
    **firewall.JOURNEYS,
    # no server beside the mock carrier
    **reports.JOURNEYS,
    # no server beside SIPp, which is one itself
    **scenarios.JOURNEYS,
}


def make_media(folder):
    folder.mkdir(parents=True)
    made = [("ours", OURS_HZ, 8000), *((f"theirs-{rate}", THEIRS_HZ, rate) for rate in (8000, 16000, 48000))]
    for name, hz, rate in made:
        subprocess.run(
            ["sox", "-n", "-r", str(rate), "-c", "1", "-b", "16", folder / f"{name}.wav", "synth", "12", "sine", str(hz),
             "gain", str(GAIN_DB)],
            check=True,
        )
    return folder


def run_one(name, root, media):
    journey, options = JOURNEYS[name]
    folder = root / name
    if options is None:
        folder.mkdir()
        return journey(World(folder, media, None))
    (folder / "server").mkdir(parents=True)
    server = Server(folder / "server", **options)
    try:
        return journey(World(folder, media, server))
    finally:
        server.close()


def told(name, root, media):
    """Runs one journey and prints its line; whether it passed."""
    began = time.monotonic()
    try:
        note, verdict = run_one(name, root, media) or "", "PASS"
    except (Failed, PeerError) as e:
        note, verdict = str(e), "FAIL"
    except Exception:  # noqa: BLE001 - a fault of the harness is a failure with its trace
        note, verdict = traceback.format_exc(), "FAIL"
    print(f"{verdict} {name} ({time.monotonic() - began:.1f} s) {note}".rstrip(), flush=True)
    return verdict == "PASS"


def main(names):
    unknown = [n for n in names if n not in JOURNEYS]
    if unknown:
        print(f"error: no journey {', '.join(unknown)}; there are: {', '.join(JOURNEYS)}", file=sys.stderr)
        return 2
    root = Path(tempfile.mkdtemp(prefix="z5-interop-"))
    media = make_media(root / "media")
    names = names or list(JOURNEYS)
    # SIPp's scenarios and the plan judge order, not time: some run beside the others, the longest first
    beside = [n for n in names if n in plan.BESIDE] + [n for n in names if n in scenarios.JOURNEYS]
    with ThreadPoolExecutor(max_workers=3) as pool:
        running = [pool.submit(told, n, root, media) for n in beside]
        passes = [told(n, root, media) for n in names if n not in beside]
        passes += [one.result() for one in running]
    passed, failed = passes.count(True), passes.count(False)
    print(f"{passed} passed, {failed} failed")
    if failed:
        print(f"logs and recordings: {root}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
