"""A local server that speaks Discord's gateway and REST API, as far as bots with commands use it.

After https://discord.com/developers/docs (version 10): HELLO, heartbeats, IDENTIFY, RESUME with the
events that were missed, compressed streams; interactions with their webhooks and the time for a
first response, messages with nonces, rate limits with 429 and Retry-After. It keeps what a user
would see.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import WSMsgType, web

TOKEN = "a.valid.token"
BOT, GUILD, CHANNEL = 1000, 2000, 3000
EPOCH = 1420070400000


class Gateway:
    """One connection of a client."""

    def __init__(self, socket: web.WebSocketResponse, compress: str | None) -> None:
        self.socket = socket
        self._zlib = zlib.compressobj() if compress == "zlib-stream" else None
        self._zstd: Any = None
        if compress == "zstd-stream":
            import zstandard

            self._zstd = zstandard.ZstdCompressor().compressobj()

    async def send(self, payload: dict[str, Any]) -> None:
        data = json.dumps(payload).encode()
        if self._zlib is not None:
            packed = self._zlib.compress(data) + self._zlib.flush(zlib.Z_SYNC_FLUSH)
            await self.socket.send_bytes(packed)
        elif self._zstd is not None:
            packed = self._zstd.compress(data) + self._zstd.flush(1)  # COMPRESSOBJ_FLUSH_BLOCK
            await self.socket.send_bytes(packed)
        else:
            await self.socket.send_str(data.decode())


class FakeDiscord:
    """The server: `slash`, `reply` and `press` are what users do; `shown` is what they see.

    `limit(method, path)` may return the seconds of a 429 for a request, or None.
    """

    def __init__(self) -> None:
        self.client: asyncio.Task[None] | None = None  # the bot, whose errors end `until`
        self.is_idle: Callable[[], bool] = lambda: True  # whether the bot has no answer to send
        self.patience = 100.0  # seconds for a first response; 3 in Discord, too few for tests
        self.gateway: Gateway | None = None
        self.session: str | None = None
        self.sequence = 0
        self.history: list[dict[str, Any]] = []  # of this session, for RESUME
        self.identified = self.resumed = self.heartbeats = 0
        self.commands: list[dict[str, Any]] = []
        self.messages: dict[int, dict[str, Any]] = {}
        self.interactions: dict[str, dict[str, Any]] = {}  # by token
        self.private: list[dict[str, Any]] = []  # ephemeral responses
        self.requests: list[tuple[str, str, int]] = []
        self.payloads: list[dict[str, Any]] = []  # of all messages sent and edited
        self.deferred: Counter[str] = Counter()
        self.limit: Callable[[str, str], float | None] = lambda _method, _path: None
        self.too_early: list[str] = []  # requests that did not wait as a 429 told them to
        self._closed_until: dict[str, float] = {}
        self.allowed_intents = ~(1 << 15)  # all but message content
        self.edited_at: list[float] = []
        self._nonces: dict[str, int] = {}
        self._ids = itertools.count(1)
        self._runner: web.AppRunner | None = None
        self.url = ""

    # What tests do

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/gateway", self._socket)
        app.router.add_route("*", "/api/v10/{tail:.*}", self._rest)
        self._runner = web.AppRunner(app, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        self.url = f"127.0.0.1:{port}"

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def slash(self, user: int, name: str, prompt: str, seed: int | None = None) -> str:
        """A user gives a slash command; returns the token of the interaction."""
        options: list[dict[str, Any]] = [{"name": "prompt", "type": 3, "value": prompt}]
        options += [] if seed is None else [{"name": "seed", "type": 4, "value": seed}]
        command = next(c for c in self.commands if c["name"] == name)
        data = {"id": command["id"], "name": name, "type": 1, "options": options}
        return await self._interact(user, 2, data)

    async def press(self, user: int, message: dict[str, Any]) -> str:
        """A user presses the first button of a message."""
        custom = message["components"][0]["components"][0]["custom_id"]
        data = {"custom_id": custom, "component_type": 2}
        return await self._interact(user, 3, data, message=message)

    async def reply(self, user: int, to: int, text: str, *, ping: bool = True) -> dict[str, Any]:
        """A user replies to a message; without a ping, bots do not get the text."""
        reference = {"message_id": str(to), "channel_id": str(CHANNEL), "guild_id": str(GUILD)}
        message = self._message({"content": text, "message_reference": reference}, self._user(user))
        message["mentions"] = [self._user(BOT, bot=True)] if ping else []
        self.messages[int(message["id"])] = message
        seen = message if ping else {**message, "content": ""}
        await self.dispatch("MESSAGE_CREATE", seen)
        return message

    async def dispatch(self, event: str, data: dict[str, Any]) -> None:
        """Send an event, or keep it until the client resumes."""
        self.sequence += 1
        payload = {"op": 0, "t": event, "s": self.sequence, "d": data}
        self.history.append(payload)
        if self.gateway is not None:
            with contextlib.suppress(ConnectionError, RuntimeError):
                await self.gateway.send(payload)

    async def drop(self) -> None:
        """Cut the connection, as a failing network does."""
        gateway, self.gateway = self.gateway, None
        if gateway is not None:
            transport = gateway.socket._req.transport  # type: ignore[union-attr]
            if transport is not None:
                transport.abort()

    async def until(self, true: Callable[[], Any], seconds: float = 100.0) -> Any:
        """Wait until something is true."""
        end = time.monotonic() + seconds
        while not (found := true()):
            assert time.monotonic() < end, "nothing happened for too long"
            if self.client is not None and self.client.done():
                self.client.result()
            await asyncio.sleep(0.01)
        return found

    def shown(self, token: str) -> list[dict[str, Any]]:
        """The messages of an interaction, oldest first."""
        return [self.messages[i] for i in self.interactions[token]["messages"]]

    def replies(self, to: int) -> list[dict[str, Any]]:
        """The bot's messages since one that refer to it, or follow such a one."""
        mine = [m for i, m in sorted(self.messages.items()) if i > to and m["author"].get("bot")]
        return [m for m in mine if m["answers"] in (to, None)]

    def is_done(self, token: str) -> bool:
        """Whether an interaction has an answer without buttons."""
        shown = self.shown(token)
        return bool(shown) and not any(message["components"] for message in shown)

    # The gateway

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        gateway = Gateway(socket, request.query.get("compress"))
        await gateway.send({"op": 10, "d": {"heartbeat_interval": 1000}})
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            payload = json.loads(message.data)
            if payload["op"] == 1:
                self.heartbeats += 1
                await gateway.send({"op": 11})
            elif payload["op"] == 2:
                if not await self._identify(gateway, payload["d"]):
                    break
            elif payload["op"] == 6:
                await self._resume(gateway, payload["d"])
        if self.gateway is gateway:
            self.gateway = None
        return socket

    async def _identify(self, gateway: Gateway, data: dict[str, Any]) -> bool:
        if data["token"] != TOKEN:
            await gateway.socket.close(code=4004, message=b"Authentication failed.")
            return False
        if data["intents"] & ~self.allowed_intents:
            await gateway.socket.close(code=4014, message=b"Disallowed intent(s).")
            return False
        self.identified += 1
        self.session, self.history, self.sequence = f"session-{self.identified}", [], 0
        self.gateway = gateway
        guild = {"id": str(GUILD), "name": "Test", "owner_id": "1", "member_count": 2}
        channel = {"id": str(CHANNEL), "type": 0, "name": "general", "position": 0}
        guild |= {"channels": [{**channel, "permission_overwrites": []}], "roles": [], "emojis": []}
        guild |= {"members": [], "features": [], "threads": [], "stickers": [], "voice_states": []}
        await self.dispatch(
            "READY",
            {
                "v": 10,
                "user": self._user(BOT, bot=True),
                "guilds": [guild],
                "session_id": self.session,
                "resume_gateway_url": f"ws://{self.url}/gateway",
                "application": {"id": str(BOT), "flags": 0},
            },
        )
        return True

    async def _resume(self, gateway: Gateway, data: dict[str, Any]) -> None:
        if data["session_id"] != self.session:
            await gateway.send({"op": 9, "d": False})
            return
        self.resumed += 1
        missed = [payload for payload in self.history if payload["s"] > data["seq"]]
        for payload in missed:
            await gateway.send(payload)
        self.gateway = gateway
        await self.dispatch("RESUMED", {})

    async def _interact(self, user: int, kind: int, data: dict[str, Any], **more: Any) -> str:
        number = self._id()
        token = f"interaction-{number}"
        self.interactions[token] = {"messages": [], "user": user, "at": time.monotonic(), **more}
        event = {"id": str(number), "application_id": str(BOT), "type": kind, "data": data}
        event |= {"guild_id": str(GUILD), "channel_id": str(CHANNEL), "token": token, "version": 1}
        event["channel"] = {"id": str(CHANNEL), "type": 0, "name": "general", "permissions": "0"}
        event["member"] = {"user": self._user(user), "roles": [], "permissions": "0", "flags": 0}
        event["member"] |= {"joined_at": "2024-01-01T00:00:00+00:00", "deaf": False, "mute": False}
        event |= {"locale": "en-US", "entitlements": [], "attachment_size_limit": 1, **more}
        event |= {"authorizing_integration_owners": {}, "app_permissions": "0"}
        await self.dispatch("INTERACTION_CREATE", event)
        return token

    # REST

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["tail"].split("/")
        route = f"{request.method} {request.match_info['tail']}"
        now = time.monotonic()
        if now < self._closed_until.get(route, 0.0):
            self.too_early.append(route)
        wait = self.limit(request.method, request.match_info["tail"])
        if wait is not None:
            self._closed_until[route] = now + wait
            status, body = 429, {"message": "rate limited", "retry_after": wait, "global": False}
            headers = {"Retry-After": str(wait), "X-RateLimit-Scope": "shared"}
        else:
            data = await request.json() if request.can_read_body else {}
            authorized = request.headers.get("Authorization") == f"Bot {TOKEN}"
            status, body, headers = *self._answer(request.method, path, data, authorized), {}
        self.requests.append((request.method, request.match_info["tail"], status))
        headers |= {"Via": "1.1 google"}
        headers["Content-Type"] = "application/json"  # and no charset, which clients look at
        return web.Response(body=json.dumps(body).encode(), status=status, headers=headers)

    def _answer(self, method: str, path: list[str], data: Any, authorized: bool) -> tuple[int, Any]:
        unauthorized = 401, {"message": "401: Unauthorized", "code": 0}
        match [method, *path]:
            case ["POST", "interactions", _, token, "callback"]:
                return self._callback(token, data)
            case ["PATCH", "webhooks", _, token, "messages", which]:
                messages = self.interactions[token]["messages"]
                if which == "@original" and not messages:
                    return self._posted(token, data)
                return self._edited(messages[0] if which == "@original" else int(which), data)
            case ["POST", "webhooks", _, token]:
                return self._posted(token, data)
            case _ if not authorized:
                return unauthorized
            case ["GET", "users", "@me"]:
                return 200, self._user(BOT, bot=True)
            case ["GET", "oauth2", "applications", "@me"]:
                owner, about = self._user(1), {"summary": "", "description": "", "verify_key": ""}
                about |= {"bot_public": True, "bot_require_code_grant": False, "flags": 0}
                return 200, {"id": str(BOT), "name": "llmpy", "icon": None, "owner": owner, **about}
            case ["PUT", "applications", _, "commands"]:
                common = {"application_id": str(BOT), "version": "1", "type": 1}
                self.commands = [{"id": str(self._id()), **common, **one} for one in data]
                return 200, self.commands
            case ["POST", "channels", _, "messages"]:
                return self._sent(data)
            case ["PATCH", "channels", _, "messages", message]:
                return self._edited(int(message), data)
        return 404, {"message": f"404: {method} {'/'.join(path)}", "code": 0}

    def _callback(self, token: str, data: dict[str, Any]) -> tuple[int, Any]:
        found = self.interactions[token]
        if time.monotonic() - found["at"] > self.patience:
            return 404, {"message": "Unknown interaction", "code": 10062}
        if found.get("answered"):
            return 400, {"message": "Interaction has already been acknowledged.", "code": 40060}
        found["answered"] = True
        if data["type"] == 4 and data["data"].get("flags", 0) & 64:
            self.private.append({"user": found["user"], **data["data"]})
        elif data["type"] == 5:
            self.deferred[token] += 1
        elif data["type"] == 7:
            self._edited(int(found["message"]["id"]), data["data"])
        about = {"id": token.removeprefix("interaction-"), "type": 2}
        about |= {"response_message_id": str(self._id()), "response_message_loading": True}
        return 200, {"interaction": {**about, "response_message_ephemeral": False}}

    def _posted(self, token: str, data: dict[str, Any]) -> tuple[int, Any]:
        if not self.deferred[token]:
            return 404, {"message": "Unknown Webhook", "code": 10015}
        status, message = self._sent(data)
        if status == 200:
            self.interactions[token]["messages"].append(int(message["id"]))
        return status, message

    def _sent(self, data: dict[str, Any]) -> tuple[int, Any]:
        if problem := self._problem(data):
            return 400, problem
        nonce = data.get("nonce")
        if nonce is not None and data.get("enforce_nonce") and nonce in self._nonces:
            return 200, self.messages[self._nonces[nonce]]
        message = self._message(data, self._user(BOT, bot=True))
        reference = data.get("message_reference") or {}
        message["answers"] = int(reference["message_id"]) if reference else None
        self.messages[int(message["id"])] = message
        if nonce is not None:
            self._nonces[nonce] = int(message["id"])
        self.payloads.append(data)
        return 200, message

    def _edited(self, number: int, data: dict[str, Any]) -> tuple[int, Any]:
        if number not in self.messages:
            return 404, {"message": "Unknown Message", "code": 10008}
        if "content" in data and (problem := self._problem(data)):
            return 400, problem
        message = self.messages[number]
        message |= {k: data[k] for k in ("content", "components") if k in data}
        message["versions"].append(message["content"])
        self.edited_at.append(time.monotonic())
        self.payloads.append(data)
        return 200, message

    @staticmethod
    def _problem(data: dict[str, Any]) -> dict[str, Any] | None:
        size = len((data.get("content") or "").encode("utf-16-le")) // 2
        if not 1 <= size <= 2000:
            why = f"Must be between 1 and 2000 in length, found {size}"
            return {"message": "Invalid Form Body", "code": 50035, "errors": {"content": why}}
        return None

    def _message(self, data: dict[str, Any], author: dict[str, Any]) -> dict[str, Any]:
        content = data.get("content") or ""
        message = {"id": str(self._id()), "channel_id": str(CHANNEL), "guild_id": str(GUILD)}
        found: dict[str, Any] = {**message, "content": content, "author": author, "type": 0}
        found |= {"timestamp": "2026-01-01T00:00:00+00:00", "edited_timestamp": None, "tts": False}
        found |= {"mention_everyone": False, "mentions": [], "mention_roles": [], "embeds": []}
        found |= {"attachments": [], "pinned": False, "flags": 0, "versions": [content]}
        found |= {"components": data.get("components") or []}
        if data.get("message_reference"):
            found["message_reference"] = {"type": 0, **data["message_reference"]}
        return found

    @staticmethod
    def _user(number: int, *, bot: bool = False) -> dict[str, Any]:
        name = "llmpy" if bot else f"user{number}"
        found = {"id": str(number), "username": name, "discriminator": "0", "avatar": None}
        return {**found, "global_name": name, "bot": bot}

    def _id(self) -> int:
        """A snowflake: time and a number."""
        return (int(time.time() * 1000) - EPOCH << 22) + next(self._ids)
