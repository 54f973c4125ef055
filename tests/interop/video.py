"""Video with baresip: H.264 both ways. Each side shows z5's stamped pattern; both recordings are judged from their pixels."""

import time

import pictures
from peers import REALM, until


# the last chunk of every PNG file
PNG_END = bytes.fromhex("0000000049454e44ae426082")


def expect(world, truth, what):
    if not truth:
        raise world.failed(what)


def seen_by_z5(world, result):
    """z5's recording, and that its own figures agree with it."""
    film = world.run / "record" / "seen.h264"
    codec, width, height, count = pictures.probe(film)
    expect(world, codec == "h264" and count >= 20, f"{codec} with {count} pictures recorded")
    wrong = pictures.moving(pictures.stamps(film))
    expect(world, wrong is None, f"z5 saw: {wrong} ({film})")
    video = result["call"]["video"]["video"]
    expect(world, (video["width"], video["height"]) == (width, height), f"figures {video}")
    expect(world, abs(video["pictures_received"] - count) <= 1, f"{count} recorded, figures {video}")
    return f"z5 saw {count} pictures of {width}x{height}, {video['frame_rate']:.1f} a second"


def seen_by_baresip(world, peer):
    """A snapshot of what baresip decoded: our pattern, with a readable stamp."""
    shot = peer.run / "seen.png"
    peer.command("snapshot_recv", str(shot))
    until(5, "baresip's snapshot", lambda: shot.exists() and shot.read_bytes().endswith(PNG_END))
    numbers = pictures.stamps(shot)
    expect(world, numbers[0] is not None, f"baresip saw no stamp ({shot})")
    return f"baresip saw number {numbers[0]}"


def call(world, *more, srtp="off", encryption=None):
    """z5 calls; `more` says what z5 shows."""
    peer = world.baresip(encryption=encryption, video=pictures.film_to_send(world.run / "theirs.mp4"))
    try:
        run = world.z5(
            "call", f"sip:bob@{REALM}", "--duration", "4s", "--audio", world.media / "ours.wav", "--record",
            world.run / "record", *more, srtp=srtp,
        )
        run.wait_event("first-picture")
        time.sleep(1.5)
        theirs = seen_by_baresip(world, peer)
        result = run.result()
        peer.wait_event("CALL_CLOSED", 5)
    finally:
        peer.close()
    return f"{seen_by_z5(world, result)}; {theirs}"


def z5_calls(world):
    """The live pattern towards baresip, its film back."""
    return call(world, "--video", "pattern:320x240@25")


def z5_calls_film(world):
    """The same with a file, which needs no encoder, encrypted."""
    return call(world, "--video", pictures.FILM, srtp="required", encryption="srtp-mand")


def peer_calls(world):
    """baresip calls, z5 answers; in the middle z5 is private for a second."""
    answer = world.z5(
        "answer", "--video", "film", "--record", world.run / "record", "--at", "1500ms=mute:video", "--at",
        "2500ms=unmute:video", "--duration", "4s",
    )
    answer.wait_event("ready")
    peer = world.baresip(answer=False, video=pictures.film_to_send(world.run / "theirs.mp4"))
    try:
        peer.command("dial", f"sip:alice@{REALM}")
        peer.wait_event("CALL_ESTABLISHED", 10)
        answer.wait_event("first-picture")
        answer.wait_event("call-muted")
        answer.wait_event("call-muted")
        time.sleep(0.7)
        theirs = seen_by_baresip(world, peer)
        result = answer.result()
        peer.wait_event("CALL_CLOSED", 5)
    finally:
        peer.close()
    return f"{seen_by_z5(world, result)}; {theirs}"


JOURNEYS = {
    "video-z5-calls": (z5_calls, {}),
    "video-z5-calls-film-sdes": (z5_calls_film, {}),
    "video-peer-calls": (peer_calls, {}),
}
