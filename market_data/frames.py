"""The type of a pandas table where pandas may not be imported."""

from typing import Any

Frame = Any
"""A pandas DataFrame; its own annotations call every selection a table, a column or a scalar."""
