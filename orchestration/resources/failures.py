"""Errors of the libraries as failures of Dagster."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from kernel.errors import TidegateError


@contextmanager
def failures() -> Iterator[None]:
    """Turn an error that a person can act on into a dagster Failure with its text.

    What may pass by itself may be retried, anything else may not.
    """
    try:
        yield
    except TidegateError as error:
        raise dg.Failure(description=str(error), allow_retries=error.passing) from error
