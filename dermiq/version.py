"""The version of the code. The weights have versions of their own, in their cards."""

__version__ = "0.1.0"
