"""Chains: steps that ask models, split and search texts, call functions, and run one after another.

chain = chains.Ask("Name a city in {{country}}.") | chains.Ask("Describe {{text}}.")
print(chains.Runner("MODEL.gguf").run(chain, country="Italy"))
"""

from llmpy.chains.asking import Ask, Complete, Converse, UseTools
from llmpy.chains.chainfile import from_yaml, load, save, to_yaml
from llmpy.chains.flow import Call, Map, MapReduce, Sequential, Split
from llmpy.chains.retrieval import Answer, Cite, Search, ask
from llmpy.chains.runner import Runner
from llmpy.chains.step import Event, Step
from llmpy.chains.store import Passage, Store
from llmpy.chains.template import Template, as_text, value_json
from llmpy.chains.tokens import split_text

__all__ = [
    "Answer",
    "Ask",
    "Call",
    "Cite",
    "Complete",
    "Converse",
    "Event",
    "Map",
    "MapReduce",
    "Passage",
    "Runner",
    "Search",
    "Sequential",
    "Split",
    "Step",
    "Store",
    "Template",
    "UseTools",
    "as_text",
    "ask",
    "from_yaml",
    "load",
    "save",
    "split_text",
    "to_yaml",
    "value_json",
]
