"""Checks commit subjects: at most 72 characters, without a period, begun by a capital letter.

python tools/check_commit_subject.py FILE      the message in a file, as git's hook passes it
python tools/check_commit_subject.py --since REV   all commits after a revision
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MOST = 72


def wrong(subject: str) -> str | None:
    """What is wrong with a subject, if anything."""
    if len(subject) > MOST:
        return f"expected at most {MOST} characters, found {len(subject)}"
    if not subject[:1].isupper():
        return "expected a capital letter at the beginning"
    if subject.endswith("."):
        return "expected no period at the end"
    return None


def main() -> None:
    if sys.argv[1] == "--since":
        command = ["git", "log", "--format=%s", f"{sys.argv[2]}..HEAD"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        subjects = done.stdout.splitlines()
    else:
        subjects = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()[:1]
    found = [f"{subject}\n    {why}" for subject in subjects if (why := wrong(subject))]
    if found:
        sys.exit("commit subjects:\n" + "\n".join(found))


if __name__ == "__main__":
    main()
