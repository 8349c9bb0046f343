"""The architectures: one short file each, found by being in this folder."""
