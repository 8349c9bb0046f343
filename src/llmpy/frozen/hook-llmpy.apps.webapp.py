"""Files of an application that a frozen program contains."""  # noqa: N999

from PyInstaller.utils.hooks import collect_data_files

datas = collect_data_files("llmpy.apps.webapp")
