"""Threads of the libraries that models are fitted with."""

from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module

TRAINERS = ("lightgbm", "scipy.optimize", "sklearn.ensemble", "xgboost")


@contextmanager
def pinned_threads(*libraries: str) -> Generator[None]:
    """Run BLAS and OpenMP on one thread each, however the process was launched.

    A sum that is split among threads is rounded in another order: the same table would give other
    graph bytes on another machine. `libraries` are those that fit meanwhile, by default all
    trainers. A trainer that is told its own number of threads keeps it. Also a decorator: whatever
    fits a model stands under it.
    """
    from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs]

    for name in libraries or TRAINERS:
        import_module(name)  # only what is loaded can be limited
    with threadpool_limits(limits=1):
        yield
