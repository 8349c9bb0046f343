"""Autocompletion: what is left of the cursor in, the rest of the sentence out, as it comes.

With --anywhere, Ctrl+Alt+Space completes in any program; `llmpy anywhere` does so with more care.
"""

import queue
import sys
import time
from collections.abc import Callable

import llmpy

model = llmpy.load(sys.argv[1])


def complete(text: str, show: Callable[[str], None]) -> None:
    """Show how the sentence goes on."""
    for piece in model.session(temperature=0.3).stream(text.rstrip(), max_tokens=40, stop="."):
        show(piece.text if piece.kind != "prompt" else "")


if "--anywhere" in sys.argv:
    import pyperclip
    from pynput.keyboard import Controller, GlobalHotKeys, Key

    keys, presses = Controller(), queue.Queue()
    GlobalHotKeys({"<ctrl>+<alt>+<space>": lambda: presses.put(True)}).start()
    while presses.get():
        time.sleep(0.5)  # until the keys are released
        for modifier, key in ((Key.shift, Key.home), (Key.ctrl, "c")):
            keys.press(modifier)
            keys.tap(key)
            keys.release(modifier)
        keys.tap(Key.right)
        time.sleep(0.2)
        complete(pyperclip.paste(), keys.type)
else:
    given = sys.argv[2] if len(sys.argv) > 2 else "One day, Lily went to"
    complete(given, lambda text: print(text, end="", flush=True))
    print()
