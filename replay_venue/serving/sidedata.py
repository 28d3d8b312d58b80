"""What is not the exchange's: Coin Metrics' community API and alternative.me's index.

Sources: Coin Metrics API v4 "Get asset metrics" and "Catalog of asset metrics"; alternative.me
"Fear and Greed Index API".
"""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from replay_venue.serving import wire
from replay_venue.serving.endpoints import coinmetrics, sentiment
from replay_venue.serving.endpoints.coinmetrics import BadParameterError
from replay_venue.serving.venue import ServedVenue


def router(venue: ServedVenue) -> APIRouter:
    """Return the endpoints over `venue`."""
    routes = APIRouter()

    @routes.get("/coinmetrics/v4/timeseries/asset-metrics")
    async def asset_metrics(request: Request) -> Any:
        url = request.url
        try:
            page = coinmetrics.metrics_page(venue, request.query_params)
        except BadParameterError as error:
            return _refused(error)
        if token := page.get("next_page_token"):
            page["next_page_url"] = str(url.include_query_params(next_page_token=token))
        return wire.response(page)

    @routes.get("/coinmetrics/v4/catalog-v2/asset-metrics")
    async def catalog(request: Request) -> Any:
        try:
            return wire.response(coinmetrics.catalog(venue, request.query_params))
        except BadParameterError as error:
            return _refused(error)

    @routes.get("/alternative/fng")
    @routes.get("/alternative/fng/")
    async def fng(request: Request) -> Any:
        if request.query_params.get("format") == "csv":
            return PlainTextResponse(sentiment.as_csv(venue, request.query_params))
        return wire.response(sentiment.fear_greed(venue, request.query_params))

    return routes


def _refused(error: BadParameterError) -> Response:
    body = {"error": {"type": "bad_parameter", "message": str(error)}}
    return wire.response(body, status=400)
