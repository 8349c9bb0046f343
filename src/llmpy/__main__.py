"""`llmpy` and `python -m llmpy`: an interrupt counts from here, also while imports go on."""

import sys


def main() -> None:
    """Entry point of the `llmpy` command; exits the process."""
    try:
        from llmpy.cli import main as command

        command()
    except KeyboardInterrupt:
        if sys.stderr is not None:
            sys.stderr.write("llmpy: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
