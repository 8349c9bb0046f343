"""Contents of a frozen program with llmpy: its modules, the library, data files, the version."""  # noqa: N999

from pathlib import Path

from PyInstaller.utils.hooks import (
    collect_data_files,
    collect_dynamic_libs,
    collect_submodules,
    copy_metadata,
)

# Commands and applications have hooks of their own: a program without them need not contain them.
OTHERS = ("llmpy.__main__", "llmpy.apps", "llmpy.cli", "llmpy.frozen", "llmpy.testing")


def is_library(name: str) -> bool:
    """Whether a module belongs to every program with llmpy."""
    return not any(f"{name}.".startswith(f"{other}.") for other in OTHERS)


# Architectures, and what `llmpy.NAME` names, are imported when they are asked for.
hiddenimports = collect_submodules("llmpy", filter=is_library)
datas = collect_data_files("llmpy", excludes=["apps"])
# Versions, for `llmpy doctor`: the rest of what installers left is of no use.
datas += [
    (str(Path(found, "METADATA")), into) for found, into in copy_metadata("llmpy", recursive=True)
]
binaries = collect_dynamic_libs("llmpy")
