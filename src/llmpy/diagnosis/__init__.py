"""What of this machine and installation decides how fast and how well llmpy runs, and advice."""

from llmpy.diagnosis.report import Diagnosis, diagnose
from llmpy.diagnosis.weaknesses import Weakness

__all__ = ["Diagnosis", "Weakness", "diagnose"]
