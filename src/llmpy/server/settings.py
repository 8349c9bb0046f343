"""Settings of a server: its address, its keys, and its limits."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Literal, TypedDict

from llmpy import checks

__all__ = ["ServeOptions", "Settings", "is_loopback"]

KvDtype = Literal["auto", "int14", "f16", "f32", "q8_0", "q4_0"]


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a server but its models.

    `keys`: who has none of these is refused; none: everybody is served, which `insecure` must say
    where others than this machine can reach `host`. `allow_origins`, `allow_hosts`: web pages of
    other origins, and names of this machine in the Host header, that are accepted ("*": any).
    `max_body`: bytes of a request; `max_depth`: of lists and objects in it. `n_parallel`: texts
    that are generated at the same time; `n_queue`: those that wait. `receive_seconds`: how long a
    client may take to send a request; `send_seconds`: to take what is sent. `keep_alive`: seconds
    that an unused model stays loaded, None for ever; `memory`: bytes that models may take.
    `template`: a chat template for all models, as `Model.chat` takes it. The others are those of
    `llmpy.load`.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    keys: tuple[str, ...] = ()
    insecure: bool = False
    allow_origins: tuple[str, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    max_body: int = 8 << 20
    max_depth: int = 64
    n_parallel: int = 32
    n_queue: int = 256
    receive_seconds: float = 10.0
    send_seconds: float = 60.0
    keep_alive: float | None = None
    memory: int | None = None
    template: str | None = None
    n_ctx: int | None = None
    n_threads: int | None = None
    backend: str = "auto"
    n_gpu_layers: int | None = None
    device: str | None = None
    device_memory: int | str | None = None
    kv_dtype: KvDtype = "auto"
    max_total_tokens: int | None = None

    def __post_init__(self) -> None:
        checks.whole("port", self.port, 0, 65535)
        for name in ("max_body", "max_depth", "n_parallel"):
            checks.whole(name, getattr(self, name), 1, 2**63)
        checks.whole("n_queue", self.n_queue, 0)
        for i, key in enumerate(self.keys):
            if not isinstance(key, str) or not key.strip() or not key.isascii():
                raise ValueError(f"keys: number {i}: expected a key of ASCII characters")
        if not self.keys and not self.insecure and not is_loopback(self.host):
            raise ValueError(
                f"host: {self.host!r} can be reached from other machines, so a key is needed "
                "(--api-key, or LLMPY_API_KEY), or --insecure to serve everybody without one"
            )


class ServeOptions(TypedDict, total=False):
    """The settings that `serve` passes on, as they are in `Settings`."""

    insecure: bool
    allow_origins: tuple[str, ...]
    allow_hosts: tuple[str, ...]
    max_body: int
    max_depth: int
    n_parallel: int
    n_queue: int
    receive_seconds: float
    send_seconds: float
    keep_alive: float | None
    memory: int | None
    template: str | None
    n_ctx: int | None
    n_threads: int | None
    backend: str
    n_gpu_layers: int | None
    device: str | None
    device_memory: int | str | None
    kv_dtype: KvDtype
    max_total_tokens: int | None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return False
