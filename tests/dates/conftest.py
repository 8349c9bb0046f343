"""Tests of the data that the dates model learns from: tools/dates is no package."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "dates"))
