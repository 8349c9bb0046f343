"""Without the native client that Hugging Face's own downloads use: llmpy's have no need of it."""  # noqa: N999

from PyInstaller.utils.hooks import copy_metadata

datas = copy_metadata("huggingface_hub")
excludedimports = ["hf_xet"]
