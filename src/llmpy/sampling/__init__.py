"""From logits to a token: the chain, its steps, and the random numbers it draws with."""

from llmpy.sampling.adaptive import AdaptiveP, Mirostat1, Mirostat2
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
from llmpy.sampling.penalties import Frequency, IgnoreEos, LogitBias, Presence, Repetition
from llmpy.sampling.repeats import Dry, SequenceRepetition
from llmpy.sampling.rng import Rng
from llmpy.sampling.state import ChainState
from llmpy.sampling.temperatures import DynamicTemperature, Greedy, Temperature
from llmpy.sampling.texts import BannedStrings
from llmpy.sampling.truncation import (
    LocallyTypical,
    MinP,
    TailFree,
    TopA,
    TopK,
    TopNSigma,
    TopP,
    Xtc,
)

# A chain is written with the words of the field: chain(top_k(8), temperature(0.7)).
adaptive_p = AdaptiveP
banned_strings = BannedStrings
dry = Dry
dynamic_temperature = DynamicTemperature
frequency = Frequency
greedy = Greedy
ignore_eos = IgnoreEos
locally_typical = LocallyTypical
logit_bias = LogitBias
min_p = MinP
mirostat1 = Mirostat1
mirostat2 = Mirostat2
presence = Presence
repetition = Repetition
sequence_repetition = SequenceRepetition
tail_free = TailFree
temperature = Temperature
top_a = TopA
top_k = TopK
top_n_sigma = TopNSigma
top_p = TopP
xtc = Xtc

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
