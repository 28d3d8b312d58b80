"""What the page shows: why, since when, how old, and that nothing in it is markup."""

import pytest

from kernel.decision import Abstain
from kernel.risk import Guard
from kernel.trading import INPUT_FIELDS, OUTPUT_FIELDS
from live_runner.journal.journal import Swap
from live_runner.watch.page import cards, price_text, why_text
from tests.live_runner.bundles import TRADING
from tests.live_runner.watch.onlookers import Onlookers

NEEDED = f"{TRADING.min_confidence:.2f}"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Onlookers:
    """Return a desk that has decided a few bars and abstained from each."""
    return Onlookers(tmp_path_factory.mktemp("page"), bars=5)


def test_what_the_journal_says_is_text_and_never_markup(scene: Onlookers) -> None:
    """A reason that holds a script is shown, not run."""
    scene.journal.record_refusal(
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
    html = cards(scene.desk, scene.journal)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;, expected R&amp;D" in html
    assert "<script>" not in html
    assert "<b>bold" not in html
    assert html.count("<section>") == 2
    assert "epoch 3" in html


def test_a_card_says_why_nothing_was_traded_and_how_often(scene: Onlookers) -> None:
    """The reason of the last bar is a sentence; every reason so far is named with its count."""
    html = cards(scene.desk, scene.journal)
    assert "no trade: abstains, not warm" in html
    assert "<td>not warm</td><td>5 bars</td><td class='soft'>last 2025-12-21 04:00</td>" in html
    assert "<svg" in html
    assert "starting" in html  # the other symbol reads its history


def test_dates_carry_their_year_and_both_clocks_are_shown(scene: Onlookers) -> None:
    """What the market's clock says, once it was looked at, stands beside ours."""
    assert "market not known yet UTC" in cards(scene.desk, scene.journal)
    assert "last bar 2025-12-21 04:00" in cards(scene.desk, scene.journal)
    scene.market_says(minutes_after_close=7)
    html = cards(scene.desk, scene.journal)
    assert "market 2025-12-21 04:22 UTC" in html
    assert "closed 7 min ago by the market&#39;s clock" in html


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        ({"p_buy": 0.31, "p_hold": 0.4}, {}, f"no trade: BUY 0.31 < {NEEDED} needed"),
        ({"p_sell": 0.8, "p_hold": 0.15}, {"order": -1.0}, "orders a short entry at the next open"),
        (
            {"p_buy": 0.8},
            {"blocked": float(Guard.DAILY_LOSS)},
            "stopped by the guard on daily loss",
        ),
        ({"p_buy": 0.8}, {"position_side": 1.0}, "no new trade: a position is open"),
        ({"abstain": float(Abstain.SLOW)}, {}, "no trade: abstains, slow"),
    ],
)
def test_a_decision_is_told_in_a_sentence(
    inputs: dict[str, float], outputs: dict[str, float], said: str
) -> None:
    """Each way not to trade names what was lacking."""
    row = dict.fromkeys(INPUT_FIELDS, 0.0) | inputs
    out = dict.fromkeys(OUTPUT_FIELDS, 0.0) | outputs
    assert said in why_text(row, out, TRADING)


@pytest.mark.parametrize(
    ("price", "said"), [(43_210.987, "43,210.99"), (0.0000113, "0.0000113000"), (7.5, "7.50000")]
)
def test_a_price_keeps_six_digits(price: float, said: str) -> None:
    """A coin that costs a hundred-thousandth is not shown as nought."""
    assert price_text(price) == said
