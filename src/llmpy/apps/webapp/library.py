"""The models of this machine as the page shows them, and what each would need here."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import llmpy
from llmpy.apps.webapp.records import Record
from llmpy.apps.webapp.settings import SettingsFile
from llmpy.server import ApiError, Offer, State, available_memory

__all__ = ["Library"]

log = logging.getLogger("llmpy.app")

TIGHT = 0.8  # of the free memory: what takes more is tight


class Library:
    """All models that may be used: those with a name, and those given by a path."""

    def __init__(self, settings: SettingsFile) -> None:
        self.server: State
        self._settings = settings
        self._stored: dict[str, llmpy.StoredModel] = {}
        self._needed: dict[tuple[Any, ...], int | None] = {}

    async def refresh(self) -> None:
        """Look at what is installed now."""
        stored = {m.name: m for m in await asyncio.to_thread(llmpy.models)}
        models = self.server.models
        for name, model in stored.items():
            with suppress(OSError):  # it was deleted just now
                models.offer(name, model.path)
        for name in [n for n in self._stored if n not in stored]:
            offer = models.offers.get(name)
            if offer is not None and offer.loaded is None and not offer.loading:
                await models.withdraw(name)
        self._stored = stored
        await asyncio.gather(*(self._plan(offer) for offer in list(models.offers.values())))

    def default(self) -> str | None:
        """The model to use where none is named."""
        offers = self.server.models.offers
        last = self._settings.values.last_model
        if last in offers:
            return last
        chosen = llmpy.default_name()
        if chosen in offers:
            return chosen
        return next((n for n in offers if not self._embeds(n)), None)

    def all(self) -> list[Record]:
        """The models, those for chats first."""
        offers = list(self.server.models.offers.values())
        found = [self.described(offer) for offer in offers]
        return sorted(found, key=lambda m: (m["good_for"] == "embeddings", m["name"].casefold()))

    def described(self, offer: Offer) -> Record:
        """A model as the interface has it."""
        stored = self._stored.get(offer.name)
        needed = self._needed.get(self._key(offer))
        loaded = offer.loaded
        return {
            "name": offer.name,
            "path": str(offer.path),
            "size": offer.n_bytes,
            "license": stored.license if stored else None,
            "good_for": stored.good_for if stored else "",
            "in_place": stored.in_place if stored else True,
            "source": stored.source if stored else str(offer.path),
            "added": stored.added if stored else "",
            "loaded": loaded is not None,
            "loading": offer.loading,
            "n_ctx": None if loaded is None else loaded.model.n_ctx,
            "needed": needed,
            "fits": self._fits(needed, offer),
            "users": offer.n_users,
        }

    def files(self, offer: Offer) -> list[Record]:
        """The files of a model, with the checksums that were computed when they came."""
        if (stored := self._stored.get(offer.name)) is None:
            return [{"path": str(offer.path), "size": offer.n_bytes, "sha256": None}]
        return [{"path": str(f.path), "size": f.size, "sha256": f.sha256} for f in stored.files]

    def cards(self) -> list[Record]:
        """The catalogue."""
        return [
            {
                "name": entry.name,
                "source": entry.source,
                "size": entry.size,
                "download": entry.download,
                "license": entry.license,
                "n_ctx": entry.n_ctx,
                "good_for": entry.good_for,
                "about": entry.about,
                "needed": _guessed(entry.size),
                "fits": self._fits(_guessed(entry.size), None),
                "installed": self._has(entry),
            }
            for entry in llmpy.CATALOGUE
        ]

    def _has(self, entry: llmpy.CatalogueEntry) -> bool:
        """Return whether a model of the catalogue is here, by name or as the same file."""
        if any(entry.source == model.source for model in self._stored.values()):
            return True
        file = entry.inside.rpartition("/")[2]
        offers = self.server.models.offers.values()
        return any(offer.n_bytes == entry.size and offer.path.name == file for offer in offers)

    def memory(self) -> Record:
        """Bytes of memory here; None where the system does not say."""
        return {"total": _total_memory(), "free": available_memory()}

    def find(self, name: Any) -> Offer:
        """The model of a name; ApiError 404."""
        if not isinstance(name, str):
            raise ApiError(400, "name: expected a text", param="name", code="invalid_value")
        return self.server.models.find(name)

    async def remove(self, name: str) -> int:
        """Delete a model's files; return the bytes freed."""
        if name not in self._stored:
            raise ApiError(
                400,
                f"{name!r} has no name among the installed models: it is a file that was named "
                "when the program was started",
                param="name",
                code="invalid_value",
            )
        await self.server.models.withdraw(name)
        try:
            return await asyncio.to_thread(llmpy.remove_model, name)
        finally:
            self._stored.pop(name, None)
            await self.refresh()

    def license_of(self, path: Path) -> str | None:
        """The licence of the model of a file, where it is known."""
        return next((m.license for m in self._stored.values() if m.path == path), None)

    def is_elsewhere(self, path: Path) -> bool:
        """Return whether a file belongs to another program, or lies where nothing can be added."""
        stored = next((m for m in self._stored.values() if m.path == path), None)
        return stored is None or stored.in_place or not os.access(path.parent, os.W_OK)

    def _embeds(self, name: str) -> bool:
        stored = self._stored.get(name)
        return stored is not None and stored.good_for == "embeddings"

    def _key(self, offer: Offer) -> tuple[Any, ...]:
        values = self._settings.values
        return str(offer.path), offer.n_bytes, values.n_ctx, values.kv_dtype

    async def _plan(self, offer: Offer) -> None:
        """Reckon what a model needs, once for each setting."""
        key = self._key(offer)
        if key not in self._needed:
            self._needed[key] = await asyncio.to_thread(_planned, offer.path, key[2], key[3])

    def _fits(self, needed: int | None, offer: Offer | None) -> str | None:
        """Whether so much memory is free; what loaded models have would be given back."""
        free = available_memory()
        if free is None or needed is None:
            return None
        if offer is not None and offer.loaded is not None:
            return "fits"
        idle = [o for o in self.server.models.offers.values() if o.loaded is not None]
        free += sum(o.n_bytes for o in idle)
        if needed > free:
            return "too big"
        return "tight" if needed > TIGHT * free else "fits"


def _guessed(size: int) -> int:
    """Estimate the memory that a model of that size needs, before its file is there."""
    return int(size * 1.2) + (256 << 20)


def _planned(path: Path, n_ctx: int | None, kv_dtype: str | None) -> int | None:
    try:
        return llmpy.plan_memory(path, n_ctx=n_ctx, kv_dtype=kv_dtype or "auto").total
    except (llmpy.LlmpyError, OSError, ValueError) as error:
        log.info("%s: %s", path, error)
        return None


def _total_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
