"""DermIQ: what a consultation needs."""

__version__ = "0.1.0"
