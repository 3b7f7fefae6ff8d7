"""Serenade's own evaluation of its example clicks, by our session-kNN with the parameters that it ships.

At every click of a test session the list of 20 is held against the clicks that followed: the next one for HR and MRR,
all of them for NDCG, precision and recall (evaluator of bolcom/serenade; Kersbergen et al., SIGMOD 2022). Published in
its README: MRR .3277, NDCG .3553, HR .6402, precision .0680, recall .4456, coverage .2765.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from rtp_monolith._native import SessionKnn
from rtp_monolith.training.sessions import Recorded, Vocabulary, read

CUTOFF = 20
SHIPPED = {
    "m_most_recent_sessions": 500, "neighborhood_size_k": 50, "max_items_in_session": 2, "idf_weighting": 1.0,
}  # fmt: skip
PUBLISHED = {"mrr": 0.3277, "ndcg": 0.3553, "hr": 0.6402, "precision": 0.0680, "recall": 0.4456, "coverage": 0.2765}


@pytest.fixture(scope="module")
def clicks(rtp_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recorded, Recorded]:
    folder = tmp_path_factory.mktemp("serenade")
    with zipfile.ZipFile(rtp_data / "serenade" / "example.zip") as archive:
        for name in ("train.txt", "test.txt"):
            archive.extract(name, folder)
    return read(folder / "train.txt"), read(folder / "test.txt")


def judge(train: Recorded, test: Recorded) -> dict[str, float]:
    """Means over every click that another one followed."""
    vocabulary = Vocabulary.of(train.sessions)
    trained = len(vocabulary)
    index = SessionKnn(sessions_max=len(train.sessions) + 1)
    assert train.times_s is not None
    longest = np.quantile([len(each) for each in train.sessions], 0.995)
    for key, (session, times_s) in enumerate(zip(train.sessions, train.times_s, strict=True)):
        if len(session) > longest:  # it leaves the longest sessions out of the index
            continue
        for item, at_s in zip(vocabulary.encode(session), times_s, strict=True):
            index.touch(key, item, round(at_s * 1000))
    rows, listed = [], set[int]()
    # Its discounts: the first two places count in full.
    gains = 1.0 / np.log2(np.maximum(np.arange(CUTOFF) + 1.0, 2.0))
    for session in test.sessions:
        # An item that training has not keeps a number of its own: it takes up its place in the window.
        own = [vocabulary.number.setdefault(item, len(vocabulary)) for item in session]
        for upto in range(1, len(own)):
            found = [item for item, _ in index.query(own[max(0, upto - 2) : upto], CUTOFF, **SHIPPED)]  # type: ignore[arg-type]
            wanted, rank = set(own[upto:]), found.index(own[upto]) + 1 if own[upto] in found else 0
            hits = np.array([item in wanted for item in found])
            listed.update(found)
            rows.append(
                (
                    1.0 / rank if rank else 0.0,
                    (gains[: len(hits)] * hits).sum() / gains[: min(CUTOFF, len(own) - upto)].sum(),
                    float(rank > 0),
                    hits.sum() / CUTOFF,
                    hits.sum() / (len(own) - upto),
                )
            )
    means = np.mean(rows, axis=0)
    made = dict(zip(("mrr", "ndcg", "hr", "precision", "recall"), means.tolist(), strict=True))
    return {**made, "coverage": len(listed) / trained, "n": float(len(rows))}


def test_every_published_figure_within_three_thousandths(clicks: tuple[Recorded, Recorded]) -> None:
    found = judge(*clicks)
    print(found)
    assert found.pop("n") == 931
    for name, value in PUBLISHED.items():
        assert found[name] == pytest.approx(value, abs=0.003), name
