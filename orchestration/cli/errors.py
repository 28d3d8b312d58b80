"""Errors that a person can act on: printed as one message, without a traceback.

The operating system's own (no folder, no permission, disk full, port in use) are among them.
"""

import httpx

from kernel.errors import TidegateError

EXPECTED = (TidegateError, OSError, httpx.TransportError)
