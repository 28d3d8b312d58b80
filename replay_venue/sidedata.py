"""What is not the exchange's: Coin Metrics' community API and alternative.me's index.

Sources: Coin Metrics API v4 "Get asset metrics"; alternative.me "Fear and Greed Index API".
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request

from replay_venue import wire
from replay_venue.parameters import RefusedError, whole
from replay_venue.venue import Venue
from replay_venue.weather import DAY_MS
from replay_venue.wire import JsonObject, decimal

METRICS = {"FlowInExUSD": "flow_in_usd", "FlowOutExUSD": "flow_out_usd", "CapMVRVCur": "mvrv"}
MAX_PAGE = 10_000
_MOODS = (
    (25, "Extreme Fear"),
    (46, "Fear"),
    (54, "Neutral"),
    (75, "Greed"),
    (100, "Extreme Greed"),
)

Query = Mapping[str, str]


class BadParameterError(Exception):
    """A request Coin Metrics would refuse."""


def router(venue: Venue) -> APIRouter:
    """Return the endpoints over `venue`."""
    routes = APIRouter()

    @routes.get("/coinmetrics/v4/timeseries/asset-metrics")
    async def asset_metrics(request: Request) -> Any:
        try:
            return wire.response(metrics_page(venue, request.query_params, str(request.url)))
        except BadParameterError as error:
            body = {"error": {"type": "bad_parameter", "message": str(error)}}
            return wire.response(body, status=400)

    @routes.get("/alternative/fng")
    @routes.get("/alternative/fng/")
    async def fng(request: Request) -> Any:
        return wire.response(fear_greed(venue, request.query_params))

    return routes


def metrics_page(venue: Venue, query: Query, url: str) -> JsonObject:
    """Return one page of daily values, by asset and then time; `next_page_token` leads to the next.

    Pages run from the end by default, as Coin Metrics' do; `paging_from=start` turns them round.
    """
    metrics = _listed(query, "metrics", tuple(METRICS))
    rows = [row for asset in _assets(venue, query) for row in _rows(venue, asset, query, metrics)]
    size = _page_size(query)
    backwards = _choice(query, "paging_from", ("end", "start")) == "end"
    skip = _token(query)
    if backwards:
        page, left = (
            rows[max(len(rows) - skip - size, 0) : len(rows) - skip],
            len(rows) - skip - size,
        )
    else:
        page, left = rows[skip : skip + size], len(rows) - skip - size
    answer: JsonObject = {"data": page}
    if left > 0:
        separator = "&" if "?" in url else "?"
        base = url.partition("&next_page_token=")[0]
        answer["next_page_token"] = str(skip + size)
        answer["next_page_url"] = f"{base}{separator}next_page_token={skip + size}"
    return answer


def fear_greed(venue: Venue, query: Query) -> JsonObject:
    """Return the index, latest first: one value by default, all for limit=0."""
    limit = whole(query, "limit")
    limit = 1 if limit is None else limit
    index = venue.fear_greed()
    stop = len(index.value) if limit == 0 else min(limit, len(index.value))
    now_ms = venue.clock.now_ms()
    data: list[JsonObject] = [
        {
            "value": str(int(value)),
            "value_classification": next(name for top, name in _MOODS if value <= top),
            "timestamp": str(time_ms // 1_000),
        }
        for time_ms, value in zip(
            index.time_ms[::-1][:stop].tolist(), index.value[::-1][:stop].tolist(), strict=True
        )
    ]
    if data:
        data[0]["time_until_update"] = str((DAY_MS - now_ms % DAY_MS) // 1_000)
    return {"name": "Fear and Greed Index", "data": data, "metadata": {"error": None}}


def _rows(venue: Venue, asset: str, query: Query, metrics: tuple[str, ...]) -> list[JsonObject]:
    start_ms, end_ms = _time(query, "start_time"), _time(query, "end_time")
    days = venue.onchain(asset.upper(), start_ms, end_ms)
    columns = [getattr(days, METRICS[name]).tolist() for name in metrics]
    return [
        {
            "asset": asset,
            "time": datetime.fromtimestamp(time_ms // 1_000, UTC).strftime(
                "%Y-%m-%dT%H:%M:%S.000000000Z"
            ),
            **{
                name: None if math.isnan(value) else decimal(value)
                for name, value in zip(metrics, values, strict=True)
            },
        }
        for time_ms, *values in zip(days.time_ms.tolist(), *columns, strict=True)
    ]


def _assets(venue: Venue, query: Query) -> tuple[str, ...]:
    symbols = venue.market.symbols
    return _listed(query, "assets", tuple(venue.market.instrument(s).base.lower() for s in symbols))


def _listed(query: Query, name: str, known: tuple[str, ...]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(part for part in query.get(name, "").split(",") if part))
    if not found:
        raise BadParameterError(f"Missing parameter '{name}'.")
    for value in found:
        if value not in known:
            raise BadParameterError(f"Bad parameter '{name}'. Value '{value}' is not supported.")
    return found


def _choice(query: Query, name: str, known: tuple[str, ...]) -> str:
    value = query.get(name, known[0])
    if value not in known:
        raise BadParameterError(
            f"Bad parameter '{name}'. Value '{value}' is not one of {list(known)}."
        )
    return value


def _page_size(query: Query) -> int:
    size = _number(query, "page_size", 100)
    if not 1 <= size <= MAX_PAGE:
        raise BadParameterError(
            f"Bad parameter 'page_size'. Value '{size}' is not in 1 to {MAX_PAGE}."
        )
    return size


def _token(query: Query) -> int:
    return _number(query, "next_page_token", 0)


def _number(query: Query, name: str, default: int) -> int:
    try:
        value = whole(query, name)
    except RefusedError as error:
        raise BadParameterError(f"Bad parameter '{name}'. It is not a whole number.") from error
    return default if value is None else value


def _time(query: Query, name: str) -> int | None:
    text = query.get(name)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadParameterError(
            f"Bad parameter '{name}'. Value '{text}' is not ISO 8601."
        ) from error
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1_000)
