import dataclasses
import io
import json

import numpy as np
import pandas as pd
import pytest

from kernel.inference import RowCost
from research.datasets import files as dataset_files
from research.datasets.files import TrainingSet
from research.labels.triple_barrier import UNRESOLVED_MS
from research.pipeline import Retrained
from research.training.candidate import from_files, predecessor, to_files


def test_candidate_survives_its_files(trained: Retrained):
    """Read back, every graph, row, vote and figure is what was written."""
    candidate = trained.candidate
    read = from_files(to_files(candidate))
    assert read.signal == candidate.signal
    assert (read.scores, read.parity) == (candidate.scores, candidate.parity)
    assert (read.cost, read.bases) == (candidate.cost, candidate.bases)
    assert read.hull == candidate.hull is not None
    assert read.contributions == candidate.contributions
    assert read.feature_names == candidate.feature_names
    assert read.training_window_ms == candidate.training_window_ms
    assert np.array_equal(read.medians, candidate.medians)
    for name in ("rows", "block", "start_ms", "y", "votes"):
        assert np.array_equal(getattr(read.oof, name), getattr(candidate.oof, name))
    for ours, theirs in zip(read.folds, candidate.folds, strict=True):
        assert (ours.graph, ours.start_ms, ours.end_ms) == (
            theirs.graph,
            theirs.start_ms,
            theirs.end_ms,
        )
        for name in ("rows", "bar", "probabilities", "abstain"):
            assert np.array_equal(getattr(ours, name), getattr(theirs, name))


def test_candidate_stored_before_bases_and_cpu_time_is_still_read(trained: Retrained):
    """Its bases are those it scored, what was measured bounds the CPU time from above, and no
    graph of its time abstained.
    """
    files = to_files(trained.candidate)
    summary = json.loads(files["candidate.json"])
    del summary["cost"], summary["bases"], summary["hull"]
    stored = io.BytesIO()
    frame = pd.read_parquet(io.BytesIO(files["oof.parquet"])).drop(columns="abstain")
    frame.to_parquet(stored, index=False)
    old = {
        "candidate.json": json.dumps({**summary, "latency_p99_ms": 0.3}).encode(),
        "oof.parquet": stored.getvalue(),
    }
    read = from_files({**files, **old})
    assert read.cost == RowCost(0.3, 0.3)
    assert read.hull is None
    assert not any(fold.abstain.any() for fold in read.folds)
    assert predecessor({**files, **old}).decided_ms.size > 0
    assert read.bases == trained.candidate.bases


def test_candidate_files_hold_no_pickle_and_are_all_needed(trained: Retrained):
    """Files are ONNX, parquet and JSON; without one of them nothing is read."""
    files = to_files(trained.candidate)
    assert sorted(files) == [
        "candidate.json", "fold-0.onnx", "fold-1.onnx", "oof.parquet", "signal.onnx",
    ]  # fmt: skip
    for name in files:
        with pytest.raises(KeyError, match=name):
            from_files({key: content for key, content in files.items() if key != name})


def test_training_set_stored_with_its_weights_is_still_read(trained: Retrained):
    """A set of before each label's close was stored says when its labels ceased to count; rows let
    out for a hole, the first without a label, never did.
    """
    table = trained.prepared.table
    hidden = np.arange(len(table.y)) == 40
    torn = dataclasses.replace(
        table,
        y=np.where(hidden, -1, table.y).astype(np.int8),
        end_ms=np.where(hidden, UNRESOLVED_MS, table.end_ms),
        closed_ms=np.where(hidden, table.start_ms, table.closed_ms),
        let_out=1,
    )
    files = dataset_files.to_files(TrainingSet(table=torn, data_digest="d" * 64))
    frame = pd.read_parquet(io.BytesIO(files["table.parquet"]))
    old = io.BytesIO()
    frame.rename(columns={"closed_ms": "weight"}).to_parquet(old, index=False)
    read = dataset_files.from_files(files | {"table.parquet": old.getvalue()}).table
    assert np.array_equal(read.closed_ms, torn.closed_ms)
