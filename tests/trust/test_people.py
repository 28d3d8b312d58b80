"""People act in any order while things fail: a model of ten lines says who is champion."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.kernel.bundle_maker import unsigned
from tests.trust.faults import FAULTS, Fault, launched
from tests.trust.scene import SYMBOL, Scene, promises_broken, staged

FAULT = st.one_of(st.none(), st.tuples(st.sampled_from(FAULTS), st.integers(0, 25)))
Failing = tuple[Fault, int] | None


class People(RuleBasedStateMachine):
    """Retrain, backfill, approve, decline, roll back and restart, each failing once on the way."""

    template: ClassVar[Path]
    digests: ClassVar[tuple[str, str, str]]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="people-"))
        self.home = self.folder / "home"
        self.asked = 0

    # The model: the champions, each with the week that its data end in, and what waits.

    @initialize()
    def begin(self) -> None:
        shutil.copytree(self.template, self.home)
        older, newer, _ = self.digests
        self.scene = Scene(self.home)
        self.champions = [(older, 1), (newer, 2)]
        self.requests: dict[str, tuple[str, int, str]] = {}
        self.published: set[str] = set()

    def approval(self, request_id: str) -> None:
        """Make the bundle champion where nothing speaks against it; else it is refused."""
        bundle, week, held_against = self.requests[request_id]
        champion, newest = self.champions[-1]
        if request_id not in self.published and champion == held_against and week >= newest:
            self.champions.append((bundle, week))
            self.published.add(request_id)

    # What people do.

    @rule(older=st.integers(0, 2), failing=FAULT)
    def retrain(self, older: int, failing: Failing) -> None:
        """Train on a week: the next one, or one that is as old as the champion's or older."""
        self.asked += 1
        champion, newest = self.champions[-1]
        week = max(1, newest + 1 - older)
        bundle = unsigned(self.home / "bundles", f"n{self.asked}")
        self.act(lambda: self.scene.retrain(bundle, week=week, champion=champion), failing)
        filed = {one.bundle_digest: one.id for one in self.scene.store.requests()}
        self.requests[filed[bundle]] = (bundle, week, champion)

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), failing=FAULT)
    def approve(self, data: Any, failing: Failing) -> None:
        request_id = data.draw(st.sampled_from(sorted(self.requests)))
        self.approval(request_id)
        self.act(lambda: self.scene.approve(request_id), failing)

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), failing=FAULT)
    def decline(self, data: Any, failing: Failing) -> None:
        request_id = data.draw(st.sampled_from(sorted(self.requests)))
        self.act(lambda: self.scene.decline(request_id), failing)

    @precondition(lambda self: len(self.champions) > 1)
    @rule(failing=FAULT)
    def roll_back(self, failing: Failing) -> None:
        self.asked += 1
        reason = f"loses, {self.asked}"
        self.champions.pop()
        self.act(lambda: self.scene.roll_back(reason), failing)

    @rule(failing=FAULT)
    def rotate(self, failing: Failing) -> None:
        """Sign by another key from now on."""
        self.act(self.scene.rotate, failing)

    @rule()
    def upgrade(self) -> None:
        """Open what is stored anew, as after a restart with another build."""
        self.scene = Scene(self.home)

    def act(self, act: Callable[[], object], failing: Failing) -> None:
        """Launch an act that may fail on its way, launch it again, and let the sensors look."""
        home = str(self.home)
        if failing is not None:
            fault, at = failing
            launched(act, home, at=at, fault=fault)
        launched(act, home)
        assert launched(self.scene.catch_up, home).raised == ""
        assert promises_broken(self.scene) == []
        assert self.scene.store.standing(SYMBOL).champion == self.champions[-1][0]

    def teardown(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module", autouse=True)
def world(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Stage the scene that every sequence begins with."""
    People.template = tmp_path_factory.mktemp("people") / "home"
    People.digests = staged(People.template)


def played(examples: int, steps: int) -> settings:
    """Return how long to play; how slow a machine is says nothing."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def test_whatever_people_do_and_whatever_fails_the_right_model_is_live() -> None:
    """After every act, launched again where it failed, all agree on the champion of the model."""
    run_state_machine_as_test(People, settings=played(examples=8, steps=8))


@pytest.mark.slow
def test_a_long_play_ends_with_the_right_model_live() -> None:
    """The same, for longer and in many more orders."""
    run_state_machine_as_test(People, settings=played(examples=100, steps=25))
