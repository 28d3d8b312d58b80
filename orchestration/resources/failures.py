"""Errors of the libraries as failures of Dagster: which a retry may help, and which it may not."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from kernel.errors import TidegateError

PASSING_FAULTS = dg.RetryPolicy(
    max_retries=6,  # after 1, 3, 7, 15, 31 and 63 s: a service that restarts is waited for
    delay=1,
    backoff=dg.Backoff.EXPONENTIAL,
    jitter=dg.Jitter.PLUS_MINUS,  # symbols that failed together do not come back together
)
"""How a step is tried again; only with `failures()` around its body, which says what may pass."""


@contextmanager
def failures() -> Iterator[None]:
    """Turn what the body raises into a dagster Failure that says whether a retry may help.

    As a decorator it stands below `@dg.asset` or `@dg.op`. What may pass is a TidegateError that
    says so, and a connection that broke or timed out; a refusal or a defect comes back each time.
    """
    try:
        yield
    except TidegateError as error:
        raise dg.Failure(description=str(error), allow_retries=error.passing) from error
    except dg.Failure:
        raise
    except (ConnectionError, TimeoutError) as error:
        raise dg.Failure(description=repr(error), allow_retries=True) from error
    except Exception as error:
        raise dg.Failure(description=repr(error), allow_retries=False) from error
