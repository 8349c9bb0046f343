"""Times as APIs write them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

__all__ = ["stamp"]


def stamp(seconds: float | None = None) -> str:
    """A time in UTC, as RFC 3339 has it; now by default."""
    moment = datetime.fromtimestamp(time.time() if seconds is None else seconds, UTC)
    return moment.isoformat().replace("+00:00", "Z")
