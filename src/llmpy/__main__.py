"""`python -m llmpy` is the `llmpy` command."""

from llmpy.cli import main

main()
