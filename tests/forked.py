"""Processes for tests that race or are killed: forked from a server that has imported it all."""

import multiprocessing

PRELOADED = [
    "tests.market_data.storage.endless_writer",
    "tests.orchestration.resources.test_promotion_store",
    "tests.orchestration.test_first_use",
]
FORKED = multiprocessing.get_context("forkserver")
# One server serves a whole process of tests, and imports once: before its first fork.
FORKED.set_forkserver_preload(PRELOADED)
