"""Builds the native library into build/ (build-sanitize/ with --sanitize) and prints where it is.

export LLMPY_LIBRARY=$(python tools/build_native.py)
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMES = {"win32": "llmpy.dll", "darwin": "libllmpy.dylib"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--sanitize", nargs="?", const="address", choices=["address", "thread"], help="which one"
    )
    parser.add_argument(
        "--tests", nargs="?", const=".", metavar="REGEX",
        help="build the native tests, and run all, or those whose names match",
    )  # fmt: skip
    parser.add_argument("--jobs", default="2", help="compilers at a time")
    options = parser.parse_args()
    flags = {"address": "-DLLMPY_SANITIZE=ON", "thread": "-DLLMPY_SANITIZE_THREADS=ON"}
    suffix = f"-{options.sanitize}" if options.sanitize else ""
    build = ROOT / f"build{suffix}"
    configure = ["cmake", "-S", str(ROOT), "-B", str(build)]
    configure.append(f"-DLLMPY_TESTS={'ON' if options.tests else 'OFF'}")
    if options.sanitize:
        configure.append(flags[options.sanitize])
    run(configure)
    run(["cmake", "--build", str(build), "--parallel", options.jobs])
    if options.tests:
        run(["ctest", "--test-dir", str(build), "--output-on-failure", "-R", options.tests])
    print(build / NAMES.get(sys.platform, "libllmpy.so"))


def run(command: list[str]) -> None:
    """Run it with its output on stderr; stop at the first failure."""
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
        sys.exit(f"failed: {' '.join(command)}")


if __name__ == "__main__":
    main()
