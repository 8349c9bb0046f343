"""Properties of the machine and the installation that decide how fast llmpy runs, and advice."""

from llmpy.diagnosis.report import Diagnosis, diagnose
from llmpy.diagnosis.weaknesses import Weakness

__all__ = ["Diagnosis", "Weakness", "diagnose"]
