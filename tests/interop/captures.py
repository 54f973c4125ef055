"""Journeys with `--capture`, judged by tshark: what is in the file, whether every check sum is right, whether its secrets and
keys open what is encrypted; and what a killed program leaves, judged by ffprobe, sox and tshark."""

import base64
import subprocess

import judge
from peers import REALM

CHECKS = [part for layer in ("ip", "udp", "tcp") for part in ("-o", f"{layer}.check_checksum:TRUE")]
DAMAGE = "_ws.malformed || ip.checksum.status == 0 || udp.checksum.status == 0 || tcp.checksum.status == 0"


def expect(world, truth, what):
    if not truth:
        raise world.failed(what)


def tshark(path, *arguments):
    """The lines that tshark prints; two passes, as the window of Wireshark does."""
    done = subprocess.run(["tshark", "-2", "-r", path, *CHECKS, *arguments], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise ValueError(f"tshark: {done.stderr[-400:]}")
    return done.stdout.splitlines()


def undamaged(world, path):
    frames = tshark(path, "-T", "fields", "-e", "frame.number")
    damaged = tshark(path, "-Y", DAMAGE)
    expect(world, frames and not damaged, f"{len(frames)} frames, damaged: {damaged[:3]}")


def methods(path, *how):
    return [line for line in tshark(path, *how, "-Y", "sip", "-T", "fields", "-e", "sip.CSeq.method") if line]


def payloads(path, port):
    """The payloads of the RTP packets that left `port`, with SSRC and sequence number."""
    fields = ["rtp.ssrc", "rtp.seq", "rtp.payload", "srtp.enc_payload"]
    lines = tshark(path, "-Y", f"rtp && udp.srcport == {port}", "-T", "fields", *[x for f in fields for x in ("-e", f)])
    rows = [line.split("\t") for line in lines]
    return [(int(ssrc, 16), int(seq), bytes.fromhex((clear or sealed).replace(":", ""))) for ssrc, seq, clear, sealed in rows]


def audible(world, alaw, hz):
    """sox makes sound of the A-law bytes, and the tone is in it."""
    raw, wav = world.run / "payload.al", world.run / "payload.wav"
    raw.write_bytes(alaw)
    subprocess.run(["sox", "-t", "al", "-r", "8000", "-c", "1", raw, "-b", "16", "-e", "signed-integer", wav], check=True)
    wrong = judge.tone(wav, hz, LEVEL_DBFS)
    expect(world, wrong is None, f"the payloads: {wrong}")


# a tone of -12 dBm0, where 0 dBm0 lies 3.14 dB below a full-scale sine (ITU-T G.711, A-law), which has -3.01 dBFS
LEVEL_DBFS = -12 - 3.14 - 3.01


def call(world, *more, **config):
    """A call between two z5, the caller captures; its file, its result and its audio port."""
    path = world.run / "call.pcapng"
    answer = world.z5("answer", "--audio", "tone:1000", user="bob", **config)
    answer.wait_event("ready")
    run = world.z5(
        "call", f"sip:bob@{REALM}", "--audio", "tone:440:-12", "--duration", "2s", "--capture", path, *more,
        **config,
    )
    result = run.result()
    answer.result()
    port = result["call"]["media"]["streams"][0]["local"].rsplit(":", 1)[1]
    expect(world, result["capture"]["left_out"] == 0, f"capture {result['capture']}")
    return path, result, port


def in_the_clear(world):
    """SIP over TCP and RTP in the clear: every packet is there, and the sound can be made of them."""
    path, result, port = call(world)
    undamaged(world, path)
    seen = methods(path)
    expect(world, {"REGISTER", "INVITE", "ACK", "BYE"} <= set(",".join(seen).split(",")), f"methods {seen}")
    sent, wanted = payloads(path, port), result["call"]["audio"]["packets_sent"]
    expect(world, len(sent) == wanted, f"{len(sent)} RTP packets of ours, {wanted} were sent")
    came = len(tshark(path, "-Y", f"rtp && udp.dstport == {port}"))
    expect(world, came >= result["call"]["audio"]["packets_received"], f"{came} RTP packets of the far end")
    audible(world, b"".join(payload for _, _, payload in sent), 440)
    return f"{len(sent)} + {came} RTP packets"


def over_tls(world):
    """SIP over TLS: the secrets in the file open it."""
    path, _, _ = call(world, transport="tls")
    undamaged(world, path)
    port = world.server.tls_port
    seen = methods(path, "-d", f"tls.port=={port},sip")
    expect(world, {"REGISTER", "INVITE", "ACK", "BYE"} <= set(",".join(seen).split(",")), f"methods {seen}")
    in_clear = path.read_bytes().count(b"REGISTER ")
    expect(world, in_clear == 0, "a REGISTER is there unencrypted")
    return f"{len(seen)} SIP messages"


def aes_ctr(key, counter, data):
    """AES in counter mode by OpenSSL."""
    command = ["openssl", "enc", "-aes-128-ctr", "-K", key.hex(), "-iv", f"{counter:032x}"]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def with_srtp(world):
    """SRTP: the side file holds the key, with which OpenSSL opens the packets (RFC 3711 section 4)."""
    # the suite that is opened below
    path, result, port = call(world, "--suite", "AES_CM_128_HMAC_SHA1_80", srtp="required")
    undamaged(world, path)
    keys = [line.split() for line in path.with_name("call.pcapng.keys").read_text().splitlines()]
    ours = [line[-1] for line in keys if line[:2] == ["from", f"127.0.0.1:{port}"]]
    expect(world, len(ours) == 1, f"keys of {[line[:2] for line in keys]}")
    master = base64.b64decode(ours[0].removeprefix("inline:"))
    key, salt = master[:16], int.from_bytes(master[16:30], "big")
    # labels 0 and 2: the session's key and salt (section 4.3.1)
    session_key = aes_ctr(key, salt << 16, bytes(16))
    session_salt = int.from_bytes(aes_ctr(key, (salt ^ (2 << 48)) << 16, bytes(14)), "big")
    sent, wanted = payloads(path, port), result["call"]["audio"]["packets_sent"]
    expect(world, len(sent) == wanted, f"{len(sent)} SRTP packets of ours, {wanted} were sent")
    clear = b""
    for ssrc, seq, sealed in sent:
        # the roll-over counter is zero; the tag of ten bytes is left out
        sealed = sealed[:160]
        clear += aes_ctr(session_key, session_salt << 16 ^ ssrc << 64 ^ seq << 16, sealed)
    audible(world, clear, 440)
    return f"{len(sent)} SRTP packets opened"


def killed(world):
    """SIGKILL in the middle of a call: the recording plays and the capture opens."""
    path, folder = world.run / "killed.pcapng", world.run / "record"
    answer = world.z5("answer", "--audio", "tone:1000:-12", "--duration", "8s", user="bob")
    answer.wait_event("ready")
    run = world.z5(
        "call", f"sip:bob@{REALM}", "--audio", "tone:440", "--at", "2s=mute", "--record", folder, "--capture", path
    )
    run.wait_event("call-muted")
    run.child.kill()
    run.child.wait()
    answer.child.terminate()
    answer.child.wait()
    wav = folder / "heard.wav"
    probe = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name,sample_rate,duration", "-of", "csv=p=0", wav]
    shown = subprocess.run(probe, capture_output=True, text=True)
    expect(world, shown.returncode == 0 and not shown.stderr, f"ffprobe: {shown.stderr}")
    codec, rate, seconds = shown.stdout.strip().split(",")
    expect(world, (codec, rate) == ("pcm_s16le", "8000") and float(seconds) >= 1, f"ffprobe: {shown.stdout}")
    wrong = judge.tone(wav, 1000, LEVEL_DBFS)
    expect(world, wrong is None, f"the recording: {wrong}")
    undamaged(world, path)
    return f"{float(seconds):.1f} s recorded"


JOURNEYS = {
    "capture": (in_the_clear, {}),
    "capture-tls": (over_tls, {}),
    "capture-srtp": (with_srtp, {}),
    "killed-mid-call": (killed, {}),
}
