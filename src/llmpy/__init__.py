"""Run large language models on your own machine: load a model, and chat with it or let it go on.

model = llmpy.load("MODEL.gguf")
print(model.chat().ask("What is the capital of France?"))
print(model.generate("Once upon a time", max_tokens=20))
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in typing, whose import would take longer than all else here
if TYPE_CHECKING:
    from typing import Any

    from llmpy.backends.trace import OpTime, Trace
    from llmpy.chat import Chat, ChatDraft, ChatTemplate
    from llmpy.checkpoint.convert import ConvertEvent, convert
    from llmpy.checkpoint.open import open_model
    from llmpy.constraints import Constraint, choices, grammar, json_schema, regex, schema_of
    from llmpy.diagnosis import Diagnosis, Weakness, diagnose
    from llmpy.engine import BatchStep
    from llmpy.errors import (
        AnswerError,
        BackendError,
        Cancelled,
        ConstraintError,
        ContextFull,
        GraphError,
        LicenseRefused,
        LlmpyError,
        ModelFileError,
        ModelNotFound,
        OutOfMemory,
        PullError,
        SamplerError,
        SessionClosed,
        SessionInUse,
        SnapshotError,
        TemplateError,
        TokenizerError,
        ToolError,
        UnsupportedModelError,
    )
    from llmpy.format import open_gguf
    from llmpy.hub.catalogue import CATALOGUE, CatalogueEntry
    from llmpy.hub.events import PullEvent
    from llmpy.hub.finding import (
        copy_model,
        default_model,
        default_name,
        find_model,
        models,
        remove_model,
        set_default_model,
    )
    from llmpy.hub.pulling import pull
    from llmpy.hub.store import StoredFile, StoredModel
    from llmpy.loading import LoadEvent, aload, load, load_template, load_tokenizer
    from llmpy.machine.bandwidth import read_bandwidth
    from llmpy.machine.cpus import available_cpus
    from llmpy.model import Model
    from llmpy.planning import MemoryPlace, MemoryPlan, plan_memory, program_text
    from llmpy.quantization import (
        Divergence,
        Importance,
        MeasureEvent,
        Perplexity,
        QuantizeEvent,
        collect_importance,
        divergence,
        perplexity,
        quantize,
        read_importance,
        write_importance,
    )
    from llmpy.sampling import (
        Candidate,
        Chain,
        Rng,
        Sampler,
        Stage,
        adaptive_p,
        banned_strings,
        chain,
        default_chain,
        dry,
        dynamic_temperature,
        frequency,
        greedy,
        ignore_eos,
        locally_typical,
        logit_bias,
        min_p,
        mirostat1,
        mirostat2,
        presence,
        repetition,
        sequence_repetition,
        tail_free,
        temperature,
        top_a,
        top_k,
        top_n_sigma,
        top_p,
        xtc,
    )
    from llmpy.server.serving import serve
    from llmpy.session import STOP, FinishReason, Logprobs, Parsed, Piece, Session, Stats, ToolCall
    from llmpy.session.batched import next_tokens
    from llmpy.session.completion import Completion
    from llmpy.session.draft import Draft
    from llmpy.session.mark import Mark
    from llmpy.session.overflow import ContextWarning, Overflow
    from llmpy.session.ranking import Ranked
    from llmpy.session.scoring import Score
    from llmpy.session.steps import Step
    from llmpy.tokenizer import Tokenizer, TokenizerProtocol
    from llmpy.tools import Tool

__version__: str

__all__ = [
    "CATALOGUE",
    "STOP",
    "AnswerError",
    "BackendError",
    "BatchStep",
    "Cancelled",
    "Candidate",
    "CatalogueEntry",
    "Chain",
    "Chat",
    "ChatDraft",
    "ChatTemplate",
    "Completion",
    "Constraint",
    "ConstraintError",
    "ContextFull",
    "ContextWarning",
    "ConvertEvent",
    "Diagnosis",
    "Divergence",
    "Draft",
    "FinishReason",
    "GraphError",
    "Importance",
    "LicenseRefused",
    "LlmpyError",
    "LoadEvent",
    "Logprobs",
    "Mark",
    "MeasureEvent",
    "MemoryPlace",
    "MemoryPlan",
    "Model",
    "ModelFileError",
    "ModelNotFound",
    "OpTime",
    "OutOfMemory",
    "Overflow",
    "Parsed",
    "Perplexity",
    "Piece",
    "PullError",
    "PullEvent",
    "QuantizeEvent",
    "Ranked",
    "Rng",
    "Sampler",
    "SamplerError",
    "Score",
    "Session",
    "SessionClosed",
    "SessionInUse",
    "SnapshotError",
    "Stage",
    "Stats",
    "Step",
    "StoredFile",
    "StoredModel",
    "TemplateError",
    "Tokenizer",
    "TokenizerError",
    "TokenizerProtocol",
    "Tool",
    "ToolCall",
    "ToolError",
    "Trace",
    "UnsupportedModelError",
    "Weakness",
    "adaptive_p",
    "aload",
    "available_cpus",
    "banned_strings",
    "chain",
    "choices",
    "collect_importance",
    "convert",
    "copy_model",
    "default_chain",
    "default_model",
    "default_name",
    "diagnose",
    "divergence",
    "dry",
    "dynamic_temperature",
    "find_model",
    "frequency",
    "grammar",
    "greedy",
    "ignore_eos",
    "json_schema",
    "load",
    "load_template",
    "load_tokenizer",
    "locally_typical",
    "logit_bias",
    "min_p",
    "mirostat1",
    "mirostat2",
    "models",
    "next_tokens",
    "open_gguf",
    "open_model",
    "perplexity",
    "plan_memory",
    "presence",
    "program_text",
    "pull",
    "quantize",
    "read_bandwidth",
    "read_importance",
    "regex",
    "remove_model",
    "repetition",
    "schema_of",
    "sequence_repetition",
    "serve",
    "set_default_model",
    "tail_free",
    "temperature",
    "top_a",
    "top_k",
    "top_n_sigma",
    "top_p",
    "write_importance",
    "xtc",
]

_HOMES = {  # the imports above once more, for __getattr__
    "llmpy.backends.trace": ("OpTime", "Trace"),
    "llmpy.chat": ("Chat", "ChatDraft", "ChatTemplate"),
    "llmpy.checkpoint.convert": ("ConvertEvent", "convert"),
    "llmpy.checkpoint.open": ("open_model",),
    "llmpy.constraints": ("Constraint", "choices", "grammar", "json_schema", "regex", "schema_of"),
    "llmpy.diagnosis": ("Diagnosis", "Weakness", "diagnose"),
    "llmpy.engine": ("BatchStep",),
    "llmpy.errors": (
        "AnswerError",
        "BackendError",
        "Cancelled",
        "ConstraintError",
        "ContextFull",
        "GraphError",
        "LicenseRefused",
        "LlmpyError",
        "ModelFileError",
        "ModelNotFound",
        "OutOfMemory",
        "PullError",
        "SamplerError",
        "SessionClosed",
        "SessionInUse",
        "SnapshotError",
        "TemplateError",
        "TokenizerError",
        "ToolError",
        "UnsupportedModelError",
    ),
    "llmpy.format": ("open_gguf",),
    "llmpy.hub.catalogue": ("CATALOGUE", "CatalogueEntry"),
    "llmpy.hub.events": ("PullEvent",),
    "llmpy.hub.finding": (
        "copy_model",
        "default_model",
        "default_name",
        "find_model",
        "models",
        "remove_model",
        "set_default_model",
    ),
    "llmpy.hub.pulling": ("pull",),
    "llmpy.hub.store": ("StoredFile", "StoredModel"),
    "llmpy.loading": ("LoadEvent", "aload", "load", "load_template", "load_tokenizer"),
    "llmpy.machine.bandwidth": ("read_bandwidth",),
    "llmpy.machine.cpus": ("available_cpus",),
    "llmpy.model": ("Model",),
    "llmpy.planning": ("MemoryPlace", "MemoryPlan", "plan_memory", "program_text"),
    "llmpy.quantization": (
        "Divergence",
        "Importance",
        "MeasureEvent",
        "Perplexity",
        "QuantizeEvent",
        "collect_importance",
        "divergence",
        "perplexity",
        "quantize",
        "read_importance",
        "write_importance",
    ),
    "llmpy.sampling": (
        "Candidate",
        "Chain",
        "Rng",
        "Sampler",
        "Stage",
        "adaptive_p",
        "banned_strings",
        "chain",
        "default_chain",
        "dry",
        "dynamic_temperature",
        "frequency",
        "greedy",
        "ignore_eos",
        "locally_typical",
        "logit_bias",
        "min_p",
        "mirostat1",
        "mirostat2",
        "presence",
        "repetition",
        "sequence_repetition",
        "tail_free",
        "temperature",
        "top_a",
        "top_k",
        "top_n_sigma",
        "top_p",
        "xtc",
    ),
    "llmpy.server.serving": ("serve",),
    "llmpy.session": (
        "FinishReason",
        "Logprobs",
        "Parsed",
        "Piece",
        "STOP",
        "Session",
        "Stats",
        "ToolCall",
    ),
    "llmpy.session.batched": ("next_tokens",),
    "llmpy.session.completion": ("Completion",),
    "llmpy.session.draft": ("Draft",),
    "llmpy.session.mark": ("Mark",),
    "llmpy.session.overflow": ("ContextWarning", "Overflow"),
    "llmpy.session.ranking": ("Ranked",),
    "llmpy.session.scoring": ("Score",),
    "llmpy.session.steps": ("Step",),
    "llmpy.tokenizer": ("Tokenizer", "TokenizerProtocol"),
    "llmpy.tools": ("Tool",),
}


if not TYPE_CHECKING:  # which would let type checkers take any name for one of these

    def __getattr__(name: str) -> Any:
        """Each name is imported when it is first used, so that `llmpy --help` waits for none."""
        from importlib import import_module

        if name == "__version__":
            from importlib.metadata import version

            globals()[name] = version("llmpy")
            return globals()[name]
        for module, names in _HOMES.items():
            if name in names:
                value = globals()[name] = getattr(import_module(module), name)
                return value
        raise AttributeError(f"module 'llmpy' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
