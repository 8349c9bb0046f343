"""Models of llmpy for LangChain: `ChatLlmpy` and `LlmpyEmbeddings`."""

from langchain_llmpy.chat import ChatLlmpy
from langchain_llmpy.embeddings import LlmpyEmbeddings

__all__ = ["ChatLlmpy", "LlmpyEmbeddings"]
