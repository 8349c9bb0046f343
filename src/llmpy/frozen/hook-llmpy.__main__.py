"""All commands, where a frozen program is the command `llmpy`."""  # noqa: N999

from PyInstaller.utils.hooks import collect_submodules

# Named by strings. Of applications whose packages are not installed nothing can be collected.
hiddenimports = collect_submodules("llmpy.cli")
hiddenimports += collect_submodules("llmpy.apps", on_error="ignore")
