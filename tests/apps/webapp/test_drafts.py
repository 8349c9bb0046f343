"""Questions that are read while they are typed."""

from __future__ import annotations

from pathlib import Path

from tests.apps.webapp.conftest import Page, app_running, wait_for

TEXT = "Once upon a time there was a little girl who had a big red ball and a small blue car. " * 2


def test_what_was_typed_is_not_read_again(stories: Path, tmp_path: Path) -> None:
    with app_running(tmp_path, f"stories={stories}") as page:
        thread = page.new_thread()
        for n in (20, 60, len(TEXT)):
            page.ok("POST", f"/app/threads/{thread}/draft", {"text": TEXT[:n]}, 204)
        drafts = page.app.drafts
        wait_for(lambda: drafts.n_read and drafts.n_read > 64)
        stats = page.asked(thread, TEXT)["stats"]
        assert stats["n_reused"] >= 64
        wait_for(lambda: drafts.n_read is None)


def test_an_empty_text_forgets_the_draft(page: Page, thread: str) -> None:
    page.ok("POST", f"/app/threads/{thread}/draft", {"text": "Once"}, 204)
    page.ok("POST", f"/app/threads/{thread}/draft", {"text": ""}, 204)
    wait_for(lambda: page.app.drafts.n_read is None)
    assert page.messages(thread) == []


def test_a_draft_of_a_missing_model_fails_in_silence(page: Page, thread: str) -> None:
    body = {"text": "Once", "model": "none"}
    page.ok("POST", f"/app/threads/{thread}/draft", body, 204)
    assert page.asked(thread)["state"] == "done"


def test_a_draft_holds_no_model_for_long(stories: Path, tmp_path: Path) -> None:
    with app_running(tmp_path, f"stories={stories}") as page:
        page.app.drafts.quiet = 0.05
        thread = page.new_thread()
        page.ok("POST", f"/app/threads/{thread}/draft", {"text": "Once"}, 204)
        wait_for(lambda: page.ok("GET", "/app/state")["models"][0]["loaded"])
        wait_for(lambda: page.ok("GET", "/app/state")["models"][0]["users"] == 0)


def test_the_place_of_a_draft_must_exist(page: Page, thread: str) -> None:
    body = {"text": "Once", "parent": "m_none"}
    page.refused("POST", f"/app/threads/{thread}/draft", body, 404)
