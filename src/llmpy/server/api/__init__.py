"""The APIs that a server speaks, a module each."""
