"""Contents of a frozen program with llmpy: all modules, the library, data files, the version."""  # noqa: N999

from PyInstaller.utils.hooks import (
    collect_data_files,
    collect_dynamic_libs,
    collect_submodules,
    copy_metadata,
)

# Architectures, commands and what `llmpy.NAME` names are imported when they are asked for.
hiddenimports = collect_submodules("llmpy", filter=lambda name: ".frozen." not in name)
datas = collect_data_files("llmpy") + copy_metadata("llmpy", recursive=True)  # for `llmpy doctor`
binaries = collect_dynamic_libs("llmpy")
