"""The kinds of root that the lake may have, as in the tests of the lake itself."""

from tests.market_data.conftest import bucket, object_store, root

__all__ = ["bucket", "object_store", "root"]
