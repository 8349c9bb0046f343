"""What this machine has: memory, its bandwidth, processors, limits of control groups."""
