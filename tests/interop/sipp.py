"""SIPp as registrar, proxy and far end in one: scenarios of our own for what no friendly peer does on demand.

z5 connects to SIPp over TCP and registers there without a challenge. A scenario in sipp/ says what happens then: a call
from z5 is a SIPp call of its own; a call to z5 goes out within the SIPp call of the registration, under the Call-ID
`NAME///[call_id]`, which SIPp knows to be the same call. Blocks that every scenario needs stand here and are filled in
for @NAME@; what is expected of z5's messages stands in the scenario.
"""

import re
import subprocess
from pathlib import Path

from peers import HERE, REALM, PeerError, Process, free_port, until

SDP = """v=0
o=- 7 @VERSION@ IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
m=audio [media_port] RTP/AVP 8 101
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=@DIRECTION@
"""

# a response to the last request; more header lines and a body may follow the status
RESPONSE = """SIP/2.0 @STATUS@
[last_Via:]
[last_Record-Route:]
[last_From:]
[last_To:]@TAG@
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:peer@127.0.0.1:[local_port];transport=tcp>
"""


def body(direction="sendrecv", version=1):
    sdp = SDP.replace("@VERSION@", str(version)).replace("@DIRECTION@", direction)
    return f"Content-Type: application/sdp\nContent-Length: [len]\n\n{sdp}\n"


def response(status, *headers, tag=";tag=[pid]s[call_number]", sdp=None):
    lines = "".join(f"{header}\n" for header in headers)
    end = "Content-Length: 0\n\n" if sdp is None else sdp
    text = RESPONSE.replace("@STATUS@", status).replace("@TAG@", tag)
    if status.startswith("3"):
        # the Contacts of a redirection are where to go
        text = "".join(line for line in text.splitlines(True) if not line.startswith("Contact:"))
    return f"<send><![CDATA[\n\n{text}{lines}{end}\n]]></send>"


# The registrar: takes z5's binding, and takes it back at the end.
REGISTRAR = f"""
  <recv request="REGISTER" optional="true" next="90">
    <action><ereg regexp="sip:[^>]*" search_in="hdr" header="Contact:" assign_to="contact"/></action>
  </recv>"""
BINDING = response("200 OK", "Contact: <[$contact]>;expires=600", tag=";tag=r").replace(
    "Contact: <sip:peer@127.0.0.1:[local_port];transport=tcp>\n", ""
)
RELEASE = response("200 OK", tag=";tag=r").replace("Contact: <sip:peer@127.0.0.1:[local_port];transport=tcp>\n", "")
# The end of a scenario in which z5 calls.
REGISTRATION = f"""
  <nop next="99"/>
  <label id="90"/>
  {BINDING}
  <recv request="REGISTER"/>
  <!-- z5 hangs up at once then; other calls of SIPp's come to their end before -->
  <pause milliseconds="50"/>
  {RELEASE}
  <label id="99"/>"""
# The beginning and the end of one in which z5 is called.
REGISTERED = f"""
  <recv request="REGISTER">
    <action><ereg regexp="sip:[^>]*" search_in="hdr" header="Contact:" assign_to="contact"/></action>
  </recv>
  {BINDING}
  <pause milliseconds="100"/>"""
RELEASED = f"""{RELEASE}
  <Reference variables="contact"/>"""
UNREGISTERED = f"""
  <recv request="REGISTER"/>
  {RELEASED}"""


def request(method, cseq, *headers, call="a", uri="[$contact]", to_tag="[$tag]", sdp=None, branch="[branch]"):
    """A request of SIPp to z5 within call NAME; `$tag` is z5's, once it is known."""
    lines = "".join(f"{header}\n" for header in headers)
    end = "Content-Length: 0\n\n" if sdp is None else sdp
    to = f";tag={to_tag}" if to_tag else ""
    number = cseq.split()[0]
    return (
        f"<send><![CDATA[\n\n{method} {uri} SIP/2.0\n"
        f"Via: SIP/2.0/TCP 127.0.0.1:[local_port];branch={branch}\n"
        f"From: <sip:peer@{REALM}>;tag={call}1\nTo: <sip:alice@{REALM}>{to}\n"
        f"Call-ID: {call}///[call_id]\nCSeq: {number} {method}\nMax-Forwards: 70\n"
        f"Contact: <sip:peer@127.0.0.1:[local_port];transport=tcp>\n{lines}{end}\n]]></send>"
    )


def downward(method, cseq, *headers, uri="[$contact]", sdp=None, branch="[branch]"):
    """A request of SIPp to z5 within a call that z5 made: `$from` is z5's From, `$contact` its Contact."""
    lines = "".join(f"{header}\n" for header in headers)
    end = "Content-Length: 0\n\n" if sdp is None else sdp
    return (
        f"<send><![CDATA[\n\n{method} {uri} SIP/2.0\n"
        f"Via: SIP/2.0/TCP 127.0.0.1:[local_port];branch={branch}\n"
        f"From: <sip:bob@{REALM}>;tag=[pid]s[call_number]\nTo:[$from]\n"
        f"Call-ID: [call_id]\nCSeq: {cseq} {method}\nMax-Forwards: 70\n"
        f"Contact: <sip:peer@127.0.0.1:[local_port];transport=tcp>\n{lines}{end}\n]]></send>"
    )


# What the answer to an earlier request needs, when others have come since.
NOTED = """
    <action>
      <ereg regexp=".*" search_in="hdr" header="Via:" assign_to="via"/>
      <ereg regexp=".*" search_in="hdr" header="From:" assign_to="from"/>
      <ereg regexp=".*" search_in="hdr" header="To:" assign_to="to"/>
      <ereg regexp=".*" search_in="hdr" header="CSeq:" assign_to="cseq"/>
      <ereg regexp="sip:[^>]*" search_in="hdr" header="Contact:" assign_to="contact"/>
    </action>"""


def noted(status, *headers, tag=";tag=[pid]s[call_number]", sdp=None):
    """A response to the request whose headers were noted."""
    lines = "".join(f"{header}\n" for header in headers)
    end = "Content-Length: 0\n\n" if sdp is None else sdp
    return (
        f"<send><![CDATA[\n\nSIP/2.0 {status}\nVia:[$via]\nFrom:[$from]\nTo:[$to]{tag}\nCall-ID: [call_id]\n"
        f"CSeq:[$cseq]\nContact: <sip:peer@127.0.0.1:[local_port];transport=tcp>\n{lines}{end}\n]]></send>"
    )


def blocks():
    """Everything a scenario may name."""
    out = {
        "REALM": REALM,
        "REGISTRAR": REGISTRAR,
        "REGISTRATION": REGISTRATION,
        "REGISTERED": REGISTERED,
        "RELEASED": RELEASED,
        "UNREGISTERED": UNREGISTERED,
        "SDP": body(),
        "SDP_HOLD": body("sendonly", 2),
        "SDP_HELD": body("recvonly", 2),
        "SDP_INACTIVE": body("inactive", 2),
        "SDP_AGAIN": body("sendrecv", 3),
        "TRYING": response("100 Trying", tag=""),
        "RINGING": response("180 Ringing"),
        "OK_SDP": response("200 OK", sdp=body()),
        "OK": response("200 OK", tag=""),
        "INVITE": request("INVITE", "1", to_tag=None, sdp=body()),
        "ACK": request("ACK", "1"),
        "BYE": request("BYE", "9"),
        "TAG": '<action><ereg regexp=";tag=([^;]*)" search_in="hdr" header="To:" assign_to="whole,tag"/></action>',
        # bodies of NOTIFY: how far a transfer has come (RFC 3515 section 2.4.5), what waits in a mailbox
        "TRYING_FRAGMENT": "Content-Type: message/sipfrag\nContent-Length: [len]\n\nSIP/2.0 100 Trying\n",
        "OK_FRAGMENT": "Content-Type: message/sipfrag\nContent-Length: [len]\n\nSIP/2.0 200 OK\n",
        "SUMMARY": "Content-Type: application/simple-message-summary\nContent-Length: [len]\n\n"
        "Messages-Waiting: yes\nMultimedia-Message: 2/5 (0/1)\n",
        "BINDING": BINDING,
        "NOTED": NOTED,
        "NOTED_USED": '<Reference variables="via,from,to,cseq"/>',
        "TAG_USED": '<Reference variables="whole"/>',
    }
    return out


CALLS = re.compile(r"@([A-Z_]+)(?:\((.*?)\))?@", re.S)


def expand(text, values):
    """Fills @NAME@; @REQUEST(METHOD | CSEQ | header | ...)@, @DOWN(...)@, @RESPONSE(STATUS | header | ...)@ and
    @NOTED(...)@ make messages: an argument `sdp=NAME` puts that body in, `call=`, `tag=` and the like are those of the
    functions above."""

    def one(match):
        name, arguments = match.group(1), match.group(2)
        if arguments is None:
            if name not in values:
                raise PeerError(f"no block @{name}@")
            return values[name]
        words, named = [], {}
        for argument in (a.strip() for a in arguments.split("|")):
            key, eq, value = argument.partition("=")
            if eq and key in ("sdp", "call", "tag", "uri", "to_tag", "branch"):
                named[key] = values[value] if key == "sdp" else value
            else:
                words.append(argument)
        made = {"REQUEST": request, "RESPONSE": response, "DOWN": downward, "NOTED": noted}[name](*words, **named)
        return made

    return CALLS.sub(one, text)


class Sipp:
    """One SIPp that serves z5 with a scenario."""

    def __init__(self, run, scenario, calls, seconds=30):
        run.mkdir(parents=True, exist_ok=True)
        self.run, self.sip_port, media = run, free_port(), free_port(4)
        path = run / f"{scenario}.xml"
        path.write_text(expand((HERE / "sipp" / f"{scenario}.xml").read_text(), blocks()))
        self.process = Process(
            "sipp", run / "sipp.log", "timeout", seconds, "sipp", "-t", "t1", "-sf", path, "-i", "127.0.0.1",
            "-p", self.sip_port, "-mp", media, "-rtp_echo", "-m", calls, "-nostdin", "-timeout", f"{seconds - 2}s",
            "-timeout_error", "-trace_err", "-error_file", run / "errors.log", "-trace_msg", "-message_file",
            run / "messages.log",
        )
        until(5, "SIPp listens", lambda: self.process.require_alive() and self.listens())

    def listens(self):
        return f"127.0.0.1:{self.sip_port} " in subprocess.run(["ss", "-Hltn"], capture_output=True, text=True).stdout

    def result(self, seconds=30):
        """Waits for the scenario's end; raises with SIPp's own words when it failed."""
        try:
            status = self.process.child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise PeerError("SIPp still runs") from None
        if status != 0:
            errors = self.run / "errors.log"
            words = errors.read_text(errors="replace")[-1500:] if errors.exists() else ""
            raise PeerError(f"the scenario ended with status {status}: {words}")

    def messages(self):
        path = self.run / "messages.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def close(self):
        self.process.close()
