"""The operator's side of the venue: clock and faults, for this machine only."""

import ipaddress
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from replay_venue.clock import Clock
from replay_venue.faults import Channel, Fault, Kind
from replay_venue.venue import BAR_MS, Venue

MAX_STEPS = 100_000


class ClockChange(BaseModel):
    """A change of the clock, applied in this order: pause, speed, then the jump."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    pause: bool | None = None
    speed: float | None = None
    step_bars: Annotated[int | None, Field(ge=1, le=MAX_STEPS)] = None
    advance_to_ms: int | None = None


class FaultOrder(BaseModel):
    """A fault to arm; see `replay_venue.faults.Fault`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    kind: Kind
    count: int | None = None
    rate: float | None = None
    channel: Channel | None = None
    match: Annotated[str, Field(max_length=100)] = ""
    delay_ms: int = 2_000


def router(venue: Venue) -> APIRouter:
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

    @routes.get("/faults")
    async def read_faults() -> dict[str, Any]:
        return venue.faults.report()

    @routes.post("/faults")
    async def arm_fault(order: FaultOrder) -> dict[str, Any]:
        try:
            venue.faults.arm(Fault(**order.model_dump()))
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        return venue.faults.report()

    @routes.delete("/faults")
    async def clear_faults() -> dict[str, Any]:
        venue.faults.clear()
        return venue.faults.report()

    return routes


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
