"""Who may use the app, and what happens to requests that are wrong or hostile."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.apps.webapp.conftest import Page, app_running


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1"])
def test_pages_of_other_origins_may_not_post(page: Page, origin: str) -> None:
    answer = page.ask("POST", "/app/threads", {}, Origin=origin)
    assert (answer.status, answer.json["error"]["code"]) == (403, "origin_not_allowed")


def test_the_own_page_may(page: Page) -> None:
    assert page.ask("POST", "/app/threads", {}, Origin=page.url).status == 201


def test_scripts_of_other_sites_read_nothing(page: Page) -> None:
    answer = page.ask("GET", "/app/threads", Sec_Fetch_Site="cross-site")
    assert answer.status == 403
    assert page.ask("GET", "/app/threads", Sec_Fetch_Site="same-origin").status == 200


def test_names_that_are_not_this_machines_are_refused(page: Page) -> None:
    assert page.ask("GET", "/app/state", Host="rebound.example").status == 403


def test_answers_are_not_guessed_to_be_something_else(page: Page) -> None:
    headers = page.ask("GET", "/app/state").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"


def test_keys_are_needed_for_all_but_the_page(stories: Path, tmp_path: Path) -> None:
    with app_running(tmp_path, f"stories={stories}", keys=("secret-key",)) as page:
        assert page.ask("GET", "/app/threads").status == 401
        assert page.ask("GET", "/app/export").status == 401
        assert page.ask("POST", "/app/threads", {}).status == 401
        allowed = page.ask("POST", "/app/threads", {}, Authorization="Bearer secret-key")
        assert allowed.status == 201
        # another browser with the key sees the same chats
        threads = page.ask("GET", "/app/threads", x_api_key="secret-key").json["threads"]
        assert [thread["id"] for thread in threads] == [allowed.json["id"]]
        assert page.ask("GET", "/").status != 401


@pytest.mark.parametrize("path", ["/web/../store.py", "/web/..%2fstore.py", "/web//etc/passwd",
                                  "/web/.", "/web/", "/web/a\\b", "/web/%00"])  # fmt: skip
def test_only_files_of_the_page_are_sent(page: Page, path: str) -> None:
    assert page.ask("GET", path).status == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/app/nothing", 404),
        ("GET", "/app/threads/t_1/nothing", 404),
        ("GET", "/app//threads", 404),
        ("DELETE", "/app/threads", 405),
        ("POST", "/", 405),
        ("GET", "/app/threads/t_none", 404),
        ("POST", "/app/threads/t_none/runs", 404),
    ],
)
def test_wrong_paths_and_methods_are_typed_errors(
    page: Page, method: str, path: str, status: int
) -> None:
    answer = page.ask(method, path, {} if method == "POST" else None)
    assert answer.status == status
    assert answer.json["error"]["message"]


HOSTILE: list[bytes] = [
    b"",
    b"[]",
    b"7",
    b"{",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"title": ' + b"[" * 100 + b"]" * 100 + b"}",
    b'{"title": "\xff\xfe"}',
    b'{"title": "\\ud800"}',
    b'{"pinned": 1e999}',
]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("path", ["/app/threads", "/app/import", "/app/pulls", "/app/models/show"])
def test_hostile_bodies_are_typed_errors(page: Page, path: str, body: bytes) -> None:
    answer = page.ask("POST", path, body)
    assert answer.status == 400, answer.body
    assert answer.json["error"]["message"]


def test_bodies_that_are_too_large_are_refused(stories: Path, tmp_path: Path) -> None:
    with app_running(tmp_path, f"stories={stories}", max_body=1000) as page:
        assert page.ask("POST", "/app/threads", {"title": "x" * 2000}).status == 413
        assert page.ask("POST", "/app/import", {"threads": ["x" * 2000]}).status == 200


def test_the_apis_of_the_server_are_there_too(page: Page) -> None:
    assert "stories" in [m["id"] for m in page.ok("GET", "/v1/models")["data"]]
    body = {"model": "stories", "messages": [{"role": "user", "content": "a"}], "max_tokens": 2}
    assert page.ok("POST", "/v1/chat/completions", body)["usage"]["completion_tokens"] == 2
