"""What a person accepts counts as missing, is on record, and can be taken back."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_data.ingest.ingestion import quarantined_in
from market_data.quality.acceptance import (
    LOG,
    accept,
    accepted_spans,
    span_of,
    standing,
    withdraw,
)
from market_data.quality.coverage import coverage
from market_data.quality.expectations import prepared
from market_data.spans import union
from market_data.storage.lake import Lake, LakeError
from market_data.tables import HOUR_MS, TABLES
from tests.market_data.given_source import BAR_MS, frame
from tests.market_data.ingest.one_window import (
    BARS,
    END_MS,
    START_MS,
    WINDOW,
    candles,
    run,
    source,
    without,
)

WHO = {"person": "Ada", "reason": "the exchange was down", "at_ms": END_MS}
HOLE = (int(BARS[300]), int(BARS[310]))


def covered(lake: Lake, table: str = "candles", **more: int):
    """Return what is missing of a table at the end of the window."""
    return coverage(
        lake=lake,
        table=TABLES[table],
        window=WINDOW,
        bar_ms=BAR_MS,
        earliest_ms=BAR_MS,
        clock_ms=END_MS,
        **more,
    )


def test_an_accepted_hole_is_no_gap_and_is_not_asked_for_again(lake: Lake):
    """But once more; after it is taken back it is missing as before."""
    held = candles(without(*BARS[300:310].tolist()))
    run(lake, source(held))
    assert covered(lake).missing == (HOLE,)
    one = accept(lake, "candles", "BTCUSDT", HOLE, **WHO)
    found = covered(lake)
    assert (found.missing, found.accepted) == ((), (HOLE,))
    assert found.present == found.expected - 10
    asked = []
    for _ in range(2):
        again = source(held)
        run(lake, again)
        asked.append(any(start <= HOLE[0] < end for start, end in spans_asked(again)))
    assert asked == [True, False]
    withdraw(lake, one.number, **WHO)
    assert covered(lake).missing == (HOLE,)
    loud = source(held)
    run(lake, loud)
    assert any(start <= HOLE[0] < end for start, end in spans_asked(loud))


def test_an_accepted_row_stays_aside_and_is_not_asked_for_again(lake: Lake):
    """One zero of open interest that stays at the source costs one decision, not every hour."""
    held = frame("open_interest", BARS, 5.0)
    held.loc[300, "open_interest"] = 0.0
    run(lake, source(held, "open_interest"), table="open_interest")
    span = span_of("open_interest", int(BARS[300]) + 60_000, None, BAR_MS)
    accept(lake, "open_interest", "BTCUSDT", span, **WHO)
    run(lake, source(held, "open_interest"), table="open_interest")
    again = source(held, "open_interest")
    run(lake, again, table="open_interest")
    assert not any(start <= BARS[300] < end for start, end in spans_asked(again))
    assert quarantined_in(lake, "open_interest", WINDOW)["event_time_ms"].tolist() == [BARS[300]]
    assert accepted_spans(lake, "open_interest", "BTCUSDT") == [(BARS[300], BARS[301])]
    assert accepted_spans(lake, "open_interest", "ETHUSDT") == []


@pytest.mark.parametrize(("silent_bars", "missing"), [(0, 2), (1, 1), (10, 0)])
def test_bars_that_a_source_does_not_publish_where_nothing_traded_are_no_gap(
    lake: Lake, silent_bars: int, missing: int
):
    """As many in a row as universe.yaml says of the source, and not one more."""
    held = candles(without(BARS[100], *BARS[300:310].tolist()))
    run(lake, source(held))
    assert len(covered(lake, silent_bars=silent_bars).missing) == missing


def test_a_symbol_without_a_row_is_absent_unless_that_is_accepted(lake: Lake):
    """All that was due by the clock is missing; a person may say that it will never be there."""
    empty = covered(lake)
    assert empty.absent
    assert empty.missing[0][0] == START_MS
    accept(lake, "candles", "BTCUSDT", (START_MS, 2 * START_MS), **WHO)
    assert not covered(lake).absent
    assert covered(lake).missing == ()


def test_accepted_silence_and_rows_are_left_out_of_the_suite(lake: Lake):
    """The suite sees neither the accepted row nor the silence that it leaves."""
    times = START_MS + 8 * HOUR_MS * frame("funding", range(6))["event_time_ms"]
    rows = frame("funding", times, 1e-4).assign(known_at_ms=times)
    accepted = [span_of("funding", int(times[2]), None, BAR_MS)]
    shown = prepared(TABLES["funding"], "BTCUSDT", rows, BAR_MS, accepted)
    assert shown["event_time_ms"].tolist() == times.drop(index=2).tolist()
    assert shown["since_last_ms"].max() == 8 * HOUR_MS
    bare = prepared(TABLES["funding"], "BTCUSDT", rows.drop(index=2), BAR_MS)
    assert bare["since_last_ms"].max() == 16 * HOUR_MS


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9), st.booleans()), max_size=12))
def test_what_stands_is_what_was_accepted_and_not_taken_back(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[int, int, bool]]
):
    """Whatever the order of decisions, and the record only ever grows."""
    lake = Lake(root=str(tmp_path_factory.mktemp("lake")))
    log = Path(lake.root) / LOG
    held: dict[int, tuple[int, int]] = {}
    for start, length, take_back in acts:
        before = log.read_bytes() if log.exists() else b""
        if take_back and held:
            withdraw(lake, min(held), **WHO)
            held.pop(min(held))
        else:
            one = accept(lake, "candles", "BTCUSDT", (start, start + length), **WHO)
            held[one.number] = (start, start + length)
        assert log.read_bytes().startswith(before)
        assert log.read_bytes() != before
    assert {one.number: (one.start_ms, one.end_ms) for one in standing(lake)} == held
    assert accepted_spans(lake, "candles", "BTCUSDT") == union(held.values())


def test_two_people_at_once_lose_no_decision(tmp_path: Path):
    """Every decision is a line of one unbroken chain."""
    lake = Lake(root=str(tmp_path))
    with ThreadPoolExecutor(8) as people:
        spans = [(start, start + 1) for start in range(40)]
        list(people.map(lambda span: accept(lake, "funding", "BTCUSDT", span, **WHO), spans))
    assert accepted_spans(lake, "funding", "BTCUSDT") == [(0, 40)]
    assert [one.number for one in standing(lake)] == list(range(40))


def test_an_altered_record_is_refused(tmp_path: Path):
    """A reason or span that was changed by hand is named by its line."""
    lake = Lake(root=str(tmp_path))
    for start in (1, 2):
        accept(lake, "funding", "BTCUSDT", (start, start + 1), **WHO)
    log = tmp_path / LOG
    log.write_bytes(log.read_bytes().replace(b"down", b"fine", 1))
    with pytest.raises(LakeError, match="line 1 altered"):
        standing(lake)


@pytest.mark.parametrize(
    ("table", "span", "who", "said"),
    [
        ("candels", (1, 2), WHO, "found candels"),
        ("candles", (2, 2), WHO, "from 2 to 2"),
        ("candles", (1, 2), WHO | {"person": " "}, "expected both"),
        ("candles", (1, 2), WHO | {"reason": ""}, "expected both"),
    ],
)
def test_what_cannot_be_accepted_is_named(
    tmp_path: Path, table: str, span: tuple[int, int], who: dict[str, object], said: str
):
    """A table that is none, a span that holds nothing, nobody who answers for it."""
    with pytest.raises(LakeError, match=said):
        accept(Lake(root=str(tmp_path)), table, "BTCUSDT", span, **who)
    assert standing(Lake(root=str(tmp_path))) == []
    with pytest.raises(LakeError, match="no acceptance 7"):
        withdraw(Lake(root=str(tmp_path)), 7, **WHO)


def spans_asked(one) -> list[tuple[int, int]]:
    """Return the spans that a source was asked for."""
    return [(wanted.start_ms, wanted.end_ms) for wanted in one.asked]
