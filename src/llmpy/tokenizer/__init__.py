"""Text to token ids and back, as a model file's `tokenizer.ggml.*` metadata says.

vocabulary.py      the metadata, checked       pretokenizers.py   how families cut words
engine.py          merging, in Rust            specials.py        cutting at special tokens
tokenizer.py       the whole, and decoding     alphabet.py        characters that stand for bytes
"""

from llmpy.tokenizer.tokenizer import Decoder, Tokenizer, build_tokenizer
from llmpy.tokenizer.vocabulary import Kind

__all__ = ["Decoder", "Kind", "Tokenizer", "build_tokenizer"]
