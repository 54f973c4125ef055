"""The live view in a real terminal (tmux): what is typed goes to the far end and comes back, keys do what they say, and the terminal is as it was
afterwards."""

import os
import shutil
import subprocess
import time
from pathlib import Path

PATIENCE_S = 20


class Tmux:
    """One terminal of 100 by 30 on a server of its own."""

    def __init__(self, run):
        if not shutil.which("tmux"):
            raise RuntimeError("no tmux: run tests/interop/install.sh")
        self.base = ["tmux", "-S", str(run / "tmux"), "-f", "/dev/null"]
        env = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PS1": "$ "}
        subprocess.run([*self.base, "new-session", "-d", "-x", "100", "-y", "30", "sh"], check=True, env=env)

    def tmux(self, *arguments):
        return subprocess.run([*self.base, *arguments], check=True, capture_output=True, text=True).stdout

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def type(self, text):
        self.tmux("send-keys", "-l", text)

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def wait(self, what, *words):
        """Until every word stands on the screen."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            screen = self.screen()
            if all(word in screen for word in words):
                return screen
            time.sleep(0.1)
        raise AssertionError(f"{what}: {words} did not come:\n{self.screen()}")

    def close(self):
        subprocess.run([*self.base, "kill-server"], check=False, capture_output=True)


class Mock:
    """The mock carrier and its configuration file."""

    def __init__(self, z5, run, *more):
        self.config = run / "mock.toml"
        command = [z5, "mock", "--json", "--write-config", str(self.config), *more]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        self.child.stdout.readline()

    def close(self):
        self.child.terminate()
        self.child.wait(timeout=10)
        self.child.stdout.close()


def shell_is_sane(terminal):
    """Echo, line by line, on the first screen."""
    terminal.keys("C-u")
    terminal.type("stty -a | grep -o ' echo \\| icanon'; echo sane-$((40+2))")
    terminal.keys("Enter")
    return terminal.wait("the shell after the call", "sane-42", " echo", "icanon")


def typed_text_returns(z5, run):
    """What --text says and HELLO to the echo far end and back, backspace, mute, help and the key that hangs up; returns what was seen."""
    mock, terminal = Mock(z5, run), Tmux(run)
    try:
        result = run / "exit"
        terminal.type(f"{z5} --config {mock.config} call echo --text PLAN --report {run / 'out'}; echo $? > {result}; echo over-$((1+1))")
        terminal.keys("Enter")
        terminal.wait("the view", "established", "You type here", "F10 hang up")
        for key in "HELLP":
            terminal.type(key)
        terminal.keys("BSpace")
        terminal.type("O")
        screen = terminal.wait("the echo", "│PLANHELLO")
        end = time.monotonic() + PATIENCE_S
        while screen.count("PLANHELLO") < 2 and time.monotonic() < end:
            time.sleep(0.1)
            screen = terminal.screen()
        assert screen.count("PLANHELLO") == 2, f"typed on one side and back on the other:\n{screen}"
        terminal.keys("F3")
        terminal.wait("mute", "sound muted")
        terminal.keys("F2")
        terminal.wait("hold", "on hold by us")
        terminal.keys("F2")
        terminal.keys("F1")
        terminal.wait("help", "twice: at once")
        terminal.keys("Escape")
        terminal.tmux("resize-window", "-x", "60", "-y", "24")
        terminal.wait("another size", "You type here")
        terminal.keys("F10")
        terminal.wait("the verdict on the first screen", "over-2", "PASS")
        assert result.read_text().strip() == "0", f"exit {result.read_text()}:\n{terminal.screen()}"
        shell_is_sane(terminal)
    finally:
        terminal.close()
        mock.close()
    return run / "out" / "report.html"


def lost_terminal_ends_the_call(z5, run):
    """The terminal goes away in a call: the call is ended and the registration removed; seen in the report, which is written then."""
    mock, terminal = Mock(z5, run), Tmux(run)
    try:
        out = run / "lost"
        terminal.type(f"exec {z5} --config {mock.config} call echo --report {out}")
        terminal.keys("Enter")
        terminal.wait("the view", "established", "F10 hang up")
        terminal.close()
        end = time.monotonic() + PATIENCE_S
        page = out / "report.html"
        while not page.exists() and time.monotonic() < end:
            time.sleep(0.1)
        assert page.exists(), "no report: the call did not end by itself"
    finally:
        terminal.close()
        mock.close()
    return Path(out)


def plain_lines(z5, run):
    """NO view with --plain, TERM=dumb or a pipe: lines from the beginning, and nothing that moves the cursor."""
    mock, terminal = Mock(z5, run), Tmux(run)
    try:
        call = f"{z5} --config {mock.config} call echo --duration 300ms"
        for number, command in enumerate([f"{call} --plain", f"TERM=dumb {call}", f"{call} | cat"]):
            terminal.type(f"clear; {command}; echo over-$((10+{number}))")
            terminal.keys("Enter")
            screen = terminal.wait(command, f"over-{10 + number}", "PASS")
            assert "You type here" not in screen and "call set-up" in screen, screen
    finally:
        terminal.close()
        mock.close()
