"""Reports of calls in a real browser, and the live view in a real terminal, against the mock carrier. Needs chromium and tmux, no other server."""

import os
import subprocess
from pathlib import Path

import pages
import terminal

Z5 = os.environ.get("Z5", "z5")
LOSS = "iptables -A INPUT -p udp --dport 10000:65535 -m statistic --mode random --probability 0.05 -j DROP"


def page(world, folder):
    wrong = pages.check(world.run, Path(folder) / "report.html")
    if wrong:
        raise world.failed("; ".join(wrong))


def report_pages(world):
    """The pages of a good call, a lossy one and one that failed, in headless Chromium, wide and narrow, light and dark."""
    subprocess.run([Z5, "demo", "--report", world.run / "good"], check=True, capture_output=True, timeout=60)
    page(world, world.run / "good")
    mock = terminal.Mock(Z5, world.run, "--fault", "sip.register-forbidden")
    try:
        command = [Z5, "--config", mock.config, "call", "echo", "--report", world.run / "failed"]
        done = subprocess.run(command, capture_output=True, timeout=60)
    finally:
        mock.close()
    if done.returncode != 14:
        raise world.failed(f"exit {done.returncode}, 14 wanted: {done.stderr[-300:]}")
    page(world, world.run / "failed")
    # A loopback interface of its own, on which one packet of twenty is lost.
    script = f"ip link set lo up; {LOSS}; exec {Z5} demo --report {world.run / 'lossy'}"
    done = subprocess.run(["unshare", "--net", "sh", "-c", script], capture_output=True, timeout=60)
    if done.returncode not in (0, 1):
        raise world.failed(f"lossy: exit {done.returncode}: {done.stderr[-300:]}")
    if "were lost on the way here" not in (world.run / "lossy" / "report.html").read_text():
        raise world.failed("the page of a lossy call does not say so")
    page(world, world.run / "lossy")
    return "no console message, no request, all sections"


def full_disk(world):
    """A disk that fills up under a report: the call ends cleanly, the result says why, and the exit status is 1."""
    disk = world.run / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", disk], check=True)
    try:
        run = subprocess.run(
            [Z5, "demo", "--json", "--report", disk / "out"], capture_output=True, text=True, timeout=60
        )
    finally:
        subprocess.run(["umount", disk], check=True)
    last = run.stdout.splitlines()[-1]
    if run.returncode != 1 or "report.written" not in last or '"unregistered":true' not in last or "the disk is full" not in last:
        raise world.failed(f"exit {run.returncode}: {last[-300:]}")


def live_view(world):
    """HELLO is typed to the echo far end and comes back; keys; another size; the terminal is sane afterwards."""
    page_of_call = terminal.typed_text_returns(Z5, world.run)
    if "HELLO" not in page_of_call.read_text():
        raise world.failed("the report has not what was typed")


def live_view_lost(world):
    """A terminal that goes away ends the call cleanly."""
    folder = terminal.lost_terminal_ends_the_call(Z5, world.run)
    text = (folder / "capsule.json").read_text()
    if '"unregistered":true' not in text or '"ended_by":"local"' not in text:
        raise world.failed("the call was not ended, or the registration not removed")


def live_view_plain(world):
    """Lines and no view with --plain, TERM=dumb, or a pipe."""
    terminal.plain_lines(Z5, world.run)


JOURNEYS = {
    "report-pages": (report_pages, None),
    "report-full-disk": (full_disk, None),
    "live-view": (live_view, None),
    "live-view-lost": (live_view_lost, None),
    "live-view-plain": (live_view_plain, None),
}
