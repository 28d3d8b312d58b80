"""Run the venue: python -m replay_venue --help."""

import sys

import uvicorn

from replay_venue.serving.app import application
from replay_venue.serving.streams import sockets
from replay_venue.settings import build, parse


def main(arguments: list[str]) -> int:
    """Serve until interrupted; 2 for settings that cannot be served."""
    settings = parse(arguments)
    try:
        venue = build(settings)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    uvicorn.run(
        application(venue, settings.state),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
        ws_max_size=65_536,
        ws_per_message_deflate=False,
        ws_ping_interval=sockets.PING_S,
        ws_ping_timeout=sockets.PONG_WITHIN_S,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
