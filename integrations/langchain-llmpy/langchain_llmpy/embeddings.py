"""`LlmpyEmbeddings`: vectors of texts."""

from __future__ import annotations

from langchain_core.embeddings import Embeddings
from pydantic import BaseModel, ConfigDict

from langchain_llmpy.loaded import loaded

__all__ = ["LlmpyEmbeddings"]


class LlmpyEmbeddings(BaseModel, Embeddings):
    """Vectors of length 1 from a model of llmpy: `LlmpyEmbeddings(model="minilm")`."""

    model_config = ConfigDict(extra="forbid")

    model: str
    n_ctx: int | None = None

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each text."""
        found: list[list[float]] = loaded(self.model, self.n_ctx).embed(texts).tolist()
        return found

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a text."""
        return self.embed_documents([text])[0]
