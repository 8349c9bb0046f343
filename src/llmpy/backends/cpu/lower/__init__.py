"""From a graph to the native operations of a plan, and where their results lie."""
