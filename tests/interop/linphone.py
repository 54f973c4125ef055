"""Starts linphone_client.py with a configuration of its own, and the journeys between z5 and linphone.

In a call liblinphone asks the machine's resolver for the domain. It runs in a mount namespace in which only the hosts file is
consulted, so that the question stays on this machine.
"""

import json
import os
import shutil
import subprocess

import judge
from peers import HERE, REALM, PeerError, free_port

OURS_HZ, THEIRS_HZ = 440, 1000
# every codec that is not listed would be enabled
CODECS = [("opus", 48000, 2), ("speex", 32000, 1), ("speex", 16000, 1), ("speex", 8000, 1), ("PCMA", 8000, 1),
          ("PCMU", 8000, 1), ("G722", 8000, 1), ("G729", 8000, 1), ("GSM", 8000, 1)]
SHARED = "mount --bind \"$0\" /etc/nsswitch.conf && exec \"$@\""


def configuration(user, server, codecs, encryption):
    port, rtp = free_port(2), free_port(6)
    route = f"<sip:127.0.0.1:{server.sip_port};transport=tcp>"
    sections = {
        "sip": {
            "sip_port": -1, "sip_tcp_port": port, "sip_tls_port": -1, "default_proxy": 0, "use_ipv6": 0, "guess_hostname": 0,
            "contact": f"<sip:{user}@127.0.0.1>", "bind_address": "127.0.0.1", "register_only_when_network_is_up": 0,
            "media_encryption": encryption or "none", "lime": 0,
        },
        "proxy_0": {
            "reg_proxy": route, "reg_route": route, "reg_identity": f"sip:{user}@{REALM}", "reg_expires": 20,
            "reg_sendregister": 1, "publish": 0, "avpf": 0,
        },
        "auth_info_0": {"username": user, "passwd": f"{user}-pw", "realm": REALM, "domain": REALM},
        "rtp": {"audio_rtp_port": rtp, "video_rtp_port": rtp + 2, "text_rtp_port": rtp + 4, "audio_jitt_comp": 60},
        "sound": {"use_files": 1, "echocancellation": 0, "playback_dev_id": "", "capture_dev_id": ""},
        "video": {"enabled": 0, "capture": 0, "display": 0},
        "misc": {"store_friends": 0},
    }
    for index, (name, rate, channels) in enumerate(CODECS):
        enabled = int(name in codecs)
        sections[f"audio_codec_{index}"] = {"mime": name, "rate": rate, "channels": channels, "enabled": enabled}
    lines = []
    for section, keys in sections.items():
        lines += [f"[{section}]", *(f"{key}={value}" for key, value in keys.items()), ""]
    return "\n".join(lines)


class Linphone:
    """One registered linphone. What it tells is read by wait_event."""

    def __init__(self, run, server, wav, *more, user="bob", codecs=("PCMA", "PCMU"), encryption=None):
        if not shutil.which("unshare"):
            raise PeerError("linphone needs unshare (util-linux)")
        for folder in (".local/share/linphone", ".config/linphone", ".cache"):
            (run / folder).mkdir(parents=True)
        (run / "linphonerc").write_text(configuration(user, server, codecs, encryption))
        (run / "nsswitch.conf").write_text("hosts: files\n")
        self.heard, self.log, self.events = run / "heard.wav", run / "log", []
        command = ["unshare", "--mount", "--map-root-user", "sh", "-c", SHARED, run / "nsswitch.conf", "python3",
                   HERE / "linphone_client.py", run / "linphonerc", wav, self.heard, *more]
        with self.log.open("wb") as log:
            self.child = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
                env={**os.environ, "HOME": str(run)},
            )
        try:
            self.wait_event("registered")
        except BaseException:
            self.close()
            raise

    def wait_event(self, name, **details):
        """Reads what it tells until that comes; its own time limit bounds the wait."""
        for line in self.child.stdout:
            event = json.loads(line)
            self.events.append(event)
            if event["event"] == name and all(event[key] == value for key, value in details.items()):
                return event
        raise PeerError(f"linphone: no {name} {details or ''}: {self.events[-3:]} {self.log.read_text()[-400:]}")

    def text(self):
        return "".join(event["text"] for event in self.events if event["event"] == "text")

    def close(self):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        self.child.stdout.close()


def expect(world, truth, what):
    if not truth:
        raise world.failed(what)


def judged(world, peer, level, rate):
    """Both directions from both recordings, and the codec's name from the result."""
    ours = sorted((world.run / "record").glob("*.wav"))
    expect(world, len(ours) == 1, f"one recording wanted, found {[path.name for path in ours]}")
    for who, path, hz in (("z5", ours[0], THEIRS_HZ), ("linphone", peer.heard, OURS_HZ)):
        # Opus is no wave form codec: a tone comes through a little louder or softer
        wrong = judge.tone(path, hz, level, tolerance_db=3.0 if rate == 48000 else 1.5)
        expect(world, wrong is None, f"{who} heard: {wrong} ({path})")


def z5_calls(codec="PCMA", rate=8000, suite=None, **config):
    """z5 calls linphone with sound and text both ways."""

    def journey(world):
        typed, answered = "Hello, z5 here: äöü €", "linphone says 42"
        encryption = "srtp" if suite else None
        wav = world.media / f"theirs-{max(rate, 16000)}.wav"
        peer = Linphone(world.run / "bob", world.server, wav, "--type", answered, codecs=(codec,), encryption=encryption)
        try:
            options = {"srtp": "required", **config} if suite else config
            call = world.z5(
                "call", f"sip:bob@{REALM}", "--audio", world.media / "ours.wav", "--record", world.run / "record",
                "--text", typed, "--duration", "3500ms", codecs=f'["{codec}"]', text=True, **options,
            )
            result = call.result()
            peer.wait_event("ended")
        finally:
            peer.close()
        agreed = {stream["kind"]: stream for stream in result["call"]["media"]["streams"]}
        expect(world, agreed["audio"]["codec"] == codec, f"agreed on {agreed['audio']['codec']}")
        if suite:
            used = [stream["crypto"] for stream in agreed.values()]
            expect(world, set(used) == {suite}, f"suites {used}")
        expect(world, result["call"]["text_received"] == answered, f"text came as {result['call']['text_received']!r}")
        expect(world, peer.text().strip("\n") == typed, f"linphone read {peer.text()!r}")
        judged(world, peer, world.level, rate)
        return f"set-up {result['timings_ms']['call_setup']} ms"

    return journey


def linphone_calls(world):
    """linphone calls z5 with sound and text both ways; linphone is cut off by z5's hanging up."""
    typed, answered = "from linphone", "from z5"
    answer = world.z5(
        "answer", "--audio", world.media / "ours.wav", "--record", world.run / "record", "--text", answered,
        "--duration", "3500ms", text=True,
    )
    answer.wait_event("ready")
    peer = Linphone(
        world.run / "bob", world.server, world.media / "theirs-16000.wav", "--dial", f"sip:alice@{REALM}", "--type", typed
    )
    try:
        result = answer.result()
        peer.wait_event("ended")
    finally:
        peer.close()
    expect(world, result["call"]["text_received"] == typed, f"text came as {result['call']['text_received']!r}")
    expect(world, peer.text().strip("\n") == answered, f"linphone read {peer.text()!r}")
    judged(world, peer, world.level, 8000)


JOURNEYS = {
    "linphone-text-pcma": (z5_calls(), {}),
    "linphone-opus": (z5_calls("opus", 48000), {}),
    "linphone-sdes": (z5_calls(suite="AES_256_CM_HMAC_SHA1_80"), {}),
    "linphone-calls-z5": (linphone_calls, {}),
}
