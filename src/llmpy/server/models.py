"""The models that a server offers: loaded when they are asked for, unloaded when room is needed."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path

from llmpy.chat import ChatTemplate, chosen_template
from llmpy.chat.thinking import Format, format_of
from llmpy.checkpoint.open import existing
from llmpy.errors import ModelFileError, ModelNotFound, OutOfMemory
from llmpy.hub.finding import default_model, models
from llmpy.loading import LoadEvent, aload
from llmpy.machine.memory import readable_bytes
from llmpy.model import Model
from llmpy.server.decoder import Decoder
from llmpy.server.errors import ApiError
from llmpy.server.settings import Settings

__all__ = ["Loaded", "Models", "Offer", "offers_of"]

N_EMBEDDING = 4  # requests whose texts become vectors at the same time


class Loaded:
    """A model in memory, with what generates its texts."""

    def __init__(self, name: str, model: Model, settings: Settings) -> None:
        self.name = name
        self.model = model
        self.embedding = asyncio.Semaphore(N_EMBEDDING)
        self._template = settings.template
        self.decoder = Decoder(model, n_parallel=settings.n_parallel, n_queue=settings.n_queue)

    @cached_property
    def template(self) -> ChatTemplate:
        """Its chat template; TemplateError where it has none."""
        return chosen_template(self.model.metadata, self.model.tokenizer, self._template)

    @cached_property
    def format(self) -> Format:
        """Return the format in which it marks its thinking."""
        return format_of(self.model.tokenizer, self.template.literals)

    def close(self) -> None:
        """End what it generates, and free its memory."""
        self.decoder.close()
        self.model.close()


class Offer:
    """A model that clients may name: a path, and what is loaded of it.

    `expires`: the time of `time.monotonic()` at which it is unloaded if nobody uses it by then.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path
        self.created = int(path.stat().st_mtime)
        self.n_bytes = _size(path)
        self.loaded: Loaded | None = None
        self.loading = False
        self.n_bytes_ready = 0  # while it is loaded
        self.n_users = 0
        self.used = 0.0
        self.expires: float | None = None
        self.leaving = False  # wanted out: who asks for it now comes after who wants its room


class Models:
    """All offers of a server, the first of which answers requests that name none."""

    def __init__(self, offers: Mapping[str, Offer], settings: Settings) -> None:
        self.offers = dict(offers)
        self._settings = settings
        self._loading = asyncio.Lock()  # one at a time is loaded, first come, first served
        self._changed = asyncio.Condition()
        self._tasks = set[asyncio.Task[None]]()

    def find(self, name: str | None) -> Offer:
        """The offer of a name; ApiError 404 where there is none."""
        if name is None:
            if self.offers:
                return next(iter(self.offers.values()))
            raise ApiError(404, "there is no model here: get one first", code="no_model")
        if (found := self.offers.get(name)) is not None:
            return found
        known = ", ".join(map(repr, list(self.offers)[:20]))
        raise ApiError(
            404,
            f"there is no model {name[:100]!r} here, but {known}: ask for one of these, or start "
            f"the server with -m {name[:100]}=PATH",
            param="model",
            code="model_not_found",
        )

    def offer(self, name: str, path: Path) -> None:
        """Offer one more model, or another file under a name whose model is not loaded."""
        known = self.offers.get(name)
        if known is None or (known.path != path and known.loaded is None):
            self.offers[name] = Offer(name, path)

    async def withdraw(self, name: str) -> None:
        """Offer a model no more, once the answers that it gives have ended."""
        offer = self.find(name)
        del self.offers[name]
        async with self._loading:
            await self._evict(offer)

    def configure(self, settings: Settings) -> None:
        """Load models by these settings from now on."""
        self._settings = settings

    async def load_first(self) -> None:
        """Load the first offer."""
        async with self.use(None):
            pass

    @asynccontextmanager
    async def use(self, name: str | None, keep_alive: float | None = -1) -> AsyncIterator[Loaded]:
        """The model of a name, which stays loaded as long as this is open.

        `keep_alive`: seconds that it stays after that, None for ever, -1 for what the server says.
        """
        offer = self.find(name)
        loaded = await self._acquired(offer)
        try:
            yield loaded
        finally:
            async with self._changed:
                seconds = self._settings.keep_alive if keep_alive == -1 else keep_alive
                offer.n_users -= 1
                offer.used = time.monotonic()
                offer.expires = None if seconds is None else offer.used + seconds
                self._changed.notify_all()

    async def _acquired(self, offer: Offer) -> Loaded:
        if offer.loaded is not None and not offer.leaving:
            offer.n_users += 1
            return offer.loaded
        async with self._loading:
            if offer.loaded is None:
                offer.loading = True
                try:
                    await self._load(offer)
                finally:
                    offer.loading = False
            assert offer.loaded is not None
            offer.n_users += 1
            return offer.loaded

    def unload_soon(self, name: str) -> None:
        """Unload a model once the answers that it gives have ended."""
        task = asyncio.create_task(self._unload(self.find(name)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def unload(self, name: str) -> None:
        """Unload a model once the answers that it gives have ended, and wait for that."""
        await self._unload(self.find(name))

    async def _unload(self, offer: Offer) -> None:
        async with self._loading:
            await self._evict(offer)

    async def expire(self) -> None:
        """Unload what nobody used for as long as it should stay."""
        now = time.monotonic()
        for offer in self.offers.values():
            idle = offer.loaded is not None and not offer.n_users
            if idle and offer.expires is not None and now > offer.expires:
                async with self._loading:
                    if not offer.n_users:
                        await self._evict(offer)

    async def close(self) -> None:
        """Unload all, whoever uses them."""
        for offer in self.offers.values():
            loaded, offer.loaded = offer.loaded, None
            if loaded is not None:
                await asyncio.to_thread(loaded.close)

    # Under `_loading`

    async def _load(self, offer: Offer) -> None:
        """Load a model; others that nobody uses make room for it, the least recently used first."""
        budget, needed = self._settings.memory, offer.n_bytes
        if budget is not None:
            if needed > budget:
                raise _no_room(offer, needed, budget)
            while self._n_bytes() + needed > budget:
                await self._evict(self._victim())
        while True:
            try:
                model = await self._model(offer)
            except OutOfMemory:
                if not any(other.loaded for other in self.offers.values()):
                    raise
                await self._evict(self._victim())
            else:
                offer.loaded = Loaded(offer.name, model, self._settings)
                return

    async def _model(self, offer: Offer) -> Model:
        settings = self._settings

        def report(event: LoadEvent) -> None:
            offer.n_bytes_ready = event.bytes_done

        offer.n_bytes_ready = 0
        return await aload(
            offer.path,
            n_ctx=settings.n_ctx,
            n_threads=settings.n_threads,
            backend=settings.backend,
            n_gpu_layers=settings.n_gpu_layers,
            device=settings.device,
            device_memory=settings.device_memory,
            kv_dtype=settings.kv_dtype,
            max_total_tokens=settings.max_total_tokens,
            progress=report,
        )

    def _n_bytes(self) -> int:
        return sum(offer.n_bytes for offer in self.offers.values() if offer.loaded is not None)

    def _victim(self) -> Offer:
        loaded = [offer for offer in self.offers.values() if offer.loaded is not None]
        return min(loaded, key=lambda offer: (offer.n_users > 0, offer.used))

    async def _evict(self, offer: Offer) -> None:
        """Unload a model once its answers have ended."""
        offer.leaving = True
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: not offer.n_users)
            loaded, offer.loaded = offer.loaded, None
            if loaded is not None:
                await asyncio.to_thread(loaded.close)
        finally:
            offer.leaving = False


def offers_of(
    models: Sequence[str | os.PathLike[str]], *, needs_one: bool = True
) -> dict[str, Offer]:
    """The offers of what `-m` takes: the path or name of a model, or NAME=MODEL.

    Without any: all models that this machine has by a name, the default one first. ValueError for
    two of one name and, if it `needs_one`, where there is none; ModelFileError for what is not
    here.
    """
    found: dict[str, Offer] = {}
    for model in models or _installed(needs_one):
        given = os.fspath(model)
        name, is_named, target = given.partition("=")
        if not is_named or Path(given).exists():
            name, target = "", given
        path = existing(target)
        if not path.exists():
            raise ModelFileError(path, "model", "a file or folder", "nothing at this path")
        if not name and Path(target).exists():
            name = path.resolve().name if path.is_dir() else path.stem
        name = name or target
        if name in found:
            raise ValueError(f"model: two are named {name!r}; say NAME=PATH for one of them")
        found[name] = Offer(name, path)
    return found


def _installed(needs_one: bool) -> list[str]:
    names = [model.name for model in models()]
    try:
        default = default_model()
    except ModelNotFound:  # several could be it
        default = None
    if default is not None and default.name in names:
        names = [default.name, *(name for name in names if name != default.name)]
    if not names and needs_one:
        raise ValueError("model: none was named, and this machine has none; llmpy pull gets one")
    return names


def _size(path: Path) -> int:
    files = path.iterdir() if path.is_dir() else [path]
    return sum(f.stat().st_size for f in files if f.is_file())


def _no_room(offer: Offer, needed: int, budget: int) -> ApiError:
    return ApiError(
        503,
        f"the model {offer.name!r} takes {readable_bytes(needed)}, and models may take "
        f"{readable_bytes(budget)} here: start the server with a larger --memory",
        code="out_of_memory",
        more={"bytes_needed": needed, "bytes_free": budget},
    )
