"""A flow without its page: two beginnings, each continued by the model, joined to one text."""

import sys

from llmpy.apps import flow

story = flow.loads("""{
 "nodes": [
  {"id": "heroes", "type": "list", "data": {"lines": "a cat\\na brave bird"}},
  {"id": "tell", "type": "map", "data": {
    "template": "Once upon a time, there was {{item}}",
    "then": "generate", "each": {"way": "continue", "max_tokens": 25}}},
  {"id": "join", "type": "prompt", "data": {"template": "{{stories}}\\n\\nThe end."}},
  {"id": "out", "type": "output", "title": "story"}
 ],
 "edges": [
  {"source": "heroes", "sourceHandle": "items", "target": "tell", "targetHandle": "items"},
  {"source": "tell", "sourceHandle": "results", "target": "join", "targetHandle": "stories"},
  {"source": "join", "sourceHandle": "text", "target": "out", "targetHandle": "value"}
 ]
}""")
models = flow.Models(sys.argv[1])
run = flow.Execution(story, models, tell=lambda event: print(event.node, event.kind))
print(run.run()["story"])
models.close()
