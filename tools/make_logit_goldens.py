"""Makes tests/session/golden/smollm2-logits.npz: a real model in float32, by transformers.

    python tools/make_logit_goldens.py MODEL.gguf TEXT OUT.npz [--positions 200]

in an environment with torch, transformers, accelerate and gguf, which dequantizes the weights. Of
each of the text's first positions: the 64 largest logits, their tokens, and the logarithm of the
sum of all exponentials, from which probabilities follow.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import transformers

LARGEST = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--positions", type=int, default=200)
    given = parser.parse_args()
    source = {"pretrained_model_name_or_path": given.model.parent, "gguf_file": given.model.name}
    tokenizer = transformers.AutoTokenizer.from_pretrained(**source)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        **source, dtype=torch.float32, attn_implementation="eager"
    )
    text = given.text.read_text(encoding="utf-8")[: 16 * given.positions]
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"][: given.positions]
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0].double()
    largest = torch.topk(logits, LARGEST)
    np.savez_compressed(
        given.out,
        tokens=np.array(tokens, np.int32),
        top=largest.indices.numpy().astype(np.int32),
        logits=largest.values.numpy().astype(np.float32),
        log_sum=torch.logsumexp(logits, dim=-1).numpy(),
    )
    print(f"{given.out}: {len(tokens)} positions, transformers {transformers.__version__}")


if __name__ == "__main__":
    main()
