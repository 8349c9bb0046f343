"""`python -m llmpy.cli` is the `llmpy` command."""

from llmpy.cli import main

main()
