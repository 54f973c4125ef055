"""Real servers and clients on loopback for run.py: Kamailio with rtpengine, dnsmasq, and baresip.

Each peer is started with a configuration filled in from the templates beside this file, waits until it answers,
and is stopped by `close()`. Nothing here judges z5; that is run.py's work.
"""

import json
import re
import select
import socket
import subprocess
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REALM = "interop.test"


class PeerError(Exception):
    """A peer did not start or did not do what the run needs of it."""


def free_port(count=1):
    """The first, even one of `count` consecutive ports that are free for TCP and UDP at this moment."""
    for _ in range(200):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind(("127.0.0.1", 0))
            # RTP wants even ports; the kernel hands out odd ones first
            first = probe.getsockname()[1] // 2 * 2
        if first + count > 65535:
            continue
        held = []
        try:
            for port in range(first, first + count):
                for each in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    s = socket.socket(socket.AF_INET, each)
                    held.append(s)
                    s.bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
        finally:
            for s in held:
                s.close()
    raise PeerError(f"no {count} free consecutive ports on 127.0.0.1")


def until(seconds, what, check):
    """Wait for an outside process: polls `check` every 20 ms, raises with `what` when the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = check()
        if value:
            return value
        time.sleep(0.02)
    raise PeerError(f"{what}: not within {seconds} s")


def modules(program):
    found = [p for depth in ("", "*/") for p in Path("/usr/lib").glob(f"{depth}{program}/modules")]
    if not found:
        raise PeerError(f"no {program} modules under /usr/lib: run tests/interop/install.sh")
    return found[0]


def fill(template, target, **values):
    text = (HERE / template).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    left = re.search(r"@[A-Z_]+@", text)
    if left:
        raise PeerError(f"{template}: no value for {left.group(0)}")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


class Process:
    """A child whose output goes to a file and that is gone after close()."""

    def __init__(self, name, log, *command, folder=None):
        self.name, self.log = name, log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as out:
            self.child = subprocess.Popen(
                [str(c) for c in command], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=folder
            )

    def require_alive(self):
        if self.child.poll() is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])
            raise PeerError(f"{self.name} ended with status {self.child.returncode}:\n{tail}")
        return True

    def close(self):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()


def answers_options(port):
    """True when a SIP server on `port` answers OPTIONS over TCP."""
    request = (
        f"OPTIONS sip:127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bKprobe\r\n"
        "Max-Forwards: 5\r\nFrom: <sip:probe@127.0.0.1>;tag=1\r\nTo: <sip:127.0.0.1>\r\nCall-ID: probe\r\n"
        "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as s:
            s.sendall(request.encode())
            return s.recv(200).startswith(b"SIP/2.0 ")
    except OSError:
        return False


def answers_ping(port):
    """True when rtpengine answers a ping on its control port (bencoded, a cookie first)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.2)
        try:
            s.connect(("127.0.0.1", port))
            s.send(b"probe d7:command4:pinge")
            return b"pong" in s.recv(200)
        except OSError:
            return False


class Server:
    """Kamailio (registrar and proxy with digest; TCP and UDP on both versions of IP, TLS) and rtpengine (media relay)."""

    def __init__(
        self, run, algorithm="MD5", max_expires=60, devices=False, realm=REALM, sip_port=None, peer=("nobody.invalid", None)
    ):
        """`devices`: an address has as many contacts as register for it, and all of them ring. `peer`: domain and SIP port of
        another provider; without a port one is chosen, `peer_port`, for a server that comes later. So is `mailbox_port`."""
        self.run, self.realm, self.sip_port, self.tls_port = run, realm, sip_port or free_port(), free_port()
        peer_realm, peer_port = peer
        self.peer_port, self.mailbox_port, ng_port = peer_port or free_port(), free_port(), free_port(2)
        rtp_first = free_port(80)
        self.processes, self.kamailio, self.starts = [], None, 0
        run.mkdir(parents=True, exist_ok=True)
        self.certificate(run, realm)
        self.ca = run / "ca.pem"
        try:
            self.processes.append(
                Process(
                    "rtpengine", run / "rtpengine.log", "rtpengine", "--config-file=none", "--foreground", "--log-stderr",
                    "--log-level=5",
                    "--table=-1", "--interface=127.0.0.1", "--interface=::1", f"--listen-ng=127.0.0.1:{ng_port}",
                    f"--port-min={rtp_first}", f"--port-max={rtp_first + 79}", "--num-threads=1",
                    "--timeout=60", "--delete-delay=0",
                )
            )
            # Kamailio gives a relay up that does not answer its first ping
            relay = self.processes[0]
            until(5, "rtpengine answers", lambda: relay.require_alive() and answers_ping(ng_port))
            fill(
                "kamailio.cfg.in", run / "kamailio.cfg", RUN=run, MODULES=modules("kamailio"), REALM=realm,
                PEER_REALM=peer_realm, PEER_PORT=self.peer_port, MAILBOX_PORT=self.mailbox_port,
                SIP_PORT=self.sip_port, TLS_PORT=self.tls_port, NG_PORT=ng_port, ALGORITHM=algorithm,
                MAX_EXPIRES=max_expires, SAVE="0x00" if devices else "0x04",
            )
            self.start_kamailio()
        except BaseException:
            self.close()
            raise

    @staticmethod
    def certificate(folder, realm=REALM):
        """An authority (ca.pem) and a certificate of it for the domain and for 127.0.0.1 and ::1."""
        (folder / "names").write_text(
            f"subjectAltName=DNS:{realm},IP:127.0.0.1,IP:::1\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n"
        )

        def openssl(*arguments):
            subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=interop CA")
        openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", f"/CN={realm}")
        openssl(
            "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "names", "-out", "server.pem",
        )

    def start_kamailio(self):
        """Starts the server; one that ran before has left no memory of bindings."""
        self.starts += 1
        self.log = self.run / f"kamailio-{self.starts}.log"
        self.kamailio = kamailio = Process(
            "kamailio", self.log, "kamailio", "-f", self.run / "kamailio.cfg", "-DD", "-E",
            "-m", "64", "-M", "8", "-Y", self.run, "-w", self.run,
        )
        until(10, "kamailio answers OPTIONS", lambda: kamailio.require_alive() and answers_options(self.sip_port))

    def stop_kamailio(self):
        self.kamailio.close()

    def registers(self):
        """REGISTERs that were taken since the server was started last."""
        return self.log.read_text(errors="replace").count("interop: REGISTER taken")

    def saw(self, words):
        """Whether the server's log has them: what it says it got."""
        return words in self.log.read_text(errors="replace")

    def close(self):
        for process in [p for p in [self.kamailio] if p] + self.processes[::-1]:
            process.close()


class Nat:
    """A NAT for SIP over UDP: each client leaves from a port of its own, until forget() and its next datagram."""

    def __init__(self, server_port):
        self.server = ("127.0.0.1", server_port)
        self.inside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.inside.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.inside.getsockname()[1]
        self.outside, self.answered, self.open = {}, 0, True
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def forget(self):
        """Every binding is gone; what the server sends to the old ones is lost."""
        old, self.outside = self.outside, {}
        for s in old.values():
            s.close()

    def _run(self):
        while self.open:
            outside = dict(self.outside)
            try:
                ready, _, _ = select.select([self.inside, *outside.values()], [], [], 0.05)
                for s in ready:
                    data, peer = s.recvfrom(65535)
                    if s is self.inside:
                        self._out(data, peer)
                    else:
                        # RFC 7983: STUN begins with a byte from 0 to 3
                        self.answered += data[0] < 4
                        client = next((c for c, own in outside.items() if own is s), None)
                        self.inside.sendto(data, client)
            except (OSError, ValueError):
                # a binding was forgotten, or a client left, between two looks
                continue

    def _out(self, data, client):
        if client not in self.outside:
            self.outside[client] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.outside[client].bind(("127.0.0.1", 0))
        self.outside[client].sendto(data, self.server)

    def close(self):
        self.open = False
        self.thread.join(2)
        self.forget()
        self.inside.close()


class NameServer:
    """dnsmasq with the records of the domain (RFC 3263): TLS first; of the TCP servers the first one does not exist."""

    def __init__(self, run, server):
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        lines = [
            f"port={self.port}", "listen-address=127.0.0.1", "bind-interfaces", "no-resolv", "no-hosts", "pid-file=",
            f"local=/{REALM}/", "user=root", f"host-record=there.{REALM},127.0.0.1", f"host-record=gone.{REALM},127.0.0.2",
            f"srv-host=_sips._tcp.{REALM},there.{REALM},{server.tls_port},10,60",
            f"srv-host=_sip._tcp.{REALM},gone.{REALM},{server.sip_port},10,60",
            f"srv-host=_sip._tcp.{REALM},there.{REALM},{server.sip_port},20,60",
            f"srv-host=_sip._udp.{REALM},there.{REALM},{server.sip_port},10,60",
            f"naptr-record={REALM},50,50,s,SIPS+D2T,,_sips._tcp.{REALM}",
            f"naptr-record={REALM},90,50,s,SIP+D2T,,_sip._tcp.{REALM}",
            f"naptr-record={REALM},100,50,s,SIP+D2U,,_sip._udp.{REALM}",
        ]
        (run / "dnsmasq.conf").write_text("\n".join(lines) + "\n")
        self.process = Process(
            "dnsmasq", run / "dnsmasq.log", "dnsmasq", "--keep-in-foreground", "--log-facility=-", "-C", run / "dnsmasq.conf"
        )
        try:
            until(5, "dnsmasq listens", lambda: self.process.require_alive() and self._listens())
        except BaseException:
            self.close()
            raise

    def _listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def close(self):
        self.process.close()


class Baresip:
    """One registered baresip. Speaks JSON in netstrings over its control socket (module ctrl_tcp)."""

    def __init__(self, run, server, user, wav, answer=True, encryption=None, codecs="PCMA,PCMU", rate=8000, video=None):
        self.run, self.buffer, self.events = run, b"", []
        sip_port, control, rtp = free_port(2), free_port(), free_port(20)
        run.mkdir(parents=True, exist_ok=True)
        fill(
            "baresip.in", run / "config", RUN=run, MODULES=modules("baresip"), SIP_PORT=sip_port, WAV=wav,
            RTP_FIRST=rtp, RTP_LAST=rtp + 19, CONTROL_PORT=control, RATE=rate,
        )
        if video:
            # what is received is decoded and can be taken as a snapshot
            with (run / "config").open("a") as config:
                config.write(
                    "module avcodec.so\nmodule avformat.so\nmodule fakevideo.so\nmodule snapshot.so\n"
                    f"video_source avformat,{video}\nvideo_display fakevideo\nvideo_size 320x240\nvideo_bitrate 400000\n"
                    "video_fps 25\nvidenc_format yuv420p\n"
                )
        (run / "contacts").write_text("")
        account = (
            f"<sip:{user}@{REALM};transport=tcp>;auth_user={user};auth_pass={user}-pw"
            f';outbound="sip:127.0.0.1:{server.sip_port};transport=tcp";regint=20'
            f";answermode={'auto' if answer else 'manual'};audio_codecs={codecs};ptime=20"
        )

        if encryption:
            account += f";mediaenc={encryption}"
        (run / "accounts").write_text(account + "\n")
        # snapshots go to where it was started
        self.process = Process(f"baresip {user}", run / "log", "baresip", "-4", "-s", "-f", run, folder=run)
        self.socket = None
        try:
            self.socket = until(5, "baresip's control socket", lambda: self.process.require_alive() and self._connect(control))
            until(8, f"baresip {user} registers", lambda: re.search(r"\bOK\b", self.command("reginfo")))
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _connect(port):
        try:
            return socket.create_connection(("127.0.0.1", port), 1)
        except OSError:
            return None

    def _message(self, seconds):
        end = time.monotonic() + seconds
        while True:
            size, colon, rest = self.buffer.partition(b":")
            if colon and len(rest) > int(size):
                self.buffer = rest[int(size) + 1 :]
                return json.loads(rest[: int(size)])
            left = end - time.monotonic()
            if left <= 0:
                return None
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                return None
            if not data:
                raise PeerError(f"{self.process.name} closed its control connection")
            self.buffer += data

    def command(self, name, parameters="", seconds=2):
        """Sends one command; its text answer without terminal colours. Events that come first are kept."""
        data = json.dumps({"command": name, "params": parameters, "token": "t"}).encode()
        self.socket.sendall(b"%d:%s," % (len(data), data))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            message = self._message(end - time.monotonic())
            if message and message.get("response"):
                return re.sub(r"\x1b\[[0-9;]*m", "", message.get("data", "")).strip()
            if message:
                self.events.append(message)
        raise PeerError(f"{self.process.name}: no answer to '{name}' within {seconds} s")

    def wait_event(self, kind, seconds):
        """Waits for a call event such as CALL_ESTABLISHED or CALL_CLOSED and returns it."""
        end = time.monotonic() + seconds
        while True:
            message = self.events.pop(0) if self.events else self._message(end - time.monotonic())
            if message is None:
                raise PeerError(f"{self.process.name}: no {kind} within {seconds} s")
            if message.get("event") and message.get("type") == kind:
                return message
            if message.get("type") == "CALL_CLOSED":
                raise PeerError(f"{self.process.name}: {message.get('param') or 'the call closed'} before {kind}")

    def heard(self):
        """The recording of what this side heard; complete only after close()."""
        found = sorted(self.run.glob("dump-*-dec.wav"))
        if not found:
            raise PeerError(f"{self.process.name} recorded nothing in {self.run}")
        return found[-1]

    def close(self):
        if self.socket:
            try:
                self.command("quit")
                self.process.child.wait(3)
            except (PeerError, OSError, subprocess.TimeoutExpired):
                pass
            self.socket.close()
        self.process.close()
