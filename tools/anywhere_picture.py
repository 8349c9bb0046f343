"""Take the picture of docs/apps/anywhere.md: a text is completed, and a question is answered.

python -m tools.anywhere_picture docs/apps/anywhere.png --model smollm2

On Debian and Ubuntu: apt install xvfb openbox xdotool imagemagick mousepad arc-theme
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from llmpy.apps.anywhere.config import EXAMPLE
from tools import fetch_models

TEXT = "To bake bread, you need flour, water,"
QUESTION = "What is the capital of Norway?"
SCREEN = "1160x900"
WINDOW = 1080, 310
STEPS = (  # the caption of each picture
    "What is left of the cursor …",
    "<kbd>Ctrl</kbd><kbd>Alt</kbd><kbd>Space</kbd> goes on with it",
    "<kbd>Ctrl</kbd><kbd>Alt</kbd><kbd>Shift</kbd><kbd>Space</kbd> asks for a line …",
    "… and types the answer",
)
KEYFILE = """\
[org/xfce/mousepad/preferences/window]
client-side-decorations=true
menubar-visible=false
[org/xfce/mousepad/preferences/view]
use-default-monospace-font=false
font-name='DejaVu Sans 12'
word-wrap=true
"""
PAGE = """\
<!doctype html><style>
body { margin: 0; padding: 26px; width: 1120px; color: #33414f;
  font: 500 15px DejaVu Sans, sans-serif; background: linear-gradient(160deg, #e9eef3, #f3efe9);
  display: grid; grid-template-columns: 1fr 1fr; gap: 22px 26px; }
figure { margin: 0; }
figcaption { height: 26px; margin-bottom: 10px; display: flex; align-items: center; gap: 4px;
  white-space: pre; }
img { display: block; width: 100%; border-radius: 9px;
  box-shadow: 0 1px 3px #0003, 0 10px 30px #0f1f3026; }
kbd { font: 600 12px DejaVu Sans, sans-serif; padding: 3px 8px; border-radius: 6px;
  background: #fff; box-shadow: 0 1px 2px #0004; }
</style>"""


class Screen:
    """A display with a window manager, on which programs find nothing of the user."""

    def __init__(self, home: Path) -> None:
        self.home = home
        reading, writing = os.pipe()
        self.programs = [
            subprocess.Popen(
                ["Xvfb", "-displayfd", str(writing), "-screen", "0", f"{SCREEN}x24", "-dpi", "144"],
                pass_fds=[writing], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        ]  # fmt: skip
        os.close(writing)
        with open(reading, encoding="ascii") as number:
            display = f":{number.readline().strip()}"
        kept = ("PATH", "PYTHONPATH", "LLMPY_LIBRARY")
        self.environment = {name: os.environ[name] for name in kept if name in os.environ}
        self.environment |= {
            "DISPLAY": display, "HOME": str(home), "LANG": "C.UTF-8", "NO_AT_BRIDGE": "1",
            "DBUS_SESSION_BUS_ADDRESS": "disabled:", "GDK_SCALE": "2", "GTK_THEME": "Arc",
            "GSETTINGS_BACKEND": "keyfile",
        }  # fmt: skip
        self._write(".config/glib-2.0/settings/keyfile", KEYFILE)
        rc = Path("/etc/xdg/openbox/rc.xml").read_text("utf-8")
        self._write(".config/openbox/rc.xml", rc.replace("Clearlooks", "Breeze-ob"))
        self.start("openbox")

    def _write(self, name: str, text: str) -> None:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a program."""
        self.programs.append(
            subprocess.Popen(
                arguments,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                cwd=self.home,
                start_new_session=True,
            )
        )
        return self.programs[-1]

    def run(self, *arguments: str) -> str:
        """Run a command on the screen, return what it prints."""
        done = subprocess.run(
            arguments, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False, timeout=60,
        )  # fmt: skip
        return done.stdout.strip()

    def window(self, title: str) -> str:
        """Wait for a window, and return its id."""
        return until(lambda: self.run("xdotool", "search", "--onlyvisible", "--name", title))

    def picture(self) -> str:
        """What can be seen of the editor, as the address of an image."""
        time.sleep(0.7)
        file = self.home / "picture.png"
        size = "{}x{}+20+20".format(*WINDOW)
        self.run("import", "-window", "root", "-crop", size, "+repage", str(file))
        return f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}"

    def close(self) -> None:
        """End all programs."""
        for program in reversed(self.programs):
            program.terminate()
            program.wait()


def until(found: Callable[[], str], seconds: float = 60) -> str:
    """Wait until there is something, and return it."""
    end = time.monotonic() + seconds
    while not (there := found()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)
    return there


def take(screen: Screen, model: Path) -> list[str]:
    """Go through the steps; the image of each."""
    letter = screen.home / "Letter.txt"
    letter.touch()
    for path in (screen.home, *screen.home.rglob("*")):
        path.chmod(0o777)
    as_user = ["setpriv", "--reuid=nobody", "--clear-groups"] if os.geteuid() == 0 else []
    screen.start(*as_user, "mousepad", "--disable-server", str(letter))  # it warns of root
    editor = screen.window("Letter.txt")
    screen.run("xdotool", "windowmove", editor, "20", "20", "windowsize", editor, *map(str, WINDOW))
    config = EXAMPLE.replace('model = ""', f'model = "{model}"').replace("0.3", "0.0")
    config = config.replace("max_tokens = 400", "max_tokens = 400\ntemperature = 0.0", 1)
    path = screen.home / "config.toml"
    path.write_text(config, "utf-8")
    said = screen.start(sys.executable, "-m", "llmpy", "anywhere", "--config", str(path)).stderr
    assert said is not None

    def wait_for(word: str) -> None:
        for line in said:
            print(line, end="")
            if word in line:
                return
        raise RuntimeError("llmpy anywhere ended")

    wait_for("ready")
    screen.run("xdotool", "windowactivate", "--sync", editor)
    screen.run("xdotool", "type", "--delay", "20", TEXT)
    found = [screen.picture()]
    screen.run("xdotool", "key", "ctrl+alt+space")
    wait_for(": typed")
    found.append(screen.picture())
    screen.run("xdotool", "key", "End", "Return", "ctrl+alt+shift+space")
    window = screen.window("llmpy: ask")
    screen.run("xdotool", "type", "--delay", "20", QUESTION)
    screen.run("xdotool", "windowmove", window, "110", "165")
    found.append(screen.picture())
    screen.run("xdotool", "key", "Return")
    wait_for(": typed")
    return [*found, screen.picture()]


def main() -> None:
    """Take the steps, and draw them on one page."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        screen = Screen(Path(home))
        try:
            images = take(screen, fetch_models.path_of(given.model))
        finally:
            screen.close()
    figures = [
        f'<figure><figcaption>{STEPS[i]}</figcaption><img src="{images[i]}"></figure>'
        for i in (0, 2, 1, 3)  # a column for each of the two
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=given.chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1172, "height": 100}, device_scale_factor=1.5)
        page.set_content(PAGE + "".join(figures))
        page.screenshot(path=given.file, full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
