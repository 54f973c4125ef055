"""The rules of `z5 firewall`, loaded into a network namespace of their own: what must go out goes out, everything else does not.

The namespace has one interface whose other end nobody listens at, with addresses for documentation (RFC 5737, RFC 3849); no packet
leaves it. The documented rows are loaded too, but no packet is sent to them. Needs root, nft and iptables.
"""

import errno
import json
import os
import socket
import subprocess
import sys

CONFIG = """profile = "generic"
[dns]
servers = ["192.0.2.53", "[2001:db8::53]:53"]
[sip]
domain = "sip.example"
username = "a"
password = "b"
proxy = "192.0.2.60:5070"
transport = "udp"
"""
ZED = """[dns]
hosts = { "z.example" = ["192.0.2.14"], "mcs.example" = ["192.0.2.21", "2001:db8::21"] }
[names]
zdial = "z.example"
mcs_lb = "mcs.example"
mcs = "mcs.example"
mcs_node1 = "mcs.example"
mcs_node2 = "mcs.example"
[zdial]
username = "a"
password = "b"
[licence]
issuer = "https://mcs.example"
audience = "z5"
keys = [{ kid = "k", x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }]
"""
# configuration: (what must go out, what must not), each protocol, address, port
CASES = {
    ZED: (
        [("tcp", "192.0.2.14", 443), ("tcp", "192.0.2.21", 443), ("tcp", "2001:db8::21", 5060),
         ("udp", "192.0.2.21", 10000), ("udp", "2001:db8::21", 65535), ("udp", "192.0.2.21", 40000)],
        [("udp", "192.0.2.14", 443), ("tcp", "192.0.2.14", 80), ("udp", "192.0.2.21", 9999),
         ("udp", "2001:db8::14", 10000), ("tcp", "192.0.2.21", 5061), ("udp", "192.0.2.53", 53)],
    ),
    CONFIG: (
        [("udp", "192.0.2.60", 5070), ("tcp", "192.0.2.60", 5070), ("udp", "192.0.2.99", 1024), ("udp", "2001:db8::99", 6000)],
        [("udp", "192.0.2.60", 1023), ("tcp", "192.0.2.60", 5060), ("tcp", "2001:db8::99", 6000)],
    ),
}


def sh(*command, text=None):
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class Nft:
    """A table that lets nothing out but what its chain z5 accepts, and counts what it drops."""

    def __init__(self):
        sh("nft", "add table inet filter; add chain inet filter output { type filter hook output priority 0; policy drop; }")

    def load(self, rules):
        sh("nft", "-f", "-", text=rules)

    def use(self):
        # neighbour discovery is not what is judged here
        sh("nft", "add rule inet filter output meta l4proto ipv6-icmp accept; "
                  "add rule inet filter output jump z5; add rule inet filter output counter")

    def dropped(self):
        rules = json.loads(sh("nft", "-j", "list", "chain", "inet", "filter", "output"))["nftables"]
        return [e["counter"]["packets"] for r in rules for e in r.get("rule", {}).get("expr", []) if "counter" in e][-1]

    def listing(self):
        return sh("nft", "list", "chain", "inet", "filter", "z5")


class Iptables:
    """The same with both families of iptables."""

    def __init__(self):
        for program in ("iptables", "ip6tables"):
            sh(program, "-N", "Z5")
            sh(program, "-P", "OUTPUT", "DROP")

    def load(self, rules):
        sh("sh", text=rules)

    def use(self):
        sh("ip6tables", "-A", "OUTPUT", "-p", "ipv6-icmp", "-j", "ACCEPT")
        for program in ("iptables", "ip6tables"):
            sh(program, "-A", "OUTPUT", "-j", "Z5")
            sh(program, "-A", "OUTPUT", "-m", "comment", "--comment", "rest")

    def dropped(self):
        lines = [line for p in ("iptables", "ip6tables") for line in sh(p, "-vnxL", "OUTPUT").splitlines() if "rest" in line]
        return sum(int(line.split()[0]) for line in lines)

    def listing(self):
        """Without the time in the comments and the counters of the chains, which change by themselves."""
        lines = (sh("iptables-save") + sh("ip6tables-save")).splitlines()
        return "\n".join(line.split(" [")[0] for line in lines if not line.startswith("#"))


def send(protocol, address, port):
    """One datagram, or the first packet of a connection; nobody answers here."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM) as s:
        s.setblocking(False)
        try:
            s.sendto(b"x", (address, port)) if protocol == "udp" else s.connect((address, port))
        except OSError as e:
            if e.errno not in (errno.EINPROGRESS, errno.EPERM):
                raise


def inside(kind, documented, cases):
    """Runs in the namespace; prints what is wrong."""
    sh("ip", "link", "set", "lo", "up")
    sh("ip", "link", "add", "probe0", "type", "veth", "peer", "name", "probe1")
    sh("ip", "link", "set", "probe1", "up")
    sh("ip", "address", "add", "192.0.2.2/24", "dev", "probe0")
    sh("ip", "-6", "address", "add", "2001:db8::2/64", "dev", "probe0", "nodad")
    sh("ip", "link", "set", "probe0", "up")
    # so that no packet waits for a neighbour that is not there
    addresses = {address for _, outs in cases for out in outs for _, address, _ in out}
    for address in addresses:
        sh("ip", "neighbour", "replace", address, "lladdr", "02:00:00:00:00:01", "dev", "probe0")
    firewall = {"nftables": Nft, "iptables": Iptables}[kind]()
    firewall.load(documented)
    if "10000" not in firewall.listing():
        print("the documented rows are not there after loading")
    used = False
    for rules, (permitted, denied) in cases:
        firewall.load(rules)
        once = firewall.listing()
        firewall.load(rules)
        if firewall.listing() != once:
            print("loading twice is not the same as loading once")
        if not used:
            firewall.use()
            used = True
        for wanted, places in ((0, permitted), (1, denied)):
            for place in places:
                before = firewall.dropped()
                send(*place)
                if min(firewall.dropped() - before, 1) != wanted:
                    print(f"{place} is {'dropped' if wanted == 0 else 'let out'}")


def journey(kind):
    def run(world):
        folder = world.run
        z5 = os.environ.get("Z5", "z5")
        rules = [sh(z5, "firewall", "--format", kind)]
        for number, config in enumerate(CASES):
            file = folder / f"{number}.toml"
            file.write_text(config)
            rules.append(sh(z5, "--config", str(file), "firewall", "--format", kind))
        order = json.dumps([kind, rules[0], list(zip(rules[1:], CASES.values(), strict=True))])
        done = subprocess.run(
            ["unshare", "--net", sys.executable, __file__], input=order, capture_output=True, text=True, timeout=60
        )
        if done.returncode or done.stdout:
            raise world.failed((done.stdout + done.stderr).strip())
        places = sum(len(out) + len(kept) for out, kept in CASES.values())
        return f"{places} places as they must be"

    run.__doc__ = f"The rules for {kind}, loaded and tried."
    return run


JOURNEYS = {f"firewall-{kind}": (journey(kind), None) for kind in ("nftables", "iptables")}

if __name__ == "__main__":
    inside(*json.load(sys.stdin))
