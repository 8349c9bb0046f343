"""JSON schemas as grammars that accept exactly the JSON texts of valid values, in one form each.

Objects have their properties in the order in which the schema names them, then the others.
"""

from llmpy.constraints.schema.compiled import json_schema, schema_rules

__all__ = ["json_schema", "schema_rules"]
