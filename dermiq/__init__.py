"""DermIQ: what a consultation needs."""

import logging

__version__ = "0.1.0"

# On some processors bitsandbytes warns, whenever it is imported, that a package is missing which is never used here.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
