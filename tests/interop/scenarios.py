"""The journeys with SIPp: which scenario of sipp/ each runs, how z5 is started for it, and what z5 must have said."""

import re

from sipp import Sipp


class Case:
    """A scenario, how z5 is run against it, and what is judged afterwards."""

    def __init__(self, arguments, calls, status=0, code=None, check=None, seconds=30, **config):
        self.config, self.arguments, self.calls, self.status, self.code = config, arguments, calls, status, code
        self.check, self.seconds = check, seconds


# z5 calls: the registration and the call are two calls of SIPp's
def dials(*more, calls=2, **judged):
    return Case(["call", "sip:bob@interop.test", "--audio", "tone", *more], calls, **judged)


# z5 is called: everything is one call of SIPp's
def answers(*more, calls=1, **judged):
    return Case(["answer", "--audio", "tone", *more], calls, **judged)


def held(events, result, messages):
    holds = [(e["local"], e["remote"]) for e in events if e["event"] == "call-hold"]
    return holds == [(True, False), (False, False)], f"holds {holds}"


def held_by_peer(events, result, messages):
    holds = [(e["local"], e["remote"]) for e in events if e["event"] == "call-hold"]
    return holds == [(False, True), (False, False)], f"holds {holds}"


def held_once(events, result, messages):
    holds = [(e["local"], e["remote"]) for e in events if e["event"] == "call-hold"]
    return holds == [(True, False)], f"holds {holds}"


def handed_over(events, result, messages):
    names = [e["event"] for e in events]
    return "transferred" in names and "transfer-progress" in names, f"events {names}"


def mail(events, result, messages):
    told = [e for e in events if e["event"] == "message-waiting"]
    first = told[0] if told else {}
    counts = [{"class": "multimedia-message", "new": 2, "old": 5}]
    return first.get("waiting") is True and first.get("counts") == counts, f"told {told}"


def told_to_wait(events, result, messages):
    wait = result["failure"].get("retry_after_s")
    return wait == 7, f"retry_after_s {wait}"


CASES = {
    "hold-by-z5": dials("--at", "300ms=hold", "--at", "700ms=resume", "--duration", "1200ms", check=held),
    "hold-by-peer": answers(check=held_by_peer),
    "glare": dials("--at", "300ms=hold", "--duration", "6s", check=held_once),
    "update": answers(check=held_by_peer),
    "session-timer": dials("--duration", "46s", seconds=60),
    "interval-too-brief": Case(["register"], 1),
    "unavailable": Case(["register"], 1, status=14, code="register.unavailable", check=told_to_wait),
    "forking": dials("--duration", "700ms"),
    "lost-ack-of-z5": dials("--duration", "700ms"),
    "lost-ack-of-peer": answers(),
    "record-route": dials("--duration", "700ms"),
    "prack-by-z5": dials("--duration", "700ms"),
    "prack-by-peer": answers("--ring", "1s"),
    "early-update": answers("--ring", "500ms"),
    "redirected": dials("--duration", "700ms"),
    "transfer-by-z5": dials("--at", "300ms=transfer:sip:carol@interop.test", check=handed_over),
    "transfer-by-peer": answers("--duration", "800ms", calls=2),
    "replaces": answers(),
    "message-waiting": Case(["register", "--stay", "600ms"], 2, check=mail, mwi="sip:alice@interop.test"),
    "answered-elsewhere": answers("--ring", "5s", status=15, code="call.answered-elsewhere"),
}


def journey(name):
    """One case as a journey of run.py."""

    def run(world):
        case = CASES[name]
        sipp = Sipp(world.run / "sipp", name, case.calls, case.seconds)
        world.server = sipp
        try:
            z5 = world.z5(*case.arguments, **case.config)
            result = z5.result(status=case.status, seconds=case.seconds)
            sipp.result()
        finally:
            sipp.close()
        if case.code:
            code = (result["failure"] or {}).get("code")
            if code != case.code:
                raise world.failed(f"code {code}")
        if case.check:
            held, seen = case.check(z5.events, result, sipp.messages())
            if not held:
                raise world.failed(seen)

    return run


JOURNEYS = {f"sipp-{name}": (journey(name), None) for name in CASES}
