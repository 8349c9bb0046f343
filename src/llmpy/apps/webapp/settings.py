"""Settings of the user, kept in settings.json of the app's folder."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import msgspec

from llmpy.apps.webapp.records import Record
from llmpy.server import ApiError, Settings, bad_value, is_loopback

__all__ = ["AppSettings", "SettingsFile"]

log = logging.getLogger("llmpy.app")

HIDDEN = "•••"
NEEDS_RESTART = ("host", "port", "keys")


class AppSettings(msgspec.Struct, kw_only=True, frozen=True):
    """The settings that are kept; None is the program's own choice."""

    n_threads: int | None = None
    n_ctx: int | None = None
    memory: int | None = None
    keep_alive: float | None = None
    kv_dtype: Literal["auto", "int14", "f16", "f32", "q8_0", "q4_0"] | None = None
    host: str | None = None
    port: int | None = None
    keys: list[str] = []
    licenses: list[str] | None = None
    theme: Literal["system", "light", "dark"] = "system"
    last_model: str | None = None


class SettingsFile:
    """The settings, and the file they are in; one that cannot be read is as if there were none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.values = self._read()
        self._begun = self.values  # with which the server was started

    def shown(self) -> Record:
        """All of them as the interface has them: keys are hidden."""
        found = msgspec.to_builtins(self.values)
        del found["last_model"]
        found["keys"] = [HIDDEN + key[-4:] for key in self.values.keys]
        found["restart"] = any(
            getattr(self.values, name) != getattr(self._begun, name) for name in NEEDS_RESTART
        )
        return dict(found)

    def change(self, given: Record) -> None:
        """Set some of them; ApiError names what is wrong."""
        known = {field.name for field in msgspec.structs.fields(AppSettings)} - {"last_model"}
        fields = {name: value for name, value in given.items() if name in known}
        if isinstance(fields.get("keys"), list):
            fields["keys"] = [self._shown_key(key) for key in fields["keys"]]
        try:
            values = msgspec.convert({**msgspec.to_builtins(self.values), **fields}, AppSettings)
        except msgspec.ValidationError as error:
            found = bad_value(error)
            found.code = "invalid_value"
            raise found from None
        _check(values)
        self._write(values)

    def remember_model(self, name: str) -> None:
        """Keep the name of the model that was used last."""
        if self.values.last_model != name:
            self._write(msgspec.structs.replace(self.values, last_model=name))

    def for_server(self, base: Settings) -> Settings:
        """The settings of a server, with what the user has set of how models are loaded."""
        import dataclasses

        values = self.values
        return dataclasses.replace(
            base,
            n_threads=base.n_threads if values.n_threads is None else values.n_threads,
            n_ctx=base.n_ctx if values.n_ctx is None else values.n_ctx,
            memory=base.memory if values.memory is None else values.memory,
            keep_alive=base.keep_alive if values.keep_alive is None else values.keep_alive,
            kv_dtype=base.kv_dtype if values.kv_dtype is None else values.kv_dtype,
        )

    def _shown_key(self, key: Any) -> Any:
        """The key that was told in a hidden form, or the key itself."""
        if isinstance(key, str) and key.startswith(HIDDEN):
            for known in self.values.keys:
                if HIDDEN + known[-4:] == key:
                    return known
        return key

    def _read(self) -> AppSettings:
        try:
            found = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return AppSettings()
        except (OSError, ValueError, RecursionError) as error:
            log.warning("%s: cannot be read (%s): the usual settings hold", self._path, error)
            return AppSettings()
        values = AppSettings()
        for name, value in found.items() if isinstance(found, dict) else ():
            with suppress(msgspec.ValidationError, ApiError, TypeError):  # each for itself
                one = msgspec.convert({**msgspec.to_builtins(values), name: value}, AppSettings)
                _check(one, alone=True)
                values = one
        return values

    def _write(self, values: AppSettings) -> None:
        text = json.dumps(msgspec.to_builtins(values), indent=1, ensure_ascii=False) + "\n"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".settings.", dir=self._path.parent)
        try:
            with open(handle, "w", encoding="utf-8") as file:  # of mode 600: it may have keys
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self._path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
        self.values = values


def _check(values: AppSettings, *, alone: bool = False) -> None:
    for name, least, most in (
        ("n_threads", 1, 4096),
        ("n_ctx", 16, 2**31 - 1),
        ("memory", 1 << 20, 2**62),
        ("keep_alive", 0, 10**9),
        ("port", 0, 65535),
    ):
        value = getattr(values, name)
        if value is not None and not least <= value <= most:
            raise _wrong(name, f"expected {least} to {most}, found {value}")
    for key in values.keys:
        if len(key.strip()) < 8 or not key.isascii() or not key.isprintable():
            raise _wrong("keys", "expected keys of 8 ASCII characters or more")
    if values.host is not None and not alone and not is_loopback(values.host) and not values.keys:
        raise _wrong(
            "host", f"{values.host!r} can be reached from other machines: set a key in keys first"
        )


def _wrong(field: str, problem: str) -> ApiError:
    return ApiError(400, f"{field}: {problem}", param=field, code="invalid_value")
