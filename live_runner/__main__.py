"""Run the live runner: `python -m live_runner --config runner.yaml`."""

import argparse
import asyncio
import contextlib
import random
import signal
import sys
from collections.abc import Generator
from pathlib import Path

import httpx
import uvicorn
from httpx_aiohttp import AiohttpTransport

from kernel.errors import SettingsError
from live_runner.api.http import build_app
from live_runner.desk import Desk
from live_runner.journal.journal import Journal, JournalError
from live_runner.settings import RunnerSettings, load_settings

REQUEST_SECONDS = 10.0
# How long a thread that reads for the page may hold the interpreter while a bar waits for it.
SWITCH_SECONDS = 0.0005


class Server(uvicorn.Server):
    """uvicorn inside our event loop; signals belong to the runner."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals alone."""
        yield


async def serve(settings: RunnerSettings, journal: Journal) -> None:
    """Trade and answer HTTP until SIGINT or SIGTERM, then finish the running bar and return."""
    async with httpx.AsyncClient(
        transport=AiohttpTransport(), base_url=settings.venue_rest, timeout=REQUEST_SECONDS
    ) as client:
        desk = Desk(settings, journal, client, random.Random())
        server = Server(
            uvicorn.Config(
                build_app(desk),
                host=settings.host,
                port=settings.port,
                loop="asyncio",
                http="h11",
                ws="websockets-sansio",
                lifespan="off",
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=3,
            )
        )
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        trading = asyncio.ensure_future(desk.run())
        serving = asyncio.ensure_future(server.serve())
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({trading, serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        stopping.cancel()
        failed = trading.done()
        trading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await trading if not failed else None
        await serving
        if failed:
            trading.result()


def _require_watched(settings: RunnerSettings, journal: Journal) -> None:
    """Raise SettingsError where a position is open that the settings would leave unwatched."""
    left = [symbol for symbol in journal.held() if symbol not in settings.symbols]
    if left:
        raise SettingsError(
            f"symbols: found none of {', '.join(left)}, of which the journal {settings.journal} "
            "has an open position or order, expected it watched until it has left; name it in "
            "symbols and in exits_only: then nothing is opened, and its exits are kept"
        )


def main() -> int:
    """Read the settings, open the journal and run; return the exit code."""
    parser = argparse.ArgumentParser(prog="live_runner", description="Trade on paper, live.")
    parser.add_argument("--config", type=Path, required=True, help="the runner's YAML settings")
    try:
        settings = load_settings(parser.parse_args().config)
        journal = Journal(settings.journal)
        _require_watched(settings, journal)
    except (SettingsError, JournalError, OSError) as error:
        sys.stderr.write(f"live_runner: {error}\n")
        return 2
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        asyncio.run(serve(settings, journal))
    finally:
        journal.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
