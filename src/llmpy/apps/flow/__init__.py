"""`llmpy flow`: nodes joined by typed wires, on a page or headless, in files of JSON.

graph.py      flows as JSON                      kinds.py, types.py  kinds of nodes, types of wires
checking.py   ports, and what is wrong           executing.py, work.py, cache.py  running a flow
nodes/        the kinds that llmpy has           app.py, starting.py  the page and its server
"""

from llmpy.apps.flow.executing import Execution
from llmpy.apps.flow.graph import Flow, FlowError, load, loads, save
from llmpy.apps.flow.work import Allowed, Event, Models

__all__ = ["Allowed", "Event", "Execution", "Flow", "FlowError", "Models", "load", "loads", "save"]
