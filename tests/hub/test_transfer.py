"""Downloads of one file from servers that drop, stall, lie, and send wrong bytes."""

from __future__ import annotations

import hashlib
import random
import re
import shutil
import threading
import time
from collections import namedtuple
from pathlib import Path

import pytest

from llmpy.errors import PullError
from llmpy.hub import transfer
from llmpy.hub.events import PullEvent, Report
from llmpy.hub.transfer import CHUNK, Digest, RemoteFile, check_room, download
from tests.hub.server import Answer, Site, dropping, extent_of, honest, stalling, throttled
from tests.threads import finish

SMALL = random.Random(2).randbytes(300_000)


def remote(site: Site, data: bytes, *, size: int | None = -1, wrong: str = "") -> RemoteFile:
    """The file at /file, as its source describes it."""
    site.files["/file"] = data
    sha = wrong or hashlib.sha256(data).hexdigest()
    known = len(data) if size == -1 else size
    return RemoteFile("model", f"{site.url}/file", known, Digest("sha256", sha))


def fetched(file: RemoteFile, folder: Path, report: Report | None = None) -> bytes:
    """What a download leaves at its target; nothing is beside it."""
    target = folder / "target"
    download(file, target, folder / "lock", report or Report(None))
    assert [p.name for p in folder.iterdir() if p.suffix == ".llmpy-part"] == []
    return target.read_bytes()


def part_of(file: RemoteFile, folder: Path) -> Path:
    return folder / f"{file.digest.hex}.llmpy-part"


@pytest.mark.parametrize("size", [-1, None])
@pytest.mark.parametrize("data", [b"", b"x", SMALL])
def test_a_file_comes_as_it_is(site: Site, tmp_path: Path, data: bytes, size: int | None) -> None:
    assert fetched(remote(site, data, size=size), tmp_path) == data


def test_a_connection_that_drops_goes_on_where_it_ended(site: Site, tmp_path: Path) -> None:
    chance = random.Random(3)
    site.behave = dropping(lambda: chance.randrange(60_000, 120_000))
    assert fetched(remote(site, SMALL), tmp_path) == SMALL
    assert len(site.starts) > 3
    assert site.starts[0] is None
    later = [start for start in site.starts[1:] if start is not None]
    assert later == sorted(set(later))


def test_a_server_that_only_drops_is_given_up(site: Site, tmp_path: Path) -> None:
    site.behave = dropping(lambda: 10)
    file = remote(site, SMALL)
    with pytest.raises(PullError, match=r"connection ended after .* \(6 tries\)\. .* are kept"):
        fetched(file, tmp_path)
    assert not (tmp_path / "target").exists()


def test_a_server_that_stalls_is_asked_again(site: Site, tmp_path: Path) -> None:
    site.behave = stalling(200_000, 5)
    assert fetched(remote(site, SMALL), tmp_path) == SMALL
    assert site.starts == [None, 200_000]


def test_a_server_that_trickles_is_asked_again(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "PATIENCE", 0.2)
    monkeypatch.setattr(transfer, "SLOWEST", 1_000_000)

    def trickle(answer: Answer, data: bytes, start: int | None) -> None:
        if len(site.asked) > 1:
            return honest(answer, data, start)
        answer.send_response(200)
        answer.send_header("Content-Length", str(len(data)))
        answer.end_headers()
        for at in range(100):
            answer.wfile.write(data[at : at + 1])
            time.sleep(0.02)
        return None

    site.behave = trickle
    events: list[PullEvent] = []
    assert fetched(remote(site, SMALL), tmp_path, Report(events.append)) == SMALL
    (retry,) = [event.text for event in events if event.kind == "retry"]
    assert re.fullmatch(r"\d+ bytes came in 0 seconds", retry)


@pytest.mark.parametrize("shift", [-1000, -1, 1, 1000])
def test_a_range_that_begins_elsewhere_is_not_taken(site: Site, tmp_path: Path, shift: int) -> None:
    def behave(answer: Answer, data: bytes, start: int | None) -> None:
        if start is None:
            return dropping(lambda: 150_000 if len(site.asked) == 1 else len(data))(
                answer, data, start
            )
        begin = start + shift
        answer.say(206, data[begin:], Content_Range=extent_of(data, begin))
        return None

    site.behave = behave
    assert fetched(remote(site, SMALL), tmp_path) == SMALL
    assert site.starts == [None, 150_000, None]


@pytest.mark.parametrize(
    "header",
    ["", "bytes 150000-299999/*", "bytes 1-0/5", "lines 1-2/3", "bytes -1-5/9", "b" * 9999],
)
def test_a_range_without_sense_is_not_taken(site: Site, tmp_path: Path, header: str) -> None:
    def behave(answer: Answer, data: bytes, start: int | None) -> None:
        if start is None:
            return dropping(lambda: 150_000 if len(site.asked) == 1 else len(data))(
                answer, data, start
            )
        answer.say(206, data[start:], Content_Range=header)
        return None

    site.behave = behave
    assert fetched(remote(site, SMALL), tmp_path) == SMALL


def test_a_server_without_ranges_does_not_lose_what_is_here(site: Site, tmp_path: Path) -> None:
    far = [100_000, 200_000, 300_000]

    def behave(answer: Answer, data: bytes, _start: int | None) -> None:
        dropping(lambda: far[len(site.asked) - 1])(answer, data, None)

    site.behave = behave
    assert fetched(remote(site, SMALL), tmp_path) == SMALL
    assert site.starts == [None, 100_000, 200_000]


def test_bytes_of_the_wrong_place_are_found_out(site: Site, tmp_path: Path) -> None:
    """The second answer says the right range and has the bytes of another."""

    def behave(answer: Answer, data: bytes, start: int | None) -> None:
        if len(site.asked) == 1:
            dropping(lambda: 150_000)(answer, data, start)
        elif start:
            answer.say(206, data[: len(data) - start], Content_Range=extent_of(data, start))
        else:
            honest(answer, data, start)

    site.behave = behave
    assert fetched(remote(site, SMALL), tmp_path) == SMALL


def test_wrong_bytes_are_downloaded_once_more(site: Site, tmp_path: Path) -> None:
    def behave(answer: Answer, data: bytes, start: int | None) -> None:
        flipped = bytes([data[0] ^ 1]) + data[1:]
        honest(answer, flipped if len(site.asked) == 1 else data, start)

    site.behave = behave
    assert fetched(remote(site, SMALL), tmp_path) == SMALL
    assert site.starts == [None, None]


def test_bytes_that_stay_wrong_leave_nothing(site: Site, tmp_path: Path) -> None:
    file = remote(site, SMALL, wrong="0" * 64)
    with pytest.raises(PullError, match=f"sha256: expected {'0' * 64}, found [0-9a-f]{{64}}"):
        fetched(file, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} <= {"lock"}


def test_a_file_of_another_size_is_refused(site: Site, tmp_path: Path) -> None:
    file = remote(site, SMALL, size=len(SMALL) - 1)
    with pytest.raises(PullError, match="size: expected 299999 bytes, found 300000"):
        fetched(file, tmp_path)


def test_more_bytes_than_were_said_are_not_kept(site: Site, tmp_path: Path) -> None:
    def behave(answer: Answer, data: bytes, _start: int | None) -> None:
        answer.send_response(200)
        answer.send_header("Transfer-Encoding", "chunked")
        answer.end_headers()
        for piece in (data, b"more" * 1000):
            answer.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        answer.wfile.write(b"0\r\n\r\n")

    site.behave = behave
    assert fetched(remote(site, SMALL), tmp_path) == SMALL


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_server_that_is_busy_is_asked_again(site: Site, tmp_path: Path, status: int) -> None:
    def behave(answer: Answer, data: bytes, start: int | None) -> None:
        if len(site.asked) < 3:
            answer.say(status, b"busy")
        else:
            honest(answer, data, start)

    site.behave = behave
    assert fetched(remote(site, SMALL), tmp_path) == SMALL


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7), ("99999", 120), ("soon", 0), ("-5", 0), ("9" * 99, 0)]
)
def test_a_server_says_when_to_ask_again(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: str, seconds: int
) -> None:
    def behave(answer: Answer, data: bytes, start: int | None) -> None:
        if len(site.asked) == 1:
            answer.say(429, b"", Retry_After=header)
        else:
            honest(answer, data, start)

    waited: list[float] = []
    monkeypatch.setattr(transfer.time, "sleep", waited.append)
    site.behave = behave
    assert fetched(remote(site, SMALL), tmp_path) == SMALL
    assert [round(pause) for pause in waited] == [seconds]


@pytest.mark.parametrize(
    ("status", "message"), [(401, "HF_TOKEN"), (403, "terms"), (404, "no such")]
)
def test_a_refusal_is_final_and_says_what_to_do(
    site: Site, tmp_path: Path, status: int, message: str
) -> None:
    site.behave = lambda answer, _data, _start: answer.say(status, b"")
    with pytest.raises(PullError, match=rf"answers {status}: .*{message}"):
        fetched(remote(site, SMALL), tmp_path)
    assert len(site.asked) == 1


def test_a_compressed_file_is_refused(site: Site, tmp_path: Path) -> None:
    site.behave = lambda answer, data, _: answer.say(200, data, Content_Encoding="gzip")
    with pytest.raises(PullError, match="found it compressed"):
        fetched(remote(site, SMALL), tmp_path)
    assert site.asked[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("file:///etc/passwd", "answers 302"),
        ("ftp://127.0.0.1/x", "expected an address beginning with https"),
        ("/file", "answers 302"),
        ("http://[::1", "cannot be used"),
    ],
)
def test_a_redirect_leads_nowhere_bad(
    site: Site, tmp_path: Path, location: str, message: str
) -> None:
    site.behave = lambda answer, _data, _start: answer.say(302, b"", Location=location)
    with pytest.raises(PullError, match=message):
        fetched(remote(site, SMALL), tmp_path)


def test_a_token_stays_with_its_host(site: Site, tmp_path: Path) -> None:
    def behave(answer: Answer, data: bytes, start: int | None) -> None:
        other = site.url.replace("127.0.0.1", "localhost")
        if answer.path == "/file":
            answer.say(302, b"", Location=f"{other}/elsewhere")
        else:
            honest(answer, data, start)

    file = remote(site, SMALL)
    site.behave, site.files["/elsewhere"] = behave, SMALL
    headers = {"authorization": "Bearer secret"}
    file = RemoteFile(file.name, file.url, file.size, file.digest, headers)
    assert fetched(file, tmp_path) == SMALL
    tokens = [asked.headers.get("Authorization") for asked in site.asked]
    assert tokens == ["Bearer secret", None]


def test_whole_chunks_of_an_earlier_call_are_kept(site: Site, tmp_path: Path, large: bytes) -> None:
    file = remote(site, large)
    part_of(file, tmp_path).write_bytes(large[: 2 * CHUNK + 12345])
    assert fetched(file, tmp_path) == large
    assert site.starts == [2 * CHUNK]


def test_bytes_after_the_last_whole_chunk_are_not_trusted(
    site: Site, tmp_path: Path, large: bytes
) -> None:
    """After a power cut a file may have its size without its bytes."""
    file = remote(site, large)
    part_of(file, tmp_path).write_bytes(large[:CHUNK] + bytes(CHUNK - 1))
    assert fetched(file, tmp_path) == large
    assert site.starts == [CHUNK]


def test_a_part_file_with_other_bytes_is_downloaded_again(
    site: Site, tmp_path: Path, large: bytes
) -> None:
    file = remote(site, large)
    part_of(file, tmp_path).write_bytes(bytes(CHUNK))
    assert fetched(file, tmp_path) == large
    assert site.starts == [CHUNK, None]


def test_a_part_file_that_is_too_long_begins_again(site: Site, tmp_path: Path) -> None:
    file = remote(site, SMALL)
    part_of(file, tmp_path).write_bytes(bytes(2 * CHUNK))
    assert fetched(file, tmp_path) == SMALL


def test_an_interrupt_leaves_what_came(
    site: Site, tmp_path: Path, large: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmpy.hub.events.PAUSE", 0.0)  # an event for each piece that comes
    file = remote(site, large)

    def interrupt(event: PullEvent) -> None:
        if event.kind == "download" and event.bytes_done > CHUNK + 1000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetched(file, tmp_path, Report(interrupt))
    kept = part_of(file, tmp_path).stat().st_size
    assert kept > CHUNK
    assert not (tmp_path / "target").exists()
    assert fetched(file, tmp_path) == large
    assert site.starts == [None, kept // CHUNK * CHUNK]


def test_two_at_once_share_one_download(site: Site, tmp_path: Path, large: bytes) -> None:
    file, found, kinds = remote(site, large), [], set[str]()
    site.behave = throttled(80e6)

    def fetch() -> None:
        report = Report(lambda event: kinds.add(event.kind))
        found.append(fetched(file, tmp_path, report))

    threads = [threading.Thread(target=fetch) for _ in range(2)]
    for thread in threads:
        thread.start()
    finish(*threads)
    assert found == [large, large]
    assert site.starts == [None]
    assert "wait" in kinds


def test_what_is_here_is_not_asked_for(site: Site, tmp_path: Path) -> None:
    file = remote(site, SMALL)
    fetched(file, tmp_path)
    fetched(file, tmp_path)
    assert len(site.asked) == 1


def test_room_on_the_disk_is_looked_at_first(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 70 << 20))
    with pytest.raises(PullError, match=r"100\.0 MB are needed .* 73\.4 MB are free.*LLMPY_MODELS"):
        check_room(tmp_path / "not" / "there", 100_000_000)
    with pytest.raises(PullError, match="are free"):
        fetched(remote(site, bytes(9 << 20)), tmp_path)
    assert fetched(remote(site, SMALL), tmp_path) == SMALL


def test_a_file_that_cannot_grow_is_named(site: Site, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(PullError, match=r"llmpy-part: it cannot be written \("):
            fetched(remote(site, SMALL), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert fetched(remote(site, SMALL), tmp_path) == SMALL


def test_progress_says_how_fast_and_how_long_still(site: Site, tmp_path: Path) -> None:
    events: list[PullEvent] = []
    site.behave = throttled(1e6)
    data = random.Random(4).randbytes(1_500_000)
    report = Report(events.append)
    report.total = len(data)
    fetched(remote(site, data), tmp_path, report)
    timed = [event for event in events if event.speed]
    assert timed
    for event in timed:
        assert event.speed is not None
        assert event.bytes_total == len(data)
        assert event.seconds_left == pytest.approx((len(data) - event.bytes_done) / event.speed)


@pytest.mark.parametrize("hexadecimal", ["", "0" * 63, "../" + "0" * 61, "G" * 64, "A" * 64])
def test_a_checksum_that_is_none_is_refused(hexadecimal: str) -> None:
    with pytest.raises(PullError, match="checksum: expected sha256"):
        Digest("sha256", hexadecimal)


def test_the_name_of_a_small_file_in_git_is_a_checksum_too(site: Site, tmp_path: Path) -> None:
    name = hashlib.sha1(b"blob 5\0hello").hexdigest()
    site.files["/file"] = b"hello"
    file = RemoteFile("x", f"{site.url}/file", 5, Digest("git", name))
    assert fetched(file, tmp_path) == b"hello"
    assert re.fullmatch("[0-9a-f]{40}", name)
