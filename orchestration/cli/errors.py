"""Errors that a person can act on: printed as one message, without a traceback."""

import httpx

from kernel.errors import TidegateError

EXPECTED = (TidegateError, FileNotFoundError, PermissionError, httpx.TransportError)
