"""z5's address book against Radicale, a CardDAV server with collection synchronisation, over TLS on 127.0.0.1."""

import base64
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request

USER, PASSWORD = "alice", "alice-pw"
CARDS = 1000


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Radicale:
    """A server of its own with an empty address book of one user."""

    def __init__(self, folder):
        folder.mkdir(parents=True)
        self.folder, self.port = folder, free_port()
        key = ["-newkey", "rsa:2048", "-nodes"]

        def openssl(*arguments):
            subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

        openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=interop CA")
        openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=127.0.0.1")
        (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-out", "server.pem", "-days", "2", "-extfile", "names")
        (folder / "users").write_text(f"{USER}:{PASSWORD}\n")
        (folder / "config").write_text(
            f"[server]\nhosts = 127.0.0.1:{self.port}\nssl = True\ncertificate = {folder}/server.pem\nkey = {folder}/server.key\n"
            f"[auth]\ntype = htpasswd\nhtpasswd_filename = {folder}/users\nhtpasswd_encryption = plain\ndelay = 0\n"
            f"[storage]\nfilesystem_folder = {folder}/collections\n[rights]\ntype = owner_only\n[logging]\nlevel = warning\n"
        )
        self.trust = ssl.create_default_context(cafile=folder / "ca.pem")
        self.log = (folder / "log").open("wb")
        self.child = subprocess.Popen(["radicale", "--config", str(folder / "config")], stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 20
        while True:
            try:
                self.ask("MKCOL", "", '<?xml version="1.0"?><D:mkcol xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav"><D:set>'
                         "<D:prop><D:resourcetype><D:collection/><C:addressbook/></D:resourcetype></D:prop></D:set></D:mkcol>")
                return
            except OSError as error:
                if isinstance(error, urllib.error.HTTPError) or time.monotonic() > deadline:
                    self.close()
                    raise

    @property
    def origin(self):
        return f"https://127.0.0.1:{self.port}"

    @property
    def uri(self):
        return f"{self.origin}/{USER}/contacts/"

    def ask(self, method, file, body=None, **headers):
        request = urllib.request.Request(self.uri + file, method=method, data=body.encode() if body else None)
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        with urllib.request.urlopen(request, context=self.trust, timeout=20) as reply:
            return reply.read().decode()

    def put(self, uid, name, *lines):
        text = "\r\n".join(["BEGIN:VCARD", "VERSION:4.0", f"UID:{uid}", f"FN:{name}", *lines, "END:VCARD", ""])
        self.ask("PUT", f"{uid}.vcf", text, Content_Type="text/vcard; charset=utf-8")

    def cards(self):
        """Every card whole, as one text."""
        return self.ask("GET", "")

    def close(self):
        self.child.terminate()
        self.child.wait()
        self.log.close()


def journey(steps, host_alone=False):
    def run(world):
        server = Radicale(world.run / "radicale")
        try:
            world.server = server
            server.ca = server.folder / "ca.pem"
            config = world.config(proxy="127.0.0.1:9")
            text = config.read_text()
            config.write_text(
                f'{text}\n[contacts]\nuri = "{server.origin if host_alone else server.uri}"\nusername = "{USER}"\npassword = "{PASSWORD}"\n'
            )

            def z5(*arguments, status=0):
                return world.z5_contacts(config, *arguments).result(status, seconds=300)

            return steps(world, server, z5)
        finally:
            server.close()

    return run


def both_ways(world, server, z5):
    """Sync, add from z5, change from outside, conflict, removal on either side."""
    def expect(truth, what):
        if not truth:
            raise world.failed(what)

    server.put("bob", "Bob", "TEL:+15555550102", "X-KEPT;P=q:r")
    first = z5("sync")["sync"]
    expect((first["added"], first["full"]) == (1, True), f"first sync: {first}")
    added = z5("add", "Dóra", "+15555550177")["sync"]
    expect(added["sent"] == 1 and added["unsent"] == 0, f"add: {added}")
    expect("FN:Dóra" in server.cards(), "the added card is not there")
    server.put("bob", "Robert", "TEL:+15555550102", "X-KEPT;P=q:r")
    news = z5("sync")["sync"]
    expect((news["changed"], news["full"]) == (1, False), f"delta: {news}")
    expect(z5("search", "robert")["contacts"][0]["name"] == "Robert", "the new name is not found")

    # both sides change the same card: ours by an import of the same UID
    ours = world.run / "ours.vcf"
    ours.write_text("BEGIN:VCARD\nVERSION:4.0\nUID:bob\nFN:Robert\nTEL:411\nEND:VCARD\n")
    z5("import", "--offline", ours)
    server.put("bob", "Robert", "TEL:+15555550102", "X-KEPT;P=q:r", "NOTE:from outside")
    merged = z5("sync")["sync"]
    expect((merged["merged"], merged["sent"], merged["unsent"]) == (1, 1, 0), f"conflict: {merged}")
    text = server.cards()
    for part in ["TEL:411", "+15555550102", "NOTE:from outside", "X-KEPT;P=q:r"]:
        expect(part in text, f"{part} was lost: {text}")

    z5("remove", "Dóra")
    expect("Dóra" not in server.cards(), "the removed card is still there")
    server.ask("DELETE", "bob.vcf")
    gone = z5("sync")["sync"]
    expect((gone["removed"], gone["contacts"]) == (1, 0), f"removal outside: {gone}")
    return "sync, add, change outside, conflict, removal on either side"


def thousand(world, server, z5):
    """An import of many cards is sent, and a store that is new fetches them."""
    cards = world.run / "many.vcf"
    cards.write_text("".join(
        f"BEGIN:VCARD\nVERSION:3.0\nUID:many-{n}\nFN:Many {n}\nN:{n};Many;;;\nTEL;TYPE=CELL:+1555{n:07}\nNOTE:number {n}\\, of many\n"
        "END:VCARD\n" for n in range(CARDS)))
    began = time.monotonic()
    sent = z5("import", cards)
    took = time.monotonic() - began
    if (sent["imported"]["added"], sent["sync"]["sent"], sent["sync"]["unsent"]) != (CARDS, CARDS, 0):
        raise world.failed(f"import: {sent}")
    for folder in world.run.glob("z5"):
        shutil.rmtree(folder)
    began = time.monotonic()
    fetched = z5("sync")["sync"]
    if fetched["added"] != CARDS:
        raise world.failed(f"fetched: {fetched}")
    quiet = z5("sync")["sync"]
    if (quiet["added"], quiet["changed"], quiet["full"]) != (0, 0, False):
        raise world.failed(f"nothing is new: {quiet}")
    return f"{CARDS} cards sent in {took:.1f} s, fetched in {time.monotonic() - began:.1f} s"


JOURNEYS = {
    "radicale": (journey(both_ways), None),
    "radicale-discovery": (journey(both_ways, host_alone=True), None),
    "radicale-import": (journey(thousand), None),
}
