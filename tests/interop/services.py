"""What a carrier has beside its SIP server, for run.py: a mailbox behind the proxy, and a list of xCards over HTTPS.

Both are small and ours: they say what the standards ask for and nothing about z5.
"""

import base64
import re
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SUMMARY = "Messages-Waiting: yes\r\nMultimedia-Message: {new}/5 (0/1)\r\n"


class Mailbox:
    """Takes subscriptions over UDP and says how many messages wait (RFC 3842, RFC 6665)."""

    def __init__(self, port, new):
        self.port, self.new, self.sent, self.open = port, new, 0, True
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        self.socket.settimeout(0.1)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while self.open:
            try:
                data, peer = self.socket.recvfrom(65535)
            except TimeoutError:
                continue
            if data.startswith(b"SUBSCRIBE "):
                self._subscribe(data.decode(), peer)

    def _subscribe(self, message, peer):
        lines = message.partition("\r\n\r\n")[0].split("\r\n")[1:]
        fields = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]

        def every(name):
            return [value for known, value in fields if known == name]

        def one(name, otherwise=""):
            return next(iter(every(name)), otherwise)

        here = f"Contact: <sip:mailbox@127.0.0.1:{self.port}>"
        there, expires = one("from"), one("expires", "300")
        own = one("to") if ";tag=" in one("to") else f"{one('to')};tag=mailbox"
        call = f"Call-ID: {one('call-id')}"
        answer = ["SIP/2.0 200 OK", *(f"Via: {via}" for via in every("via"))]
        answer += [f"Record-Route: {route}" for route in every("record-route")]
        answer += [f"From: {there}", f"To: {own}", call, f"CSeq: {one('cseq')}", here, f"Expires: {expires}"]
        self._send(answer, "", peer)
        self.sent += 1
        state = f"active;expires={expires}" if expires != "0" else "terminated;reason=timeout"
        contact = re.search(r"<([^>]+)>", one("contact")).group(1)
        notify = [f"NOTIFY {contact} SIP/2.0", f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bKmailbox{self.sent}"]
        notify += ["Max-Forwards: 70", *(f"Route: {route}" for route in every("record-route"))]
        notify += [f"From: {own}", f"To: {there}", call, f"CSeq: {self.sent} NOTIFY", here]
        notify += ["Event: message-summary", f"Subscription-State: {state}"]
        notify += ["Content-Type: application/simple-message-summary"]
        self._send(notify, SUMMARY.format(new=self.new), peer)

    def _send(self, lines, body, peer):
        head = "\r\n".join([*lines, f"Content-Length: {len(body)}"])
        self.socket.sendto(f"{head}\r\n\r\n{body}".encode(), peer)

    def close(self):
        self.open = False
        self.thread.join(2)
        self.socket.close()


class Cards:
    """A list of xCards by GET and POST with entity tags (RFC 9248 section 7.2, RFC 6351), for one user."""

    def __init__(self, certificate, key, user, password, cards):
        """`cards`: names with their numbers."""
        each = "".join(
            f"<vcard><uid><uri>urn:uuid:00000000-0000-4000-8000-{index:012d}</uri></uid><fn><text>{name}</text></fn>"
            f"<tel><uri>tel:{number}</uri></tel></vcard>"
            for index, (name, number) in enumerate(cards)
        )
        self.text = f'<?xml version="1.0"?><vcards xmlns="urn:ietf:params:xml:ns:vcard-4.0">{each}</vcards>'.encode()
        self.version, self.stored = 1, []
        wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        cards = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self, status, body=b"", **headers):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                if status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def known(self):
                if self.headers.get("Authorization") == wanted:
                    return True
                self.answer(401, WWW_Authenticate='Basic realm="cards"')
                return False

            def do_GET(self):
                if self.known():
                    self.answer(200, cards.text, Content_Type="application/vcard+xml", ETag=f'"{cards.version}"')

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if not self.known():
                    return
                with cards.lock:
                    if self.headers.get("If-Match", f'"{cards.version}"') != f'"{cards.version}"':
                        return self.answer(412)
                    cards.text, cards.version = body, cards.version + 1
                    cards.stored.append(body.decode())
                    self.answer(204, ETag=f'"{cards.version}"')

        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trust.load_cert_chain(certificate, key)
        self.server.socket = trust.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.server.daemon_threads = True
        self.uri = f"https://127.0.0.1:{self.server.server_address[1]}/{user}/contacts.xml"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(2)
