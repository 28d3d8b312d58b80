"""What people write is shown as they wrote it, and is never markup, HTML or a control character."""

import io
import unicodedata

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from kernel.text import plain
from orchestration.cli.words import shown
from orchestration.presentation.metadata import table
from orchestration.resources.promotion_store import PromotionStore
from research.promotion.records import PromotionRequest

HOSTILE = st.sampled_from(
    [
        "[red]x[/red]",
        "[/]",
        "<script>alert(1)</script>",
        "a|b",
        "`rm`",
        "\x1b[2J",
        "\u202eabc",
        "x\\",
    ]
)
words = st.one_of(st.text(), st.lists(HOSTILE | st.text(max_size=4), max_size=5).map("".join))


@given(words)
def test_plain_text_is_one_line_of_visible_characters(text: str) -> None:
    """Nothing that a terminal, a log reader or a person's eye is led astray by is left."""
    found = plain(text)
    assert found == plain(found)
    assert all(one == " " or unicodedata.category(one)[0] not in "CZ" for one in found)
    assert found.encode("utf-8").decode("utf-8") == found


@given(words)
def test_a_screen_shows_words_as_they_are(text: str) -> None:
    """No markup of the console is read in them, whatever surrounds them."""
    screen = io.StringIO()
    console = Console(file=screen, width=10_000, force_terminal=False, highlight=False)
    console.print(shown(plain(text)), soft_wrap=True)
    assert screen.getvalue() == plain(text) + "\n"


@given(words)
def test_a_cell_of_a_table_is_the_plain_text(text: str) -> None:
    """Dagster shows the cells of a table as text: there is no markup that could open anything."""
    found = table([{"note": text}])
    assert isinstance(found, dg.TableMetadataValue)
    assert [one.data for one in found.records] == [{"note": plain(text)}]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PromotionStore:
    return PromotionStore(home=str(tmp_path_factory.mktemp("home")), approval_valid_hours=1)


@settings(max_examples=30, deadline=None)  # each writes to a disk
@given(name=words.filter(lambda text: 0 < len(plain(text)) <= 200), note=words)
def test_a_record_keeps_names_and_notes_as_plain_text(
    store: PromotionStore, name: str, note: str
) -> None:
    """Whatever was typed, the log is whole, and holds one visible line each."""
    request = PromotionRequest(
        symbol="BTCUSDT",
        timeframe="15m",
        week="2025-12-07",
        bundle_digest="a" * 64,
        gate_report_digest="g",
        data_digest="d",
        as_of_ms=9,
        champion_digest="",
        created_at_ms=10,
    )
    store.submit(request, 10)
    answer = store.decide(request.id, "approved", name, note, 20)
    assert (answer.approver, answer.note) == (plain(name), plain(note))
    assert store.entries()[-1].body["approver"] in (plain(name), answer.approver)
    assert isinstance(table([answer.to_dict()]), dg.TableMetadataValue)
