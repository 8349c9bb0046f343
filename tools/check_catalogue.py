"""Download each model of the catalogue, and compare it with what the catalogue says of it.

python tools/check_catalogue.py

A pull compares the checksums; sizes, contexts and licences are compared here. The models go to a
folder that is deleted at the end.
"""

from __future__ import annotations

import os
import sys
import tempfile

import llmpy
from llmpy.hub.catalogue import CatalogueEntry


def wrong(entry: CatalogueEntry) -> list[str]:
    """What is not as the catalogue says."""
    model = llmpy.pull(entry.name)
    with llmpy.open_model(model.path) as file:
        context = file.metadata[f"{file.metadata['general.architecture']}.context_length"]
        license = file.metadata.get("general.license", entry.license)
    pairs = {
        "size": (entry.size, model.size),
        "files": (len(entry.files), len(model.files)),
        "n_ctx": (entry.n_ctx, context),
        "license": (entry.license.lower(), str(license).lower()),
    }
    return [
        f"{entry.name}: {key}: expected {expected}, found {found}"
        for key, (expected, found) in pairs.items()
        if expected != found
    ]


def main() -> int:
    """0 if all is as the catalogue says."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LLMPY_MODELS"] = folder
        errors = [error for entry in llmpy.CATALOGUE for error in wrong(entry)]
    print("\n".join(errors) or "the catalogue is right")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
