"""Book and trades of the bar: imbalance, spread, order flow, VPIN, price impact.

They need a recorder: where a bar's book or trades are missing the features are NaN and a flag says
so. Windows hold the last 96 bars whose book (or trades) was recorded, and start anew after as many
bars without.
"""

from kernel.features.definition import Definition, Group
from kernel.features.microstructure_book import FLOW_CAP, FLOW_SLOTS, book, order_flow_imbalance
from kernel.features.microstructure_impact import (
    AMIHUD_SLOTS,
    IMPACT_CAP,
    KYLE_SLOTS,
    amihud,
    kyle_lambda,
)
from kernel.features.microstructure_signs import SIGN_SLOTS, sign_autocorrelation, signs_known
from kernel.features.microstructure_vpin import VPIN_SLOTS, vpin
from kernel.features.microstructure_window import are_quantities
from kernel.features.recursions import BUY_VOLUME, SELL_VOLUME, VOLUME, Observation, Out, State

_FLOW = 0
_VPIN = _FLOW + FLOW_SLOTS
_KYLE = _VPIN + VPIN_SLOTS
_SIGNS = _KYLE + KYLE_SLOTS
_AMIHUD = _SIGNS + SIGN_SLOTS
_SLOTS = _AMIHUD + AMIHUD_SLOTS


def step(state: State, obs: Observation, out: Out) -> None:
    """Write what the book says, what the trades say, Amihud's ratio, and what is missing."""
    quoted = book(obs, out)
    out[4] = order_flow_imbalance(state, _FLOW, obs, quoted)
    sides = are_quantities(obs[BUY_VOLUME], obs[SELL_VOLUME])
    out[5] = vpin(state, _VPIN, obs[VOLUME], obs[BUY_VOLUME], obs[SELL_VOLUME], sides)
    out[6] = kyle_lambda(state, _KYLE, obs, sides)
    signs = signs_known(obs)
    out[7] = sign_autocorrelation(state, _SIGNS, obs, signs)
    out[8] = amihud(state, _AMIHUD, obs)
    out[9] = 0.0 if quoted else 1.0
    out[10] = 0.0 if sides and signs else 1.0


GROUP = Group(
    name="microstructure",
    step=step,
    state_size=_SLOTS,
    features=(
        Definition(
            name="book_imbalance",
            unit="ratio",
            low=-1.0,
            high=1.0,
            formula=(
                "(b - a) / (b + a) of the quantities at the best bid and ask in the bar's last "
                "snapshot"
            ),
            source=(
                "Stoikov, The micro-price, Quantitative Finance 18, 2018, whose imbalance b / (a + "
                "b) is this one moved to -1..1"
            ),
            inputs=("best_bid_quantity", "best_ask_quantity"),
            warmup_bars=1,
            missing="nan",
        ),
        Definition(
            name="book_imbalance_100",
            unit="ratio",
            low=-1.0,
            high=1.0,
            formula=(
                "(b - a) / (b + a) of the quantities on the first 100 levels of each side; NaN "
                "where the venue reports only the best"
            ),
            source="defined here: book_imbalance over as many levels as are recorded",
            inputs=("bid_quantity_100", "ask_quantity_100"),
            warmup_bars=1,
            missing="nan",
        ),
        Definition(
            name="spread_bps",
            unit="bps",
            low=0.0,
            high=20_000.0,
            formula="10000 (ask - bid) / mid, mid = (ask + bid) / 2; NaN for a crossed book",
            source="quoted spread, Harris, Trading and Exchanges, 2003, ch. 14",
            inputs=("best_bid", "best_ask"),
            warmup_bars=1,
            missing="nan",
        ),
        Definition(
            name="microprice_drift",
            unit="ratio",
            low=-1.0,
            high=1.0,
            formula=(
                "m / mid - 1 with m = (bid a + ask b) / (a + b), a and b the quantities at the "
                "best ask and bid; computed as half the relative spread times book_imbalance, "
                "which is the same"
            ),
            source=(
                "Stoikov, The micro-price, Quantitative Finance 18, 2018: the weighted mid-price; "
                "his micro-price adds a correction fitted to the venue, which is left out"
            ),
            inputs=("best_bid", "best_ask", "best_bid_quantity", "best_ask_quantity"),
            warmup_bars=1,
            missing="nan",
        ),
        Definition(
            name="order_flow_imbalance",
            unit="ratio",
            low=-FLOW_CAP,
            high=FLOW_CAP,
            formula=(
                "sum of e_n over the bar's snapshots / mean of (best_bid_quantity + "
                "best_ask_quantity) / 2 at the close of the last 96 bars with a book, within "
                "+-10^5; the bars start anew after 96 in a row without a book"
            ),
            source=(
                "Cont, Kukanov & Stoikov, The Price Impact of Order Book Events, J. Financial "
                "Econometrics 12, 2014: e_n as defined there; price impact goes with order flow "
                "over average depth"
            ),
            inputs=("best_bid", "best_ask", "best_bid_quantity", "best_ask_quantity", "order_flow"),
            warmup_bars=96,
            missing="nan",
        ),
        Definition(
            name="vpin",
            unit="ratio",
            low=0.0,
            high=1.0,
            formula=(
                "mean of |bought - sold| / V over the last 50 full buckets of volume V; V = 96 "
                "/ 50 of the mean volume of all bars so far, from 2880 bars on their "
                "exponential average of weight 1 / 2880, fixed when a bucket opens; a bar fills"
                " buckets from the 96th on, its trades spread evenly; a bar of 50 buckets fills"
                " all and the next opens empty; buckets start anew after 96 bars without trades;"
                " NaN until 50 are full, which takes volume, not time: after 393 bars at the "
                "latest in the recorded years, without bound where trading ebbs. Where a bucket "
                "begins depends on where the history does: two begun a bar apart still differ "
                "by a quarter of its standard deviation on average years later"
            ),
            source=(
                "Easley, Lopez de Prado & O'Hara, Flow Toxicity and Liquidity in a High-frequency "
                "World, Review of Financial Studies 25, 2012; sides as recorded instead of bulk "
                "classification, V follows the volume seen instead of the sample's average"
            ),
            inputs=("volume", "buy_volume", "sell_volume"),
            warmup_bars=480,
            missing="nan",
        ),
        Definition(
            name="kyle_lambda",
            unit="1 per million quote",
            low=-IMPACT_CAP,
            high=IMPACT_CAP,
            formula=(
                "slope of close / open - 1 on (bought - sold) close / 10^6 with intercept, "
                "least squares over the last 96 bars with trades, within +-10^6; NaN where "
                "signed volume does not vary (variance under 10^-9 of its mean square); the "
                "bars start anew after 96 without trades"
            ),
            source=(
                "Kyle, Continuous Auctions and Insider Trading, Econometrica 53, 1985; as a "
                "regression in Hasbrouck, Trading Costs and Returns for U.S. Equities, J. Finance "
                "64, 2009, here on quote volume instead of its square root"
            ),
            inputs=("open", "close", "buy_volume", "sell_volume"),
            warmup_bars=96,
            missing="nan",
        ),
        Definition(
            name="trade_sign_autocorrelation",
            unit="ratio",
            low=-1.0,
            high=1.0,
            formula=(
                "(mean of s_i s_(i-1) - m^2) / (1 - m^2), m the mean of the signs s (+1 taker "
                "bought, -1 sold), over consecutive trades within the last 96 bars with trades,"
                " within +-1; NaN where all trades were on one side; the bars start anew after "
                "96 without trades"
            ),
            source=(
                "Hasbrouck & Ho, Order Arrival, Quote Behavior, and the Return-Generating "
                "Process, J. Finance 42, 1987; Lillo & Farmer, The Long Memory of the Efficient"
                " Market, 2004"
            ),
            inputs=("trade_count", "sign_sum", "sign_pair_sum"),
            warmup_bars=96,
            missing="nan",
        ),
        Definition(
            name="amihud",
            unit="1 per million quote",
            low=0.0,
            high=IMPACT_CAP,
            formula=(
                "mean of 10^6 |close / previous close - 1| / (close volume), each at most 10^6,"
                " over the bars with volume among the last 96; NaN where none had volume"
            ),
            source="Amihud, Illiquidity and Stock Returns, J. Financial Markets 5, 2002, eq. 1",
            inputs=("close", "volume"),
            warmup_bars=97,
            missing="nan",
        ),
        Definition(
            name="book_missing",
            unit="flag",
            low=0.0,
            high=1.0,
            formula="1 where the best prices or their quantities are missing or no book, else 0",
            source="defined here: a model has to know that nothing was recorded",
            inputs=("best_bid", "best_ask", "best_bid_quantity", "best_ask_quantity"),
            warmup_bars=1,
            missing="never",
        ),
        Definition(
            name="trades_missing",
            unit="flag",
            low=0.0,
            high=1.0,
            formula="1 where the bar's trades are missing or were recorded in part, else 0",
            source="defined here: a model has to know that nothing was recorded",
            inputs=("trade_count", "buy_volume", "sell_volume", "sign_sum", "sign_pair_sum"),
            warmup_bars=1,
            missing="never",
        ),
    ),
    modules=(
        "microstructure_book",
        "microstructure_impact",
        "microstructure_signs",
        "microstructure_vpin",
        "microstructure_window",
    ),
)
