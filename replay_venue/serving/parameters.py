"""Query parameters, checked and refused as the exchange does."""

import re
from collections.abc import Mapping

from replay_venue.market.intervals import INTERVALS


class RefusedError(Exception):
    """A request the exchange would refuse: its error code, its words and the HTTP status."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def whole(query: Mapping[str, str], name: str) -> int | None:
    """Return a whole number or None; -1100 for anything but up to 15 digits."""
    text = query.get(name)
    if text is None or text == "":
        return None
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise RefusedError(
            -1100,
            f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.",
        )
    return int(text)


def limit(query: Mapping[str, str], *, default: int, largest: int) -> int:
    """Return how many rows are wanted; -1130 outside 1 … `largest`."""
    wanted = whole(query, "limit")
    if wanted is None:
        return default
    if not 1 <= wanted <= largest:
        raise RefusedError(-1130, "Data sent for parameter 'limit' is not valid.")
    return wanted


def window(query: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Return startTime and endTime, both inclusive; -1023 if they are the wrong way round."""
    start = whole(query, "startTime")
    end = whole(query, "endTime")
    if start is not None and end is not None and start > end:
        raise RefusedError(-1023, "Start time is greater than end time.")
    return start, end


def symbol(query: Mapping[str, str], traded: tuple[str, ...], name: str = "symbol") -> str:
    """Return the symbol; -1102 if it is missing, -1121 if it is not traded here."""
    wanted = _mandatory(query, name)
    if wanted not in traded:
        raise RefusedError(-1121, f"Invalid {name}.")
    return wanted


def symbols(query: Mapping[str, str], traded: tuple[str, ...]) -> tuple[str, ...]:
    """Return the symbol asked for, or all that are traded; -1121 if it is not one of them."""
    return (symbol(query, traded),) if query.get("symbol") else traded


def interval(
    query: Mapping[str, str], name: str = "interval", known: tuple[str, ...] = INTERVALS
) -> str:
    """Return a candle interval; -1120 if it is not one of `known`."""
    wanted = _mandatory(query, name)
    if wanted not in known:
        raise RefusedError(-1120, f"Invalid {name}.")
    return wanted


def _mandatory(query: Mapping[str, str], name: str) -> str:
    value = query.get(name)
    if not value:
        raise RefusedError(
            -1102,
            f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.",
        )
    return value
