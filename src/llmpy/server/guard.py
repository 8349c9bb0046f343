"""Access control: keys, names in the Host header, and pages of other origins."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Callable
from urllib.parse import urlsplit

from llmpy.server.call import Call
from llmpy.server.errors import ApiError
from llmpy.server.settings import Settings

__all__ = ["Guard"]

OPEN = ("/health",)  # paths that need no key
KEYS = ("x-api-key", "api-key")  # headers that hold a key, beside Authorization
ALLOWED_HEADERS = "Authorization, Content-Type, X-Api-Key, Api-Key"
ALLOWED_METHODS = "GET, POST, PATCH, DELETE, HEAD, OPTIONS"


class Guard:
    """Lets requests in or refuses them; keys are compared in constant time.

    `is_open`: which paths, beside those that are always so, need no key.
    """

    def __init__(self, settings: Settings, is_open: Callable[[str], bool]) -> None:
        self._settings = settings
        self._is_open = is_open
        self._keys = [_digest(key) for key in settings.keys]

    def check(self, call: Call) -> None:
        """Refuse a request by an ApiError, or note the headers that its answer needs."""
        self._check_host(call)
        self._check_origin(call)
        if call.method != "OPTIONS" and call.path not in OPEN and not self._is_open(call.path):
            self._check_key(call)

    async def preflight(self, call: Call) -> None:
        """Answer an OPTIONS request that was let in."""
        wanted = call.headers.get("access-control-request-headers", "")
        headers = {
            "Allow": ALLOWED_METHODS,
            "Access-Control-Allow-Methods": ALLOWED_METHODS,
            "Access-Control-Allow-Headers": _clean(wanted) or ALLOWED_HEADERS,
            "Access-Control-Max-Age": "600",
        }
        if call.headers.get("access-control-request-private-network") == "true":
            headers["Access-Control-Allow-Private-Network"] = "true"
        await call.answer(b"", 204, headers=headers)

    def _check_host(self, call: Call) -> None:
        """Only names that are this machine's: a page cannot bind a name of its own to it."""
        allowed = self._settings.allow_hosts
        host = _host(call.headers.get("host", ""))
        if "*" in allowed or host in allowed or host in ("", "localhost", self._settings.host):
            return
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ApiError(
                403,
                f"the name {host[:100]!r} of the Host header is not one of this server's: start "
                "it with --allow-host NAME",
                code="host_not_allowed",
            ) from None

    def _check_origin(self, call: Call) -> None:
        origin = call.headers.get("origin")
        if origin is None:
            return
        allowed = self._settings.allow_origins
        if "*" not in allowed and origin not in allowed and not _is_own(origin, call):
            raise ApiError(
                403,
                f"pages of the origin {origin[:100]!r} may not use this server: start it with "
                "--allow-origin ORIGIN",
                code="origin_not_allowed",
            )
        call.more_headers |= {"Access-Control-Allow-Origin": _clean(origin), "Vary": "Origin"}

    def _check_key(self, call: Call) -> None:
        if not self._keys:
            return
        scheme, _, bearer = call.headers.get("authorization", "").partition(" ")
        given = [bearer.strip()] if scheme.lower() == "bearer" else []
        given += [call.headers[name] for name in KEYS if name in call.headers]
        digests = [_digest(key) for key in given]
        matches = [hmac.compare_digest(a, b) for a in digests for b in self._keys]
        if not any(matches):
            problem = "the key is wrong" if given else "a key is needed"
            raise ApiError(
                401,
                f"{problem}: send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


def _host(value: str) -> str:
    """The host of "host:port", without the brackets of IPv6."""
    if value.startswith("["):
        return value[1:].partition("]")[0].lower()
    return value.partition(":")[0].lower()


def _is_own(origin: str, call: Call) -> bool:
    """Whether a page came from this server itself."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc == call.headers.get("host")


def _clean(value: str) -> str:
    """A header's value to send back, without what could end it."""
    return "".join(c for c in value if c.isprintable() and c.isascii())[:1000]
