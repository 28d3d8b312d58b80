"""The values made last: what a pure function returned is kept while there is room for it."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any


class Recent:
    """The `capacity` values asked for last; older ones are made again.

    One thread at a time asks or makes: servers in threads may share one market.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._asking = threading.RLock()  # what is made may ask for other values

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the value of `key`, made by `make` if it is not kept."""
        with self._asking:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            value = self._kept[key] = make()
            if len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
            return value
