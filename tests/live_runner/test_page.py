"""The status page, drawn from a journal alone: what it shows, and that nothing in it is markup."""

import asyncio
import random
from pathlib import Path

import httpx

from live_runner.desk import Desk
from live_runner.journal.journal import Journal, Swap
from live_runner.watch.page import render
from tests.live_runner.inside import desk_settings


def test_what_the_journal_says_is_text_and_never_markup(tmp_path: Path) -> None:
    """A reason that holds a script is shown, not run."""
    settings = desk_settings(tmp_path, "http://venue.test")
    journal = Journal(settings.journal)
    journal.record_refusal(
        Swap(
            symbol="BTCUSDT",
            at_ms=1,
            bar_open_time_ms=0,
            epoch=3,
            digest="<b>bold</b>",
            previous="",
            outcome="refused",
            reason="bad_signature: found <script>alert(1)</script>, expected R&D",
            pause_us=0,
        )
    )

    async def page() -> str:
        async with httpx.AsyncClient(base_url=settings.venue_rest) as client:
            return render(Desk(settings, journal, client, random.Random(1)))

    html = asyncio.run(page())
    assert "&lt;script&gt;alert(1)&lt;/script&gt;, expected R&amp;D" in html
    assert "<script>" not in html
    assert "<b>bold" not in html
    assert "P&amp;L, 0 trades" in html
    assert html.startswith("<!doctype html>")
    assert html.count("<section>") == 2
    assert "color-scheme: light dark" in html
    assert "epoch 3" in html
