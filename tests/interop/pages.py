"""The page of a report in a real browser (headless Chromium): what its DOM says, that it asks for nothing, and that its policy holds.

Chromium runs in a network namespace without any interface, so that neither a page nor the browser itself can reach anything; what the page tried to fetch
stands in the browser's record of its network, what it complained of in its log.
"""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

SECTIONS = ["verdict", "steps", "streams", "text", "negotiation", "sip", "events", "environment"]
WIDTHS = (1280, 400)
# What the browser asks for on its own account, whatever page is open.
OWN = r"https?://((accounts|clients\d*|update|content-autofill|optimizationguide-pa|safebrowsing|redirector|edgedl)\.)?(google|googleapis|gvt1)\.com/"


class Dom(HTMLParser):
    """Ids, headings and whatever would fetch something."""

    def __init__(self):
        super().__init__()
        self.ids, self.tags, self.fetches, self.text = [], {}, [], []

    def handle_starttag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "srcset", "data", "action", "poster") or (name == "href" and not (value or "").startswith("#")):
                self.fetches.append(f"{tag} {name}={value}")
            if name == "style" or name.startswith("on"):
                self.fetches.append(f"{tag} {name}")

    def handle_data(self, data):
        self.text.append(data)


def browser():
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if shutil.which(name):
            return name
    raise RuntimeError("no chromium: run tests/interop/install.sh")


def open_page(run, page, width, dark, *what):
    """Runs the browser on one page; gives its standard output and its log."""
    log = run / "chromium.log"
    log.unlink(missing_ok=True)
    command = [
        "unshare", "--net", browser(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={run / 'browser'}",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
        f"--log-net-log={run / 'net.json'}",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}", f"--window-size={width},2000",
        "--enable-logging", "--v=0", f"--log-file={log}", *what, f"file://{page}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RuntimeError(f"{browser()} ended with {done.returncode}: {done.stderr[-400:]}")
    return done.stdout, (log.read_text(errors="replace") if log.exists() else "") + done.stderr


def requests(run):
    """Every address that the page asked for, by the browser's own record; the browser's own business is left out by its scheme and host."""
    text = (run / "net.json").read_text()
    text = text if text.rstrip().endswith("}") else text.rstrip().rstrip(",") + "]}"
    events = json.loads(text)["events"]
    urls = {event["params"]["url"] for event in events if "url" in event.get("params", {})}
    return sorted(url for url in urls if not re.match(r"(file|data|chrome|devtools|about|blob):", url) and not re.match(OWN, url))


def check(run, page):
    """What is wrong with the page; empty when nothing is."""
    page = Path(page).resolve()
    markup, log = open_page(run, page, 1280, False, "--dump-dom")
    dom = Dom()
    dom.feed(markup)
    wrong = [f"no section {name}" for name in SECTIONS if name not in dom.ids]
    if dom.tags.get("h1") != 1 or dom.tags.get("h2", 0) < len(SECTIONS):
        wrong.append(f"headings: {dom.tags.get('h1')} h1, {dom.tags.get('h2')} h2")
    if "script" in dom.tags or dom.fetches:
        wrong.append(f"fetches or runs something: {dom.fetches[:3]} {dom.tags.get('script', 0)} scripts")
    said = [line for line in log.splitlines() if "CONSOLE" in line]
    if said:
        wrong.append(f"the console says: {said[:2]}")
    asked = requests(run)
    if asked:
        wrong.append(f"asked for {asked[:3]}")
    for width in WIDTHS:
        for dark in (False, True):
            picture = run / f"page-{width}-{'dark' if dark else 'light'}.png"
            open_page(run, page, width, dark, f"--screenshot={picture}")
            if not picture.exists() or picture.stat().st_size < 10_000:
                wrong.append(f"nothing to see at {width} pixels, {'dark' if dark else 'light'}")
    return wrong
