"""The process that runs a Python function of a flow: reads JSON, sets its limits, writes JSON."""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any


def limit(told: dict[str, Any]) -> None:
    """Set the limits that this system has; they are those of all processes that this one starts."""
    try:
        import resource
    except ImportError:  # Windows has none; the clock of the parent remains
        return
    wanted = {
        "RLIMIT_CPU": told["seconds"], "RLIMIT_AS": told["memory"], "RLIMIT_FSIZE": told["output"],
        "RLIMIT_CORE": 0, "RLIMIT_NOFILE": 64,
    }  # fmt: skip
    for name, value in wanted.items():
        which = getattr(resource, name, None)
        try:
            if which is not None:
                resource.setrlimit(which, (value, value))
        except (OSError, ValueError):  # macOS refuses some
            continue


def main() -> None:
    """Run the function, and write its value or its error."""
    told = json.loads(sys.stdin.buffer.read())
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what is printed is no result
    limit(told)
    try:
        names: dict[str, Any] = {"__name__": "flow"}
        exec(compile(told["code"], "code", "exec"), names)
        value = names[told["name"]](**told["arguments"])
        found = json.dumps({"value": value}, allow_nan=False)
    except MemoryError:
        found = json.dumps({"error": f"it needs more than {told['memory'] >> 20} MB of memory"})
    except BaseException as error:
        lines = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == "code"]
        where = f" (line {lines[-1].lineno})" if lines else ""
        found = json.dumps({"error": f"{type(error).__name__}: {error}{where}"})
    sys.stdout.flush()
    sys.stderr.flush()
    out.write(found.encode("utf-8", "surrogatepass"))
    out.flush()
    os._exit(0)  # whatever threads the function left


if __name__ == "__main__":
    main()
