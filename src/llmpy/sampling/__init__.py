"""From logits to a token: the chain, its steps, and the random numbers it draws with."""

from llmpy.sampling.adaptive import adaptive_p, mirostat1, mirostat2
from llmpy.sampling.chains import (
    Chain,
    Sampled,
    Sampler,
    Sampling,
    chain,
    checked_chain,
    default_chain,
)
from llmpy.sampling.compiled import NativeChain
from llmpy.sampling.definition import Candidate, Stage
from llmpy.sampling.penalties import frequency, ignore_eos, logit_bias, presence, repetition
from llmpy.sampling.repeats import dry, sequence_repetition
from llmpy.sampling.rng import Rng
from llmpy.sampling.state import ChainState
from llmpy.sampling.temperatures import dynamic_temperature, greedy, temperature
from llmpy.sampling.texts import banned_strings
from llmpy.sampling.truncation import (
    locally_typical,
    min_p,
    tail_free,
    top_a,
    top_k,
    top_n_sigma,
    top_p,
    xtc,
)

__all__ = [
    "Candidate",
    "Chain",
    "ChainState",
    "NativeChain",
    "Rng",
    "Sampled",
    "Sampler",
    "Sampling",
    "Stage",
    "adaptive_p",
    "banned_strings",
    "chain",
    "checked_chain",
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
]
