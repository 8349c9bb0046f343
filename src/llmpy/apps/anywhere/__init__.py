"""Completion at the cursor of any program, at the press of a chord: `llmpy anywhere`."""

from llmpy.apps.anywhere.config import Command, Config, read_config, write_example
from llmpy.apps.anywhere.running import run, run_once

__all__ = ["Command", "Config", "read_config", "run", "run_once", "write_example"]
