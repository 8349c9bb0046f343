"""A pull that is killed at any moment loses at most a chunk, and lists no half file."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmpy.hub.store import Store
from llmpy.hub.transfer import CHUNK
from tests.hub.server import Site, throttled

PULL = "import sys; from llmpy import pull; pull(sys.argv[1])"
SIZE = 5 * CHUNK // 2
RATE, SLOW = 120e6, 25e6  # bytes a second
LONGEST = 1.2  # seconds until a kill


class Killed:
    """A folder for models, and pulls into it that are killed."""

    def __init__(self, site: Site, seed: int) -> None:
        self.site, self.chance = site, random.Random(seed)
        data = self.chance.randbytes(SIZE)
        self.sha256 = hashlib.sha256(data).hexdigest()
        site.files["/model.gguf"], site.behave = data, throttled(RATE)
        self.store = Store()
        self.part = self.store.folder / f"model-{self.sha256[:12]}" / f"{self.sha256}.llmpy-part"
        self.completed = self.resumed = 0

    def once(self) -> None:
        """One pull, killed after a random time unless it ends before; then what must hold."""
        here = self.part.stat().st_size if self.part.exists() else 0
        n_before = len(self.site.asked)
        url = f"{self.site.url}/model.gguf#sha256={self.sha256}"
        process = subprocess.Popen([sys.executable, "-c", PULL, url], env=dict(os.environ))
        try:
            process.wait(self.chance.uniform(0.0, LONGEST))
        except subprocess.TimeoutExpired:
            process.kill()
        code = process.wait()
        assert code in (0, -signal.SIGKILL)
        for asked in self.site.asked[n_before:]:
            assert (asked.start or 0) >= here - CHUNK
            assert (asked.start or 0) % CHUNK == 0
            self.resumed += asked.start is not None
        listed = self.store.models()
        assert all(model.whole for model in listed)
        for model in listed:
            assert hashlib.sha256(model.path.read_bytes()).hexdigest() == self.sha256
        if code == 0:
            assert [model.name for model in listed] == ["model"]
            self.completed += 1
            self.store.remove("model")
            assert not self.part.parent.exists()


def kill(site: Site, times: int, seed: int) -> Killed:
    found = Killed(site, seed)
    for _ in range(times):
        found.once()
    return found


def test_ten_random_kills_leave_no_half_file(site: Site) -> None:
    kill(site, 10, seed=1)


@pytest.mark.full
def test_two_hundred_random_kills_leave_no_half_file(site: Site) -> None:
    found = kill(site, 200, seed=2)
    assert found.completed > 5
    assert found.resumed > 20


def test_a_kill_loses_no_whole_chunk(site: Site, tmp_path: Path) -> None:
    """Killed for certain in the third chunk, it goes on behind the second."""
    found = Killed(site, 3)
    site.behave = throttled(SLOW)
    url = f"{site.url}/model.gguf#sha256={found.sha256}"
    process = subprocess.Popen([sys.executable, "-c", PULL, url], env=dict(os.environ))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if found.part.exists() and found.part.stat().st_size > 2 * CHUNK:
            break
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert found.part.stat().st_size > 2 * CHUNK
    assert found.store.models() == []
    subprocess.run([sys.executable, "-c", PULL, url], check=True)
    assert site.starts == [None, 2 * CHUNK]
    (model,) = found.store.models()
    assert model.path.stat().st_size == SIZE
    assert tmp_path in model.path.parents


def test_a_pull_that_waits_takes_over_from_one_that_is_killed(site: Site) -> None:
    found = Killed(site, 4)
    site.behave = throttled(SLOW)
    url = f"{site.url}/model.gguf#sha256={found.sha256}"
    first = subprocess.Popen([sys.executable, "-c", PULL, url], env=dict(os.environ))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not found.part.exists():
        time.sleep(0.001)
    second = subprocess.Popen([sys.executable, "-c", PULL, url], env=dict(os.environ))
    while time.monotonic() < deadline and found.part.stat().st_size <= CHUNK:
        time.sleep(0.001)
    first.kill()
    first.wait()
    assert second.wait(60) == 0
    assert site.starts[0] is None
    assert site.starts[1:] in ([CHUNK], [2 * CHUNK])
    (model,) = found.store.models()
    assert hashlib.sha256(model.path.read_bytes()).hexdigest() == found.sha256
