"""The operator's side of the venue: clock, faults and restatements, for this machine only."""

import ipaddress
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from replay_venue.serving.clock import Clock
from replay_venue.serving.faults.faults import Channel, Fault, Kind
from replay_venue.serving.restated import Restated, Restatement, Table
from replay_venue.serving.venue import BAR_MS, ServedVenue

MAX_STEPS = 100_000


class ClockChange(BaseModel):
    """A change of the clock, applied in this order: pause, speed, then the jump."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    pause: bool | None = None
    speed: float | None = None
    step_bars: Annotated[int | None, Field(ge=1, le=MAX_STEPS)] = None
    advance_to_ms: int | None = None


class FaultOrder(BaseModel):
    """A fault to arm; see `replay_venue.serving.faults.faults.Fault`.

    The kind "skew" hits no single event: from now on the time that the venue states is off by
    `skew_ms`, and by `drift` ms more with every ms of market time, until the faults are cleared.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    kind: Kind | Literal["skew"]
    count: int | None = None
    rate: float | None = None
    channel: Channel | None = None
    match: Annotated[str, Field(max_length=100)] = ""
    delay_ms: int = 2_000
    retry_after_s: float = 1.0
    rows: int = 1
    skew_ms: int = 0
    drift: float = 0.0


class RestatementOrder(BaseModel):
    """A row to restate; see `replay_venue.serving.restated.Restatement`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    table: Table
    time_ms: int
    value: float
    symbol: Annotated[str, Field(max_length=20)] = ""
    timeframe: Annotated[str, Field(max_length=4)] = "15m"
    metric: Annotated[str, Field(max_length=40)] = ""


def router(venue: ServedVenue) -> APIRouter:
    """Return the control endpoints over `venue`."""
    routes = APIRouter(prefix="/control", dependencies=[Depends(from_this_machine)])

    @routes.get("/clock")
    async def read_clock() -> dict[str, Any]:
        return asdict(venue.clock.state())

    @routes.post("/clock")
    async def change_clock(change: ClockChange) -> dict[str, Any]:
        try:
            apply(venue.clock, change)
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        return asdict(venue.clock.state())

    _serve_faults(routes, venue)
    _serve_restatements(routes, venue)
    return routes


def _serve_faults(routes: APIRouter, venue: ServedVenue) -> None:
    def report() -> dict[str, Any]:
        return {**venue.faults.report(), "skew": asdict(venue.clock.skew())}

    @routes.get("/faults")
    async def read_faults() -> dict[str, Any]:
        return report()

    @routes.post("/faults")
    async def arm_fault(order: FaultOrder) -> dict[str, Any]:
        try:
            arm(venue, order)
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        return report()

    @routes.delete("/faults")
    async def clear_faults() -> dict[str, Any]:
        venue.faults.clear()
        venue.clock.set_skew(0, 0.0)
        return report()


def _serve_restatements(routes: APIRouter, venue: ServedVenue) -> None:
    market = venue.market
    if not isinstance(market, Restated):
        raise TypeError(f"control: found a {type(market).__name__}, expected a Restated market")

    def report() -> dict[str, Any]:
        return {"restated": {number: asdict(each) for number, each in market.ordered().items()}}

    @routes.get("/restatements")
    async def read_restatements() -> dict[str, Any]:
        return report()

    @routes.post("/restatements")
    async def restate(order: RestatementOrder) -> dict[str, Any]:
        try:
            market.order(Restatement(**order.model_dump()), venue.clock.now_ms())
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        return report()

    @routes.delete("/restatements")
    async def withdraw_all() -> dict[str, Any]:
        market.withdraw()
        return report()

    @routes.delete("/restatements/{number}")
    async def withdraw(number: int) -> dict[str, Any]:
        try:
            market.withdraw(number)
        except KeyError as error:
            known = list(market.ordered())
            raise HTTPException(404, f"found restatement {number}, expected {known}") from error
        return report()


def arm(venue: ServedVenue, order: FaultOrder) -> None:
    """Arm a fault or set the clock wrong; ValueError changes nothing."""
    fields = order.model_dump()
    skew_ms = fields.pop("skew_ms")
    drift = fields.pop("drift")
    if order.kind != "skew":
        if skew_ms or drift:
            raise ValueError(f"fault {order.kind}: found skew_ms or drift, expected them for skew")
        venue.faults.arm(Fault(**fields))
    elif order.count is not None or order.rate is not None:
        raise ValueError("fault skew: found count or rate, expected neither: it lasts")
    else:
        venue.clock.set_skew(skew_ms, drift)


async def from_this_machine(request: Request) -> None:
    """Refuse a client that is not on the loopback interface."""
    host = request.client.host if request.client else ""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise HTTPException(403, f"control: found a client at {host!r}, expected one on loopback")


def apply(clock: Clock, change: ClockChange) -> None:
    """Change `clock`; ValueError leaves what came before the fault in the order applied."""
    if change.step_bars is not None and change.advance_to_ms is not None:
        raise ValueError("clock: found step_bars and advance_to_ms, expected one of them")
    if change.pause is not None:
        clock.set_paused(change.pause)
    if change.speed is not None:
        clock.set_speed(change.speed)
    if change.step_bars is not None:
        clock.advance_to((clock.now_ms() // BAR_MS + change.step_bars) * BAR_MS)
    if change.advance_to_ms is not None:
        clock.advance_to(change.advance_to_ms)
