"""Dropped trees are folded into the leaves: what is exported is what was boosted."""

import numpy as np
from xgboost import XGBClassifier

from research.models.xgboost_dart import without_dropping


def test_plain_trees_predict_as_the_dropped_ones_do():
    """Each tree's own weight is in its leaves: the same probabilities to 1e-6, and not without."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(3_000, 4)).astype(np.float32)
    y = np.digitize(x[:, 0] + rng.normal(0, 0.5, 3_000), [-0.4, 0.4])
    model = XGBClassifier(
        booster="dart", n_estimators=20, max_depth=3, learning_rate=0.3, rate_drop=0.3,
        skip_drop=0.2, base_score=0.5, n_jobs=1, random_state=1,
    )  # fmt: skip
    model.fit(x, y)
    plain = without_dropping(model)
    assert np.abs(plain.predict_proba(x) - model.predict_proba(x)).max() <= 1e-6
    saved = model.get_booster().save_raw("json").decode()
    weights = saved[saved.index('"weight_drop":[') + 15 :].split("]")[0].split(",")
    assert len({float(one) for one in weights}) > 3
