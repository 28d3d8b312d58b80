import numpy as np
import pytest

from research.evaluation.figures import skill_figure
from research.evaluation.skill import COIN, Said, SkillReport, measure

ROWS = 6_000
BLOCK = 100


def world(timing: float, direction: float, seed: int = 1) -> tuple[list[Said], np.ndarray]:
    """Return a stack that knows so much of HOLD and of the side, beside prior and calendar, and
    what happened.
    """
    rng = np.random.default_rng(seed)
    quiet = rng.normal(size=ROWS)
    lean = rng.normal(size=ROWS)
    p_hold = 1 / (1 + np.exp(-timing * quiet))
    p_buy = 1 / (1 + np.exp(-direction * lean))
    hold = rng.random(ROWS) < p_hold
    y = np.where(hold, 1, np.where(rng.random(ROWS) < p_buy, 2, 0)).astype(np.int8)
    said = np.stack([(1 - p_hold) * (1 - p_buy), p_hold, (1 - p_hold) * p_buy], axis=1)
    flat = np.tile([0.25, 0.5, 0.25], (ROWS, 1))
    known = [Said("stack", "stack", said), Said("prior", "reference", flat)]
    return [*known, Said("table", "reference", flat)], y


def report(timing: float, direction: float, seed: int = 1) -> SkillReport:
    said, y = world(timing, direction, seed)
    block = np.arange(ROWS) // (ROWS // 3)
    return measure(said, y, block, prior="prior", calendar="table", block_rows=BLOCK, seed=1)


@pytest.mark.parametrize(
    ("timing", "direction", "words"),
    [
        (1.5, 0.0, ["knows when the market moves", "but not which side"]),
        (0.0, 1.5, ["knows which side a move takes", "but not when"]),
        (1.5, 1.5, ["knows when the market moves", "and which side", "more than the class prior"]),
        (0.0, 0.0, ["knows neither when", "nor which side", "not shown to be worth more"]),
    ],
)
def test_what_is_known_is_told_apart_and_said_in_words(
    timing: float, direction: float, words: list[str]
):
    """Planted timing and planted direction each show in their own figures and in the sentence."""
    found = report(timing, direction)
    stack = found.stack
    assert stack.timing_auc is not None
    assert stack.direction_auc is not None
    assert stack.direction_loss is not None
    assert (stack.timing_auc.low > 0.5) is (timing > 0)
    assert (stack.direction_auc.low > 0.5) is (direction > 0)
    assert (stack.direction_loss < COIN - 0.01) is (direction > 0)
    assert all(word in found.sentence for word in words), found.sentence


def test_the_losses_of_timing_and_direction_add_up_to_the_whole():
    """Log-loss is the timing loss plus the direction loss of the rows that moved."""
    stack = report(1.0, 0.7).stack
    assert stack.direction_loss is not None
    share = stack.moves / stack.rows
    assert stack.log_loss == pytest.approx(stack.timing_loss + share * stack.direction_loss)


def test_the_stack_is_told_block_by_block_and_the_others_once():
    """Three blocks and the whole for the stack, whose rows add up; one line for each reference."""
    found = report(1.0, 0.7)
    blocks = [one.block for one in found.rows if one.kind == "stack"]
    assert blocks == [None, 0, 1, 2]
    assert sum(one.rows for one in found.rows if one.block is not None) == ROWS
    assert [line["model"] for line in found.table()] == ["stack", "prior", "table"]
    prior = next(one for one in found.rows if one.model == "prior")
    assert prior.over_prior is not None
    assert prior.over_prior.low == prior.over_prior.value == prior.over_prior.high == 0.0


def test_a_model_that_was_asked_of_some_rows_is_held_against_those():
    """Its skill is over the references on its own rows."""
    said, y = world(1.0, 0.7)
    half = np.where(np.arange(ROWS)[:, None] < ROWS // 2, said[0].probabilities, np.nan)
    asked = [*said, Said("champion", "reference", half)]
    block = np.zeros(ROWS, np.int64)
    found = measure(asked, y, block, prior="prior", calendar="table", block_rows=BLOCK, seed=1)
    champion = found.rows[-1]
    assert (champion.model, champion.rows) == ("champion", ROWS // 2)
    own = -np.log(said[0].probabilities[np.arange(ROWS), y])[: ROWS // 2]
    flat = -np.log(np.array([0.25, 0.5, 0.25])[y])[: ROWS // 2]
    assert champion.over_prior is not None
    assert champion.over_prior.value == pytest.approx(1 - own.mean() / flat.mean())


def test_a_market_that_only_holds_has_no_direction():
    """Where nothing moved the figures of direction are none, not a number, and it is read back."""
    said, y = world(1.0, 0.7)
    found = measure(
        said, np.ones_like(y), np.zeros(ROWS, np.int64),
        prior="prior", calendar="table", block_rows=BLOCK, seed=1,
    )  # fmt: skip
    assert found.stack.direction_auc is None
    assert found.stack.timing_auc is None
    assert SkillReport.from_record(found.to_record()) == found


def test_the_figure_shows_each_models_figures_with_their_intervals():
    """Three panels share the models' names; each interval is drawn from its low to its high."""
    found = report(1.0, 0.7)
    skill, timing, direction = skill_figure(found).axes
    names = [label.get_text() for label in skill.get_yticklabels()]
    assert names == ["table", "prior", "stack"]
    at = names.index("stack")
    for axes, figure in ((skill, found.stack.over_prior), (timing, found.stack.timing_auc),
                         (direction, found.stack.direction_auc)):  # fmt: skip
        drawn = [line.get_xdata() for line in axes.get_lines() if at in list(line.get_ydata())]
        assert figure is not None
        assert [figure.low, figure.high] in [list(one) for one in drawn]
