"""Grammars: each makes texts of many forms, whose words, signs and order are chosen one by one."""

from forms.wide import languages, marks, points, qualified, ranges

__all__ = ["languages", "marks", "points", "qualified", "ranges"]
