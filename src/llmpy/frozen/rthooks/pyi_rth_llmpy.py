"""`PROGRAM -m MODULE ARGUMENTS`, as Python has it, for modules that llmpy starts as processes."""

import runpy
import sys

from llmpy.frozen import PROCESSES

if sys.argv[1:2] == ["-m"] and sys.argv[2:3] and sys.argv[2] in PROCESSES:
    module = sys.argv[2]
    del sys.argv[1:3]
    runpy.run_module(module, run_name="__main__")
    sys.exit()
