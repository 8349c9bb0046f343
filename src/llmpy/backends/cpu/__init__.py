"""The native backend: weights packed, a graph lowered to operations of the library."""
