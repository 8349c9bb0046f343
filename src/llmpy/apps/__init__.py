"""Programs on top of the library, each in a package of its own: they use its public names alone."""
