"""The window of one line: a process of its own, as only a new one gets the focus everywhere."""

from __future__ import annotations

import asyncio
import sys

__all__ = ["ask_line"]


async def ask_line(title: str) -> str:
    """Return the line that the user writes into a window, "" if it is closed."""
    pipe, none = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    # a frozen program is its own Python, and has no files of modules
    how = ["-m", __name__] if getattr(sys, "frozen", False) else ["-I", __file__]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *how, title, stdout=pipe, stderr=none
    )
    try:
        line, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise RuntimeError("the window needs Tk: on Debian and Ubuntu, apt install python3-tk")
    return line.decode("utf-8").strip()


def main(title: str) -> None:
    """Show the window, and print what was written when Enter is pressed."""
    import tkinter

    root = tkinter.Tk(className="llmpy")
    root.title(f"llmpy: {title}")
    root.attributes("-topmost", True)
    entry = tkinter.Entry(root, font=("TkTextFont", 13), borderwidth=8, relief="flat")
    entry.pack(fill="x", expand=True)

    def done(_event: object) -> None:
        sys.stdout.buffer.write(entry.get().encode("utf-8"))
        sys.stdout.flush()
        root.destroy()

    entry.bind("<Return>", done)
    entry.bind("<KP_Enter>", done)
    entry.bind("<Escape>", lambda _event: root.destroy())
    root.update_idletasks()
    width, height = root.winfo_screenwidth(), root.winfo_screenheight()
    wide = min(root.winfo_pixels("480p"), width * 4 // 5)
    root.geometry(f"{wide}x{root.winfo_reqheight()}+{(width - wide) // 2}+{height // 3}")
    entry.focus_force()
    root.mainloop()


if __name__ == "__main__":
    main(sys.argv[1])
