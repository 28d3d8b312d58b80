"""Threads of the libraries that models are fitted with."""

from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def pinned_threads() -> Generator[None]:
    """Run BLAS and OpenMP on one thread each, however the process was launched.

    A sum that is split among threads is rounded in another order: the same table would give other
    graph bytes on another machine. A trainer that is told its own number of threads keeps it.
    """
    # Only what is loaded can be limited.
    import lightgbm  # noqa: F401  # pyright: ignore[reportMissingTypeStubs,reportUnusedImport]
    import scipy.optimize  # noqa: F401  # pyright: ignore[reportMissingTypeStubs,reportUnusedImport]
    import sklearn.ensemble  # noqa: F401  # pyright: ignore[reportMissingTypeStubs,reportUnusedImport]
    import xgboost  # noqa: F401  # pyright: ignore[reportUnusedImport]
    from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs]

    with threadpool_limits(limits=1):
        yield
