"""Journeys over TLS, UDP and IPv6, with a name server, with short registrations, and with a server that is restarted."""

import time

from peers import REALM, NameServer, Nat, until


def expect(world, truth, what):
    if not truth:
        raise world.failed(what)


def registered(run):
    """The detail of step 4 in the events of a run."""
    done = [e for e in run.events if e["event"] == "step-done" and e["step"] == "register"]
    return done[-1]["detail"] if done else {}


def over(transport):
    def register(world):
        run = world.z5("register", transport=transport)
        result = run.result()
        detail = registered(run)
        expect(world, detail["transport"] == transport, f"registered over {detail['transport']}")
        return f"registered in {result['timings_ms']['register']} ms"

    register.__doc__ = f"REGISTER over {transport.upper()} with digest, then unregister."
    return register


def heard(world, caller, callee):
    """Both ends are z5: each hears the tone of the other."""
    for who, result, hz in (("caller", caller, 1000), ("callee", callee, 440)):
        tone = result["call"]["audio"]["heard"]["dominant_hz"]
        expect(world, tone is not None and abs(tone - hz) < 2, f"the {who} heard {tone} Hz, {hz} wanted")


def z5_calls_z5(**config):
    def journey(world):
        answer = world.z5("answer", "--audio", "tone:1000", user="bob", **config)
        answer.wait_event("ready")
        call = world.z5("call", f"sip:bob@{REALM}", "--audio", "tone:440", "--duration", "2s", **config)
        caller, callee = call.result(), answer.result()
        heard(world, caller, callee)
        return f"set-up {caller['timings_ms']['call_setup']} ms"

    return journey


def z5_calls_baresip(transport):
    """z5 on `transport`, baresip on TCP: the server goes between them."""

    def journey(world):
        peer = world.baresip()
        try:
            audio = ["--audio", world.media / "ours.wav", "--record", world.run / "record"]
            call = world.z5("call", f"sip:bob@{REALM}", "--duration", "3s", *audio, transport=transport)
            call.result()
            peer.wait_event("CALL_CLOSED", 5)
        finally:
            peer.close()
        world.judge(peer)

    return journey


def bad_certificate(world):
    """The server's authority is not the one we believe."""
    other = world.run / "other"
    other.mkdir()
    world.server.certificate(other)
    code = world.z5("register", transport="tls", ca=other / "ca.pem").result(status=14)["failure"]["code"]
    expect(world, code == "register.tls-unknown-issuer", f"code {code}")


def by_records(transport, wanted):
    """The domain's records lead to the server; of two TCP servers the first does not exist."""

    def journey(world):
        names = NameServer(world.run, world.server)
        try:
            run = world.z5("register", transport=transport, proxy="", dns=names.address)
            run.result()
        finally:
            names.close()
        detail = registered(run)
        expect(world, detail["transport"] == wanted, f"registered over {detail['transport']}")
        tried = [f"{t['transport']} {t['address']}" for t in detail.get("tried", [])]
        failed = [f"tcp 127.0.0.2:{world.server.sip_port}"] if wanted == "tcp" else []
        expect(world, tried == failed, f"tried before: {tried}")
        records = {a["record"] for e in run.events if e["event"] == "step-done" and e["step"] == "resolve"
                   for n in e["detail"]["names"] for a in n["answers"]}
        expect(world, {"SRV", "A"} <= records, f"asked for {records}")
        return f"over {wanted}, asked for {', '.join(sorted(records))}"

    return journey


def short_registration(transport):
    """The server grants 6 s: the binding is refreshed before it ends, again and again, without a loop."""

    def journey(world):
        run = world.z5("register", "--stay", "20s", transport=transport, expires=6)
        run.result(seconds=40)
        refreshed = [e["at_ms"] for e in run.events if e["event"] == "refreshed"]
        gaps = [round((b - a) / 1000, 1) for a, b in zip(refreshed, refreshed[1:])]
        expect(world, len(refreshed) >= 3, f"{len(refreshed)} refreshes in 20 s")
        expect(world, all(gap < 6 for gap in gaps), f"a gap of the binding: {gaps}")
        states = [e["state"] for e in run.events if e["event"] == "state"]
        expect(world, states.count("ready") == 1, f"states {states}")
        saved = world.server.registers()
        # the first one, the refreshes, the last one that takes the binding back
        expect(world, saved == len(refreshed) + 2, f"{saved} bindings saved for {len(refreshed)} refreshes")
        return f"{len(refreshed)} refreshes, {gaps} s apart, {saved} REGISTERs with credentials"

    return journey


def restart_while_registered(transport):
    """The server dies and comes back without its memory: the binding comes back too, unaided, at a lot within 64 s of a refusal."""

    def journey(world):
        run = world.z5("answer", "--wait", "120s", user="bob", transport=transport, expires=6)
        run.wait_event("ready")
        world.server.stop_kamailio()
        time.sleep(2)
        world.server.start_kamailio()
        began = time.monotonic()
        end = began + 75
        while world.server.registers() == 0:
            expect(world, time.monotonic() < end, "not registered again within 75 s")
            time.sleep(0.05)
        took = time.monotonic() - began
        call = world.z5("call", f"sip:bob@{REALM}", "--audio", "tone:440", "--duration", "1s", transport=transport)
        caller, callee = call.result(), run.result()
        expect(world, caller["call"]["established"] and callee["call"]["established"], "no call afterwards")
        return f"registered {took:.1f} s after the server was back, then called"

    return journey


def restart_mid_call(transport):
    """The server dies in a call and comes back: media goes on through the relay, and the BYE arrives."""

    def journey(world):
        peer = world.baresip()
        try:
            audio = ["--audio", world.media / "ours.wav", "--record", world.run / "record"]
            call = world.z5("call", f"sip:bob@{REALM}", "--duration", "9s", *audio, transport=transport, expires=6)
            call.wait_event("call-established")
            time.sleep(1)
            world.server.stop_kamailio()
            time.sleep(2)
            world.server.start_kamailio()
            result = call.result(seconds=40)
            peer.wait_event("CALL_CLOSED", 5)
        finally:
            peer.close()
        expect(world, result["call"]["ended_by"] == "local", f"ended by {result['call']['ended_by']}")
        received = result["call"]["audio"]["packets_received"]
        # 50 a second for 9 s; a gap of the 2 s without a server would leave 350
        expect(world, received > 420, f"{received} packets in 9 s")
        world.judge(peer)
        return f"{received} packets received in 9 s"

    return journey


def nat_forgets(world):
    """A NAT forgets its binding: STUN finds it out, a new flow is registered, and a call comes in over it."""
    nat = Nat(world.server.sip_port)
    try:
        stun = {"more": 'keep_alive = 1\nudp_keep_alive = "stun"\n'}
        answer = world.z5("answer", "--audio", "tone:1000", user="bob", transport="udp", proxy=nat.address, **stun)
        answer.wait_event("ready")
        until(5, "the server answers STUN", lambda: nat.answered)
        nat.forget()
        answer.wait_event("refreshed")
        call = world.z5("call", f"sip:bob@{REALM}", "--audio", "tone:440", "--duration", "2s", transport="udp")
        heard(world, call.result(), answer.result())
        return f"{nat.answered} answers to STUN"
    finally:
        nat.close()


JOURNEYS = {
    "register-tls": (over("tls"), {}),
    "register-udp": (over("udp"), {}),
    "stun-nat-forgets": (nat_forgets, {}),
    "bad-certificate": (bad_certificate, {}),
    "z5-calls-z5-tls": (z5_calls_z5(transport="tls"), {}),
    "z5-calls-z5-udp": (z5_calls_z5(transport="udp"), {}),
    # Each request is more than a datagram may be: it goes over TCP, the registration first of all.
    "z5-calls-z5-udp-large": (z5_calls_z5(transport="udp", more=f'display_name = "{"Alice " * 220}"'), {}),
    "z5-calls-z5-ipv6": (z5_calls_z5(ipv6=True), {}),
    "z5-calls-z5-ipv6-udp": (z5_calls_z5(ipv6=True, transport="udp"), {}),
    "z5-tls-calls-baresip": (z5_calls_baresip("tls"), {}),
    "z5-udp-calls-baresip": (z5_calls_baresip("udp"), {}),
    "rfc3263-naptr": (by_records("auto", "tls"), {}),
    "rfc3263-srv-failover": (by_records("tcp", "tcp"), {}),
    "rfc3263-srv-udp": (by_records("udp", "udp"), {}),
    "expires-6s": (short_registration("tcp"), {}),
    "expires-6s-udp": (short_registration("udp"), {}),
    "restart-registered": (restart_while_registered("tcp"), {}),
    "restart-registered-tls": (restart_while_registered("tls"), {}),
    "restart-registered-udp": (restart_while_registered("udp"), {}),
    "restart-mid-call": (restart_mid_call("tcp"), {}),
    "restart-mid-call-tls": (restart_mid_call("tls"), {}),
    "restart-mid-call-udp": (restart_mid_call("udp"), {}),
}
