"""From logits to a token: the chain, its steps, and the random numbers it draws with."""

from llmpy.sampling.chains import Chain, Sampled, Sampler, chain, default_chain
from llmpy.sampling.compiled import NativeChain
from llmpy.sampling.rng import Rng
from llmpy.sampling.steps import (
    frequency,
    greedy,
    logit_bias,
    min_p,
    presence,
    repetition,
    temperature,
    top_k,
    top_p,
)

__all__ = [
    "Chain",
    "NativeChain",
    "Rng",
    "Sampled",
    "Sampler",
    "chain",
    "default_chain",
    "frequency",
    "greedy",
    "logit_bias",
    "min_p",
    "presence",
    "repetition",
    "temperature",
    "top_k",
    "top_p",
]
