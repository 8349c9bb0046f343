"""Vectors of texts: from the last states of encoders and decoders, in any company."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

import llmpy
from tests.arch import checkpoints, tiny

Load = Callable[..., llmpy.Model]
TOKENS = [int(t) for t in checkpoints.prompt(264)]
OTHERS = [[1, 9, 7], [5], TOKENS[:17]]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "crab", "walk", "##s", "##ing", "."]

backends = pytest.mark.parametrize("backend", ["reference", "cpu"])


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Load]:
    """`loaded(name, **options)`: a tiny checkpoint, written once."""
    folder = tmp_path_factory.mktemp("embed")
    models: list[llmpy.Model] = []

    def find(name: str, **options: Any) -> llmpy.Model:
        at: Path = folder / name
        if not at.exists():
            golden = checkpoints.load_golden(name)
            weights = golden.weights(checkpoints.spec(name))
            checkpoints.write(at, golden.about["config"], weights)
        models.append(llmpy.load(at, n_threads=2, **options))
        return models[-1]

    yield find
    for model in models:
        model.close()


def unit(v: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(v / np.sqrt(np.sum(v * v)))


@backends
@pytest.mark.parametrize("name", ["bert", "modern-bert", "nomic-bert"])
def test_an_encoder_pools_the_original_states(name: str, backend: str, loaded: Load) -> None:
    states = checkpoints.load_golden(name).logits
    model = loaded(name, backend=backend)
    for pooling, expected in [("mean", states.mean(0)), ("cls", states[0]), ("last", states[-1])]:
        found = model.embed([TOKENS], pooling=pooling)  # type: ignore[arg-type]
        np.testing.assert_allclose(found, [unit(expected)], atol=1e-5)


@backends
def test_a_decoder_gives_the_states_that_its_logits_are_made_of(backend: str, loaded: Load) -> None:
    golden = checkpoints.load_golden("gpt2")
    head = golden.weights(checkpoints.spec("gpt2"))["transformer.wte.weight"]
    model = loaded("gpt2", backend=backend, kv_dtype="f32")
    state = model.embed([TOKENS], normalize=False)[0]
    np.testing.assert_allclose(head @ state, golden.logits[-1], atol=1e-3)


@backends
@pytest.mark.parametrize("name", ["bert", "modern-bert", "gpt2", "mpt"])
def test_company_and_batches_change_no_bit(name: str, backend: str, loaded: Load) -> None:
    model, small = loaded(name, backend=backend), loaded(name, backend=backend, n_batch=40)
    texts = [TOKENS, *OTHERS, TOKENS, TOKENS[:30]]
    alone = np.concatenate([model.embed([text], pooling="mean") for text in texts])
    np.testing.assert_array_equal(model.embed(texts, pooling="mean"), alone)
    np.testing.assert_array_equal(small.embed(texts, pooling="mean"), alone)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_a_decoder_may_read_a_text_in_pieces(pooling: Any, loaded: Load) -> None:
    whole, pieces = (loaded("gpt2", backend="reference", n_batch=n) for n in (512, 7))
    texts = [TOKENS, *OTHERS]
    np.testing.assert_array_equal(
        pieces.embed(texts, pooling=pooling), whole.embed(texts, pooling=pooling)
    )


def test_an_encoder_never_cuts_a_text(loaded: Load) -> None:
    model = loaded("bert", backend="reference", n_batch=16)
    with pytest.raises(ValueError, match=r"text 1 has 40 tokens.* n_batch=256"):
        model.embed([[1, 2], TOKENS])


@pytest.mark.parametrize(
    ("n_ctx", "message"),
    [(256, "can never take more than 256"), (64, "load the model with a larger n_ctx")],
)
def test_texts_that_are_too_long_are_all_named(n_ctx: int, message: str, loaded: Load) -> None:
    model, n = loaded("bert", backend="reference", n_ctx=n_ctx), n_ctx // 40 + 1
    texts = [TOKENS, TOKENS * n, TOKENS, TOKENS * n]
    with pytest.raises(
        llmpy.ContextFull, match=f"texts 1, 3 have up to {40 * n} .*{message}"
    ) as error:
        model.embed(texts)
    assert (error.value.n_ctx, error.value.needed) == (n_ctx, 40 * n)
    cut = [ids[:n_ctx] for ids in texts]
    np.testing.assert_array_equal(model.embed(texts, truncate=True), model.embed(cut))


def test_a_decoder_cuts_texts_too(loaded: Load) -> None:
    model = loaded("gpt2", backend="reference")
    expected = model.embed([TOKENS[:7]])
    np.testing.assert_array_equal(model.embed([TOKENS], truncate=7), expected)
    found = model.embed((text for text in [TOKENS]), truncate=7)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_a_model_has_as_many_positions_as_its_table(name: str, loaded: Load) -> None:
    assert loaded(name, backend="reference").n_ctx == 256
    assert loaded(name, backend="reference", n_ctx=200).n_ctx == 200
    with pytest.raises(ValueError, match=r"n_ctx: 257 tokens .* has rows for 256"):
        loaded(name, backend="reference", n_ctx=257)


def test_an_encoder_writes_no_text(loaded: Load) -> None:
    with pytest.raises(llmpy.UnsupportedModelError, match=r"'bert', an encoder.*embed") as caught:
        loaded("bert", backend="reference").session()
    assert caught.value.field == "general.architecture"


def test_vectors_have_length_one_if_they_shall(loaded: Load) -> None:
    model = loaded("bert", backend="reference")
    assert model.embed([TOKENS]).dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(model.embed(OTHERS), axis=1), 1, atol=1e-6)
    long = model.embed(OTHERS, normalize=False)
    np.testing.assert_allclose(model.embed(OTHERS), [unit(v) for v in long], atol=1e-6)


def test_one_string_is_one_text_and_no_texts_are_none(loaded: Load) -> None:
    model = loaded("gpt2", backend="reference")
    np.testing.assert_array_equal(model.embed("abc"), model.embed(["abc"]))
    assert model.embed([]).shape == (0, 64)


def test_a_text_without_tokens_is_refused(loaded: Load) -> None:
    model = loaded("gpt2", backend="reference")
    with pytest.raises(ValueError, match="text 1 has no tokens"):
        model.embed(["a", ""])
    with pytest.raises(ValueError, match=r"text \d: token id \d: expected 0 to 263, found 264"):
        model.embed([[264]])
    assert model.embed(["a"]).shape == (1, 64)


def test_an_unknown_pooling_is_refused(loaded: Load) -> None:
    with pytest.raises(ValueError, match="mean, cls, last, found 'max'"):
        loaded("bert", backend="reference").embed(["a"], pooling="max")  # type: ignore[arg-type]


@pytest.mark.parametrize(("number", "pooling"), [(0, "last"), (1, "mean"), (2, "cls"), (3, "last")])
def test_the_file_says_how_to_pool(number: int, pooling: Any, tmp_path: Path) -> None:
    variant = tiny.VARIANTS["llama"]
    path = tiny.write(tmp_path / "m.gguf", variant, change={"llama.pooling_type": number})
    with llmpy.load(path, backend="reference") as model:
        np.testing.assert_array_equal(model.embed(OTHERS), model.embed(OTHERS, pooling=pooling))


def test_a_pooling_of_the_file_that_is_not_known_is_refused(tmp_path: Path) -> None:
    path = tiny.write(tmp_path / "m.gguf", tiny.VARIANTS["llama"], change={"llama.pooling_type": 4})
    with llmpy.load(path, backend="reference") as model:
        with pytest.raises(llmpy.UnsupportedModelError, match=r"llama\.pooling_type.*found 4"):
            model.embed(["a"])
        assert model.embed(["a"], pooling="mean").shape == (1, 64)


def test_a_closed_model_embeds_nothing(loaded: Load) -> None:
    model = loaded("bert", backend="reference")
    model.embed([[1]])
    model.close()
    with pytest.raises(llmpy.SessionClosed):
        model.embed([[1]])


def test_words_are_read_between_the_tokens_that_the_vocabulary_has_for_that(
    loaded: Load, tmp_path: Path
) -> None:
    plain = loaded("bert", backend="reference")
    golden = checkpoints.load_golden("bert")
    weights = golden.weights(checkpoints.spec("bert"))
    checkpoints.write(tmp_path, golden.about["config"], weights)
    made = Tokenizer(models.WordPiece({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    made.add_special_tokens(WORDS[:4])
    (tmp_path / "tokenizer.json").write_text(made.to_str(), "utf-8")
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "cls", "sep", "pad")}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(names), "utf-8")
    with llmpy.load(tmp_path, backend="reference") as model:
        text = "The crabs, walking."
        ids = [2, 4, 5, 7, 1, 6, 8, 9, 3]
        assert made.encode(text).ids == ids
        np.testing.assert_array_equal(model.embed([text]), plain.embed([ids]))
