"""Every key of a config.json is used, known to be harmless, refused or reported.

Against transformers, every key of every model: tools/vary_configs.py.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from llmpy.arch.base import build
from llmpy.arch.base import checkpoints as recipes
from llmpy.arch.config import TrackedConfig, expect_activation, unread
from llmpy.checkpoint.open import open_model
from llmpy.errors import ModelFileError, UnsupportedModelError
from tests.arch import checkpoints


def write(folder: Path, name: str = "llama3", **changes: Any) -> Path:
    """The checkpoint of a golden with other keys (None removes one)."""
    golden, spec = checkpoints.load_golden(name), checkpoints.spec(name)
    config = dict(golden.about["config"]) | changes
    config = {key: value for key, value in config.items() if value is not None}
    return checkpoints.write(folder / name, config, golden.weights(spec), spec.relative)


def refusal(folder: Path) -> str:
    with pytest.raises(UnsupportedModelError) as error, open_model(folder):
        pass
    return str(error.value)


def test_reading_is_recorded_and_other_values_record_in_the_same_place() -> None:
    config = TrackedConfig({"a": 1, "b": {"c": 2, "d": 3}, "e": 4})
    changed = config | {"a": 5}
    assert (changed["a"], changed["b"]["c"], changed.get("missing")) == (5, 2, None)
    assert config.read == {"a", "b", "b.c", "missing"}
    assert unread(config, ("e",)) == ["b.d"]


def test_a_value_that_seems_to_compute_is_refused_and_an_empty_one_reported() -> None:
    config = TrackedConfig({"new_rope_thing": 1.5})
    with pytest.raises(UnsupportedModelError, match="'new_rope_thing'"):
        unread(config, ())
    assert unread(TrackedConfig({"new_rope_thing": False}), ()) == ["new_rope_thing"]
    assert unread(TrackedConfig({"new_rope_thing": None}), ()) == []
    assert unread(config, ("new_rope_*",)) == []


@pytest.mark.parametrize("name", checkpoints.goldens())
def test_no_key_of_a_sound_configuration_is_unaccounted_for(name: str, tmp_path: Path) -> None:
    with warnings.catch_warnings(action="error"), open_model(write(tmp_path, name)) as file:
        assert file.tensors


HUB_KEYS = json.loads((checkpoints.HERE / "hub_keys.json").read_text("utf-8"))


@pytest.mark.parametrize("name", sorted(HUB_KEYS))
def test_what_published_configurations_have_beside_it_is_known(name: str, tmp_path: Path) -> None:
    """Most were written by older code than transformers is now, or by that of their authors."""
    golden, spec = checkpoints.load_golden(name), checkpoints.spec(name)
    folder = checkpoints.write(
        tmp_path / name, golden.about["config"], golden.weights(spec), spec.relative
    )
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(config | HUB_KEYS[name]), "utf-8")
    with warnings.catch_warnings(action="error"), open_model(folder) as file:
        build(file, {n: info.shape for n, info in file.tensors.items()})


@pytest.mark.parametrize("name", checkpoints.goldens())
def test_an_unknown_activation_is_refused(name: str, tmp_path: Path) -> None:
    config = checkpoints.load_golden(name).about["config"]
    keys = ("hidden_act", "activation_function", "mlp_hidden_act", "activation")
    key = next((key for key in keys if config.get(key)), "hidden_activation")
    with (
        pytest.raises(ModelFileError, match="telu"),
        open_model(write(tmp_path, name, **{key: "telu"})) as file,
    ):
        build(file, {n: info.shape for n, info in file.tensors.items()})


def test_other_names_of_an_activation_are_the_same() -> None:
    expect_activation({"hidden_act": "swish"}, "silu")
    expect_activation({"hidden_activation": "gelu_new"}, "gelu_pytorch_tanh")


@pytest.mark.parametrize("key", ["rope_scaling", "rope_parameters"])
@pytest.mark.parametrize("kind", ["ntk", "longrope", 7, ["linear"]])
def test_an_unknown_rope_type_is_refused(key: str, kind: Any, tmp_path: Path) -> None:
    changes = {"rope_parameters": None, key: {"rope_type": kind, "factor": 2.0}}
    assert f"'{key}.rope_type'" in refusal(write(tmp_path, **changes))


@pytest.mark.parametrize("name", ["qwen2", "command-r", "bert", "gpt2", "olmo2"])
def test_llama3s_frequencies_are_refused_where_no_file_has_them(name: str, tmp_path: Path) -> None:
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
    }
    assert "rope_scaling" in refusal(write(tmp_path, name, rope_scaling=scaling))


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"mscale": 1.0, "mscale_all_dim": 0.5}, 1.138629 / 1.069315),
        ({"mscale_all_dim": 0.5}, None),
        ({"attention_factor": 0.7, "mscale": 1.0, "mscale_all_dim": 0.5}, 0.7),
        ({}, None),
    ],
)
def test_yarn_multiplies_by_what_the_configuration_says(
    parameters: dict[str, Any], expected: float | None
) -> None:
    config = dict(checkpoints.load_golden("qwen2-yarn").about["config"])
    config["rope_parameters"] = config["rope_parameters"] | parameters
    found = recipes()["qwen2"].follow(config).metadata["rope.scaling.yarn_attn_factor"]
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-5))


def test_yarn_between_whole_pairs_is_refused_where_the_wiring_rounds(tmp_path: Path) -> None:
    rope = checkpoints.load_golden("qwen2-yarn").about["config"]["rope_parameters"]
    told = write(tmp_path, "qwen2-yarn", rope_parameters=rope | {"truncate": False})
    assert "'rope_parameters.truncate'" in refusal(told)


@pytest.mark.parametrize("place", ["rope_scaling", "rope_parameters", ""])
def test_the_base_of_the_rotation_is_read_wherever_it_stands(place: str) -> None:
    config = dict(checkpoints.load_golden("llama3").about["config"])
    del config["rope_parameters"]
    parameters = {"rope_type": "linear", "factor": 2.0, "rope_theta": 77.0}
    config |= {place: parameters} if place else {"rope_theta": 77.0}
    assert recipes()["llama"].follow(config).metadata["rope.freq_base"] == 77.0


def test_rotating_a_part_of_each_head_is_refused_where_the_original_rotates_all() -> None:
    config = dict(checkpoints.load_golden("llama3").about["config"])
    with pytest.raises(UnsupportedModelError, match="'partial_rotary_factor'"):
        recipes()["llama"].follow(config | {"partial_rotary_factor": 0.5})


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("llama3", "attention_bias", True),
        ("llama3", "mlp_bias", True),
        ("gpt-oss", "attention_bias", False),
        ("command-r", "use_qk_norm", True),
        ("stablelm", "use_qkv_bias", False),
        ("mamba", "use_conv_bias", False),
        ("starcoder2", "use_bias", False),
        ("phimoe", "lm_head_bias", False),
        ("gemma3", "use_bidirectional_attention", True),
        ("gpt-oss", "swiglu_limit", 9.0),
        ("command-r", "tie_word_embeddings", False),
        ("qwen2", "layer_types", ["sliding_attention"] * 3),
        ("mistral", "layer_types", ["sliding_attention", "full_attention"]),
    ],
)  # fmt: skip
def test_what_the_weights_or_the_wiring_do_not_have_is_refused(
    name: str, key: str, value: Any, tmp_path: Path
) -> None:
    folder = write(tmp_path, name, **{key: value})
    if key == "tie_word_embeddings":
        weights = checkpoints.load_golden(name).weights(checkpoints.spec(name))
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"] * 2
        config = json.loads((folder / "config.json").read_text("utf-8"))
        checkpoints.write(folder, config, weights)
    assert f"'{key}'" in refusal(folder)


def test_a_key_that_nobody_knows_is_reported(tmp_path: Path) -> None:
    folder = write(tmp_path, "llama3", colour="blue")
    with pytest.warns(RuntimeWarning, match="does not know the key 'colour'"), open_model(folder):
        pass


def test_defaults_are_those_of_the_model_type_whatever_names_the_recipe() -> None:
    filled = recipes()["Gemma3TextModel"].filled({"model_type": "gemma3_text", "head_dim": 32})
    assert (filled["rope_local_base_freq"], filled["rms_norm_eps"]) == (10_000.0, 1e-6)
    assert filled["head_dim"] == 32


def test_where_rope_parameters_has_the_rotation_only_its_base_is_filled_in() -> None:
    config = {"model_type": "gemma3_text", "rope_parameters": {"rope_type": "default"}}
    filled = recipes()["gemma3_text"].filled(config)
    assert filled["rope_theta"] == 1e6
    assert "rope_local_base_freq" not in filled
