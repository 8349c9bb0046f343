"""Allowed licences: a list given to a call, or LLMPY_ALLOW_LICENSES."""

from __future__ import annotations

import os
from collections.abc import Iterable

from llmpy import checks
from llmpy.errors import LicenseRefused
from llmpy.hub.names import readable_name

__all__ = ["allowed_licenses", "check_license", "plain_license"]

VARIABLE = "LLMPY_ALLOW_LICENSES"


def allowed_licenses(given: Iterable[str] | None) -> frozenset[str] | None:
    """Return the allowed licences, in small letters: those given, else the variable's; None: all.

    An empty variable allows none, as an empty list does.
    """
    if given is None:
        found = os.environ.get(VARIABLE)
        if found is None:
            return None
        given = found.split(",")
    elif isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise checks.wrong_type("allow_licenses", "a list of licences", given)
    names = list(given)
    for name in names:
        if not isinstance(name, str):
            raise checks.wrong_type("allow_licenses", "a list of texts", name)
    return frozenset(name.strip().lower() for name in names if name.strip())


def check_license(name: str, license: str | None, allowed: frozenset[str] | None) -> None:
    """Raise LicenseRefused unless the licence is allowed; no licence is "unknown"."""
    if allowed is None or (license or "unknown").strip().lower() in allowed:
        return
    few = ", ".join(sorted(allowed)) or "none"
    raise LicenseRefused(
        f"{readable_name(name)}: its licence is {license or 'unknown'}; allowed (allow_licenses or "
        f"{VARIABLE}): {few}"
    )


def plain_license(found: object) -> str | None:
    """Return a licence as a source states it, as one short line; None where it states none."""
    if isinstance(found, list):
        found = ", ".join(x for x in found if isinstance(x, str))
    if not isinstance(found, str) or not found.strip():
        return None
    return readable_name(" ".join(found.split()))
