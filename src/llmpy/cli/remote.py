"""Requests of commands to a server that runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from urllib.error import HTTPError

__all__ = ["ask", "server_options"]

F = TypeVar("F", bound=Callable[..., Any])
SECONDS = 30  # that an answer may take


def server_options(function: F) -> F:
    """Add --url and --api-key."""
    key = click.option("--api-key", "key", envvar="LLMPY_API_KEY", help="The server's key.")
    url = click.option(
        "--url",
        envvar="LLMPY_URL",
        default="http://127.0.0.1:8080",
        show_default=True,
        help="Where the server listens.",
    )
    return url(key(function))


def ask(url: str, key: str | None, path: str, body: Any = None) -> Any:
    """Return the JSON that a server answers; ClickException says what went wrong."""
    import json
    import urllib.error
    import urllib.request

    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    try:
        request = urllib.request.Request(url.rstrip("/") + path, data, headers)
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            raise click.ClickException(_reason(error)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise click.ClickException(f"no server answers at {url}: {reason}") from None


def _reason(error: HTTPError) -> str:
    """Return the server's message about an error."""
    import json

    try:
        found = json.load(error)["error"]
        return str(found["message"] if isinstance(found, dict) else found)
    except (ValueError, KeyError, TypeError):
        return f"the server answered {error.code} {error.reason}"
