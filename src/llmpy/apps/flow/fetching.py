"""HTTP GET from hosts of a list, redirects too, with limits of size and time."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from llmpy.apps.flow.graph import FlowError

__all__ = ["get"]

MOST_BYTES = 8 << 20
CHUNK = 64 << 10


def get(
    url: str, hosts: Sequence[str], seconds: float, check: Callable[[], object]
) -> tuple[str, int]:
    """Return the text at an address, and the status; FlowError for all that goes wrong.

    `hosts` are those that may be asked, "*" for any. `check` is called as bytes arrive, and may
    raise.
    """
    _check_url(url, hosts)
    opener = urllib.request.build_opener(_Redirects(hosts))
    request = urllib.request.Request(url, headers={"User-Agent": "llmpy-flow"})
    end = time.monotonic() + seconds
    try:
        with opener.open(request, timeout=seconds) as answer:
            data = b""
            while chunk := answer.read1(CHUNK):
                check()
                data += chunk
                if len(data) > MOST_BYTES:
                    raise FlowError(f"{url}: expected up to {MOST_BYTES} bytes, found more")
                if time.monotonic() > end:
                    raise FlowError(f"{url}: it took more than {seconds:g} seconds")
            charset = answer.headers.get_content_charset() or "utf-8"
            status = answer.status
    except urllib.error.HTTPError as error:
        with error:
            raise FlowError(f"{url}: the server answered {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, FlowError):
            raise
        raise FlowError(f"{url}: {getattr(error, 'reason', error)}") from None
    try:
        return data.decode(charset, "replace"), status
    except LookupError:
        return data.decode("utf-8", "replace"), status


def _check_url(url: str, hosts: Sequence[str]) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise FlowError(f"url: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise FlowError(f"url: expected http:// or https:// and a host, found {url!r:.100}")
    if "*" not in hosts and host not in {one.lower() for one in hosts}:
        allowed = ", ".join(hosts) or "none"
        raise FlowError(f"the host {host!r:.100} is not allowed (--allow-http has: {allowed})")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to allowed hosts only."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self._hosts = hosts

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        """Check where it leads first."""
        _check_url(newurl, self._hosts)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
