"""A model on several backends: the first layers on one, the next on another."""
