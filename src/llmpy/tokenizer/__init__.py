"""Text to token ids and back, as a model file's `tokenizer.ggml.*` metadata says.

metadata.py        keys of the metadata        vocabulary.py      all of them, checked
kinds.py, ends.py  kinds; what ends a turn     pretokenizers.py   how families cut words
engine.py          merging, in Rust            specials.py        cutting at special tokens
tokenizer.py       the whole, and decoding     alphabet.py, custom.py  bytes; the user's own
"""

from llmpy.tokenizer.custom import TokenizerProtocol, adopt_tokenizer, with_specials_of
from llmpy.tokenizer.kinds import SILENT, Kind
from llmpy.tokenizer.tokenizer import Decoder, Tokenizer, build_tokenizer

__all__ = [
    "SILENT", "Decoder", "Kind", "Tokenizer", "TokenizerProtocol", "adopt_tokenizer",
    "build_tokenizer", "with_specials_of",
]  # fmt: skip
