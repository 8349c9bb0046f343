"""Commands that need a model which generates text name an encoder, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.arch import checkpoints


@pytest.mark.parametrize(
    "command",
    [
        ("perplexity", "-f", "TEXT", "-c", 32),
        ("imatrix", "-f", "TEXT", "-o", "OUT", "-c", 32),
        ("bench",),
        ("infer", "-p", "hi"),
    ],
)
def test_an_encoder_is_refused_by_name(run, command: tuple[object, ...], tmp_path: Path) -> None:
    golden = checkpoints.load_golden("bert")
    weights = golden.weights(checkpoints.spec("bert"))
    model = checkpoints.write(tmp_path / "model", golden.about["config"], weights)
    (tmp_path / "text").write_text("crabs walk. " * 40)
    paths = {"TEXT": tmp_path / "text", "OUT": tmp_path / "out"}
    name, *options = (paths.get(str(part), part) for part in command)
    done = run(name, "-m", model, "--backend", "reference", *options)
    assert done.code == 1
    assert done.err.startswith("llmpy: ")
    assert "'bert', an encoder. Use Model.embed()" in done.err
    assert not (tmp_path / "out").exists()
