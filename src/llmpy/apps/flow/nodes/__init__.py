"""The kinds of nodes that llmpy has, in the order in which the page shows them."""

from llmpy.apps.flow.nodes import inputs, models, texts, lists, outside, outputs  # isort: skip

__all__ = ["inputs", "lists", "models", "outputs", "outside", "texts"]
