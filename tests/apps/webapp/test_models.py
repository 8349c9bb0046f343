"""Models as the page shows them: what is here, what it needs, how it comes, and how it goes."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmpy.apps.webapp import benchmark, jobs
from llmpy.hub import transfer
from tests.apps.webapp.conftest import Page, app_running, wait_for
from tests.hub.server import Answer, Site, honest, serving
from tests.server.conftest import SECONDS
from tests.threads import finish


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """The app with a folder for models of its own, and no model."""
    monkeypatch.setenv("LLMPY_MODELS", str(tmp_path / "models"))
    with app_running(tmp_path / "app") as page:
        yield page


@pytest.fixture
def site(stories: Path) -> Iterator[Site]:
    with serving() as found:
        found.files["/tiny.gguf"] = stories.read_bytes()
        yield found


def address(site: Site) -> str:
    digest = hashlib.sha256(site.files["/tiny.gguf"]).hexdigest()
    return f"{site.url}/tiny.gguf#sha256={digest}"


def pulled(page: Page, site: Site) -> None:
    pull = page.ok("POST", "/app/pulls", {"name": address(site)}, 201)
    wait_for(lambda: one(page, pull["id"])["state"] == "done")


def one(page: Page, id: str) -> Any:
    return next(p for p in page.ok("GET", "/app/pulls")["pulls"] if p["id"] == id)


def test_an_empty_machine_has_cards_and_no_model(app: Page) -> None:
    state = app.ok("GET", "/app/state")
    assert (state["models"], state["model"]) == ([], None)
    card = next(c for c in state["catalogue"] if c["name"] == "smollm2")
    assert (card["license"], card["installed"], card["fits"]) == ("Apache-2.0", False, "fits")
    assert card["download"] > 90_000_000
    assert card["needed"] > card["size"]
    assert app.ok("GET", "/v1/models")["data"] == []


def test_a_card_knows_its_file_by_whatever_name(smollm2: Path, tmp_path: Path) -> None:
    with app_running(tmp_path, f"other={smollm2}") as page:
        cards = {c["name"]: c["installed"] for c in page.ok("GET", "/app/state")["catalogue"]}
        assert cards == {"smollm2": True, "minilm": False}


def test_without_a_model_the_question_is_kept(app: Page) -> None:
    thread = app.new_thread()
    answer = app.answered(thread, content="Anyone?")
    assert answer["error"]["code"] == "no_model"
    assert app.messages(thread)[0]["content"] == "Anyone?"


def test_a_model_says_what_it_needs_before_it_is_loaded(page: Page) -> None:
    (model,) = page.ok("GET", "/app/state")["models"]
    assert model["size"] == 1_185_376
    assert model["needed"] > 0
    assert model["fits"] == "fits"


def test_what_is_needed_follows_the_context_of_the_settings(stories: Path, tmp_path: Path) -> None:
    with app_running(tmp_path, f"stories={stories}") as page:
        needed = []
        for n_ctx in (256, 2048):
            page.ok("PATCH", "/app/settings", {"n_ctx": n_ctx})
            needed.append(page.ok("GET", "/app/state")["models"][0]["needed"])
        assert needed[1] > needed[0]


def test_a_model_is_pulled_and_answers(app: Page, site: Site) -> None:
    events = iter(app.listen("/app/events"))
    next(events)
    pull = app.ok("POST", "/app/pulls", {"name": address(site), "save_as": "tiny"}, 201)
    told = []
    for _, kind, data in events:
        if kind == "pull":
            told.append(data)
        if kind == "models":
            models = data
        if told and told[-1]["state"] == "done":
            break
    assert [t["id"] for t in told] == [pull["id"]] * len(told)
    assert told[-1]["bytes_done"] == told[-1]["bytes_total"] == 1_185_376
    assert ([m["name"] for m in models["models"]], models["model"]) == (["tiny"], "tiny")
    assert app.asked(app.new_thread())["state"] == "done"
    (file,) = app.ok("POST", "/app/models/show", {"name": "tiny"})["files"]
    assert address(site).endswith(f"#sha256={file['sha256']}")


def test_a_paused_pull_goes_on_with_the_bytes_on_the_disk(
    app: Page, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "CHUNK", 1 << 16)
    monkeypatch.setattr("llmpy.hub.events.PAUSE", 0.0)
    half, go = threading.Event(), threading.Event()

    def slow(answer: Answer, data: bytes, start: int | None) -> None:
        if start:
            honest(answer, data, start)
            return
        answer.send_response(200)
        answer.send_header("Content-Length", str(len(data)))
        answer.end_headers()
        answer.wfile.write(data[: len(data) // 2])
        answer.wfile.flush()
        half.set()
        go.wait(SECONDS)
        answer.wfile.write(data[len(data) // 2 :])

    site.behave = slow
    pull = app.ok("POST", "/app/pulls", {"name": address(site)}, 201)
    assert half.wait(SECONDS)
    wait_for(lambda: one(app, pull["id"])["bytes_done"])
    pausing: list[Any] = []
    thread = threading.Thread(
        target=lambda: pausing.append(app.ok("POST", f"/app/pulls/{pull['id']}/pause"))
    )
    thread.start()
    wait_for(lambda: app.app.pulls.find(pull["id"]).halt.is_set())
    go.set()
    finish(thread)
    assert pausing[0]["state"] == "paused"
    assert app.ok("GET", "/app/state")["models"] == []
    assert app.ok("POST", f"/app/pulls/{pull['id']}/resume")["state"] == "running"
    wait_for(lambda: one(app, pull["id"])["state"] == "done")
    assert site.starts[0] is None
    assert site.starts[-1]  # a range


def test_a_pull_that_was_not_finished_is_there_after_a_restart(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMPY_MODELS", str(tmp_path / "models"))
    go = threading.Event()

    def stuck(answer: Answer, data: bytes, start: int | None) -> None:
        go.wait(SECONDS)
        honest(answer, data, start)

    site.behave = stuck
    with app_running(tmp_path / "app") as page:
        page.ok("POST", "/app/pulls", {"name": address(site)}, 201)
        wait_for(lambda: site.asked)
        threading.Timer(0.2, go.set).start()
    with app_running(tmp_path / "app") as page:
        (pull,) = page.ok("GET", "/app/pulls")["pulls"]
        if pull["state"] == "paused":
            page.ok("POST", f"/app/pulls/{pull['id']}/resume")
        wait_for(lambda: one(page, pull["id"])["state"] == "done")
        assert len(page.ok("GET", "/app/state")["models"]) == 1


def test_a_wrong_checksum_is_an_error_and_no_model(app: Page, site: Site) -> None:
    wanted = f"{site.url}/tiny.gguf#sha256={'0' * 64}"
    pull = app.ok("POST", "/app/pulls", {"name": wanted}, 201)
    failed = wait_for(lambda: one(app, pull["id"])["state"] == "error" and one(app, pull["id"]))
    assert failed["error"]["code"] == "pull_failed"
    assert app.ok("GET", "/app/state")["models"] == []
    assert app.ok("POST", f"/app/pulls/{pull['id']}/cancel")["state"] == "cancelled"
    assert app.ok("GET", "/app/pulls")["pulls"] == []


def test_licences_that_are_not_allowed_are_not_pulled(app: Page, site: Site) -> None:
    app.ok("PATCH", "/app/settings", {"licenses": ["MIT"]})
    pull = app.ok("POST", "/app/pulls", {"name": address(site)}, 201)
    failed = wait_for(lambda: one(app, pull["id"])["state"] == "error" and one(app, pull["id"]))
    assert failed["error"]["code"] == "license_refused"


def test_an_unknown_name_is_an_error(app: Page) -> None:
    pull = app.ok("POST", "/app/pulls", {"name": "no such model!"}, 201)
    failed = wait_for(lambda: one(app, pull["id"])["state"] == "error" and one(app, pull["id"]))
    assert failed["error"]["code"] == "not_found"
    assert "'no such model!' is not a model that is known here" in failed["error"]["message"]


def test_deleting_says_the_bytes_freed_and_threads_stay(app: Page, site: Site) -> None:
    pulled(app, site)
    name = app.ok("GET", "/app/state")["model"]
    thread = app.new_thread(model=name)
    first = app.asked(thread)
    assert app.ok("POST", "/app/models/delete", {"name": name}) == {"freed": 1_185_376}
    assert app.ok("GET", "/app/state")["models"] == []
    assert app.ok("GET", f"/app/threads/{thread}")["model"] == name
    assert app.messages(thread)[-1]["content"] == first["content"]
    assert app.answered(thread, content="Still?")["error"]["code"] == "model_not_found"


@pytest.mark.usefixtures("unhurried")
def test_a_model_in_use_is_deleted_only_by_force(app: Page, site: Site) -> None:
    app.ok("PATCH", "/app/settings", {"n_ctx": 2048})
    pulled(app, site)
    name = app.ok("GET", "/app/state")["model"]
    thread = app.new_thread()
    run = app.begin(thread, content="Once", settings={"max_tokens": 100_000})
    app.listen(f"/app/runs/{run['run']}/events").until("text")
    refused = app.refused("POST", "/app/models/delete", {"name": name}, 409)
    assert refused["code"] == "model_in_use"
    assert app.ok("POST", "/app/models/delete", {"name": name, "force": True})["freed"]
    assert app.messages(thread)[-1]["state"] in ("stopped", "done")
    assert app.messages(thread)[-1]["content"]


def test_a_file_that_was_named_is_not_deleted(page: Page, stories: Path) -> None:
    page.refused("POST", "/app/models/delete", {"name": "stories"})
    assert stories.exists()


def test_a_file_that_is_gone_is_a_clear_error(stories: Path, tmp_path: Path) -> None:
    path = tmp_path / "gone.gguf"
    path.write_bytes(stories.read_bytes())
    with app_running(tmp_path / "app", f"gone={path}") as page:
        path.unlink()
        error = page.answered(page.new_thread(), content="Hello")["error"]
        assert error["code"] == "model_not_found"
        assert str(path) in error["message"]


def test_a_damaged_file_is_a_clear_error(stories: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged.gguf"
    path.write_bytes(stories.read_bytes()[:1000])
    with app_running(tmp_path / "app", f"damaged={path}", f"stories={stories}") as page:
        error = page.answered(page.new_thread(), content="Hello", model="damaged")["error"]
        assert error["code"] == "model_failed"
        assert page.asked(page.new_thread(), model="stories")["state"] == "done"


def test_loading_and_unloading(page: Page) -> None:
    body = {"name": "stories"}
    assert page.ok("POST", "/app/models/load", body)["loaded"] is True
    assert page.ok("POST", "/app/models/unload", body)["loaded"] is False
    assert page.ok("GET", "/app/state")["models"][0]["loaded"] is False
    assert page.refused("POST", "/app/models/load", {"name": "x"}, 404)["code"] == "model_not_found"


def test_more_memory_than_models_may_take_is_refused_with_numbers(
    stories: Path, tmp_path: Path
) -> None:
    with app_running(tmp_path, f"stories={stories}", memory=1 << 20) as page:
        error = page.answered(page.new_thread(), content="Hello")["error"]
        assert error["code"] == "out_of_memory"
        assert (error["bytes_needed"], error["bytes_free"]) == (1_185_376, 1 << 20)


def test_a_context_that_does_not_fit_is_refused_and_a_smaller_one_runs(
    stories: Path, tmp_path: Path
) -> None:
    with app_running(tmp_path, f"stories={stories}") as page:
        thread = page.new_thread()
        page.ok("PATCH", "/app/settings", {"n_ctx": 2_000_000_000})
        assert page.ok("GET", "/app/state")["models"][0]["fits"] == "too big"
        failed = page.answered(thread, content="Hello")
        assert failed["error"]["code"] == "out_of_memory"
        assert failed["error"]["bytes_needed"] > failed["error"]["bytes_free"] > 0
        page.ok("PATCH", "/app/settings", {"n_ctx": 256})
        settings = {"max_tokens": 2}
        assert (
            page.answered(thread, question=failed["parent"], settings=settings)["state"] == "done"
        )


def test_what_a_file_says_of_itself(page: Page) -> None:
    found = page.ok("POST", "/app/models/show", {"name": "stories"})
    assert found["metadata"]["general.architecture"] == "llama"
    assert found["metadata"]["tokenizer.ggml.tokens"]["count"] == 512
    assert found["tensors"]["count"] == sum(found["tensors"]["types"].values()) > 0
    assert [(f["size"], f["sha256"]) for f in found["files"]] == [(1_185_376, None)]
    assert found["plan"]["total"] == page.ok("GET", "/app/state")["models"][0]["needed"]


def job_of(page: Page, **wanted: Any) -> Any:
    job = page.ok("POST", "/app/jobs", wanted, 201)

    def ended() -> Any:
        found = next(j for j in page.ok("GET", "/app/jobs")["jobs"] if j["id"] == job["id"])
        return found if found["state"] != "running" else None

    return wait_for(ended)


def test_a_quantized_model_is_one_more_model(app: Page, site: Site) -> None:
    pulled(app, site)
    model = app.ok("GET", "/app/state")["model"]
    job = job_of(app, kind="quantize", model=model, type="f16", save_as="small")
    assert job["state"] == "done", job
    assert (job["result"]["name"], job["done"]) == ("small", job["total"])
    assert job["result"]["size"] < 1_185_376
    assert "small" in [m["name"] for m in app.ok("GET", "/app/state")["models"]]
    assert app.asked(app.new_thread(), model="small")["state"] == "done"
    freed = app.ok("POST", "/app/models/delete", {"name": "small"})["freed"]
    assert freed == job["result"]["size"]
    assert not Path(job["result"]["path"]).exists()


def test_a_benchmark_has_the_limits_of_the_machine(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "LENGTHS", (16, 64, 10_000))
    monkeypatch.setattr(benchmark, "ROUNDS", 1)
    job = job_of(page, kind="benchmark", model="stories")
    assert job["state"] == "done", job
    result = job["result"]
    assert result["decode"]["tokens_per_second"] > 0
    limit = result["machine"]["bytes_per_second"] / result["weights"]
    assert result["decode"]["limit"] == pytest.approx(limit)
    assert [n for n, _ in result["prefill"]["points"]] == [16, 64]  # what the context holds
    assert all(speed > 0 for _, speed in result["prefill"]["points"])


def test_a_job_is_cancelled(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    def slow(_model: Any, _threads: int, report: Any) -> Any:
        begun.set()
        while True:
            report(0, 1, "")
            threading.Event().wait(0.01)

    monkeypatch.setattr(jobs, "measured", slow)
    job = page.ok("POST", "/app/jobs", {"kind": "benchmark", "model": "stories"}, 201)
    assert begun.wait(SECONDS)
    assert page.ok("POST", f"/app/jobs/{job['id']}/cancel")["state"] == "cancelled"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"kind": "paint", "model": "stories"}, 400),
        ({"kind": "quantize", "model": "stories"}, 400),
        ({"kind": "benchmark", "model": "none"}, 404),
        ({"kind": "benchmark"}, 400),
        ({"kind": "quantize", "model": "stories", "type": "q8_0", "save_as": "stories"}, 400),
    ],
)
def test_wrong_jobs_are_refused(page: Page, body: Any, status: int) -> None:
    page.refused("POST", "/app/jobs", body, status)
