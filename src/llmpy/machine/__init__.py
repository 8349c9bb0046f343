"""Properties of this machine: memory, its bandwidth, processors, limits of control groups."""
