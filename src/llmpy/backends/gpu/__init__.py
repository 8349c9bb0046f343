"""The GPU backend: a core that knows no API, and the devices that it runs on."""
