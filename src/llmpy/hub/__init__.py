"""Models by name: where they come from, how they are downloaded, where they lie.

What opens a model that lies here imports of it only the modules that need no network.
"""
