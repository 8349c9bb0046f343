"""HTTP as pulls need it: ranges, bounded answers, tokens that stay with their host.

Proxies are those of the environment (`HTTPS_PROXY`, `NO_PROXY`), certificates those of Python.
"""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from llmpy.errors import PullError
from llmpy.hub.names import readable_name

__all__ = ["TIMEOUT", "Broken", "check_address", "fetch_json", "open_range", "shown_address"]

TIMEOUT = 20.0  # seconds without a byte
PAUSE = 1.0  # seconds before metadata is asked for again
LARGEST_ANSWER = 32 << 20  # bytes of metadata
LONGEST_WAIT = 120  # seconds that a server may ask for before another try
AGAIN = {408, 425, 429, 500, 502, 503, 504}
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")


class Broken(Exception):
    """A connection or an answer that another try may do better, after `wait` seconds at least."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


def check_address(url: str, *, http_too: bool = False) -> str:
    """Return an address if it is https (or of this machine, or `http_too`); PullError otherwise."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = None, None
    if parts is None or not host or parts.scheme not in ("http", "https"):
        raise PullError(f"{shown_address(url)}: expected an address beginning with https://")
    if any(not "!" <= c <= "~" for c in url):
        raise PullError(f"{shown_address(url)}: expected an address without spaces")
    if parts.scheme == "http" and not http_too and host not in LOOPBACK:
        raise PullError(f"{shown_address(url)}: expected https, found http")
    return url


def shown_address(url: str) -> str:
    """Return an address for messages: without password, query and fragment."""
    plain = re.sub(r"[?#].*", "", url, flags=re.S)
    return readable_name(re.sub(r"//[^/]*@", "//", plain))


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to https only once there, and gives a token to no other host."""

    max_redirections = 8

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: Any,
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> urllib.request.Request | None:
        """The request that follows."""
        insecure = urllib.parse.urlsplit(req.full_url).scheme == "http"
        check_address(newurl, http_too=insecure)
        found = super().redirect_request(req, fp, code, msg, headers, newurl)
        if found is not None and _origin(found.full_url) != _origin(req.full_url):
            found.remove_header("Authorization")
        return found


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener for HTTP alone: no files, no FTP."""
    director = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        director.add_handler(handler)
    return director


def open_range(
    url: str, headers: Mapping[str, str], start: int
) -> tuple[http.client.HTTPResponse, int, int | None]:
    """Ask for a file from byte `start` on; return the answer, where it begins, and the whole size.

    An answer may begin at 0 all the same. The size is None where the server does not say it. Raises
    Broken for what another try may do better, PullError for what it cannot.
    """
    request = urllib.request.Request(
        url, headers={"User-Agent": "llmpy", "Accept-Encoding": "identity", **headers}
    )
    if start:
        request.add_header("Range", f"bytes={start}-")
    answer = _opened(request)
    try:
        return answer, *_extent(answer, url, start)
    except BaseException:
        answer.close()
        raise


def fetch_json(url: str, headers: Mapping[str, str], tries: int = 3) -> Any:
    """Return the JSON at an address; its size is bounded. Raises Broken or PullError."""
    for left in reversed(range(tries)):
        try:
            return _fetch_json(url, headers)
        except Broken as error:
            if not left:
                raise
            time.sleep(max(PAUSE, error.wait))
    raise AssertionError


def _fetch_json(url: str, headers: Mapping[str, str]) -> Any:
    request = urllib.request.Request(url, headers={"User-Agent": "llmpy", **headers})
    with _opened(request) as answer:
        try:
            data = answer.read(LARGEST_ANSWER + 1)
        except (OSError, http.client.HTTPException) as error:
            raise Broken(str(error) or type(error).__name__) from error
    if len(data) > LARGEST_ANSWER:
        raise PullError(
            f"{shown_address(url)}: expected at most {LARGEST_ANSWER >> 20} MiB of metadata, found "
            "more"
        )
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise PullError(f"{shown_address(url)}: expected JSON, found something else") from error


def _opened(request: urllib.request.Request) -> http.client.HTTPResponse:
    where = shown_address(request.full_url)
    try:
        answer = _opener().open(request, timeout=TIMEOUT)
        assert answer is not None
        return answer  # type: ignore[no-any-return]
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in AGAIN:
            header = error.headers.get("Retry-After", "").strip()
            wait = min(int(header), LONGEST_WAIT) if re.fullmatch(r"[0-9]{1,9}", header) else 0
            raise Broken(f"the server answers {error.code}", wait) from error
        raise PullError(f"{where}: {_meaning(error.code)}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise Broken(str(reason) or type(error).__name__) from error
    except (ValueError, UnicodeError) as error:  # what urllib says of a hostile Location
        raise PullError(f"{where}: the server's answer cannot be used ({error})") from error


def _meaning(code: int) -> str:
    reasons = {
        401: "it needs a token; set HF_TOKEN, or run hf auth login",
        403: "access is refused; accept the model's terms on its page, or use another token",
        404: "there is no such file",
        410: "it is no longer there",
        416: "the server refuses the range that was asked for",
    }
    return f"the server answers {code}" + (f": {reasons[code]}" if code in reasons else "")


def _extent(answer: http.client.HTTPResponse, url: str, start: int) -> tuple[int, int | None]:
    """Return the offset at which an answer begins, and the size of the whole file."""
    where = shown_address(url)
    if answer.headers.get("Content-Encoding", "identity").strip().lower() not in ("identity", ""):
        raise PullError(f"{where}: expected a file as it is, found it compressed")
    if answer.status == 200:
        return 0, answer.length
    if answer.status != 206 or not start:
        raise PullError(f"{where}: expected status {206 if start else 200}, found {answer.status}")
    header = answer.headers.get("Content-Range", "")
    found = _CONTENT_RANGE.fullmatch(header.strip())
    if found is None:
        raise Broken(f"Content-Range: expected a range, found {readable_name(header)!r}")
    first, last, size = map(int, found.groups())
    if first != start or not first <= last < size:
        raise Broken(
            f"Content-Range: expected to begin at {start}, found {readable_name(header)!r}"
        )
    return first, size
