"""Cold start measured: a share of the items is hidden from training, gets its vectors from what is said of it, and is
then ranked for people whose next item it was.

The hidden items are taken out of every sequence and of the vocabulary that is learned, so nothing knows them; what is
chosen (epochs of the content model, parameters of its rival) is chosen on other items, which the content model does not
see either. Invariant: a hidden item's score depends on its attributes alone. It does not know a shard.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rtp_monolith.clock import Clock
from rtp_monolith.errors import DataError
from rtp_monolith.features.content import Described, bags
from rtp_monolith.training import auto, slices
from rtp_monolith.training.content import ContentSettings, NextItems, next_items, train_content, vectors_of
from rtp_monolith.training.evaluate import Request, attribute_numbers, rankable
from rtp_monolith.training.learner import Data
from rtp_monolith.training.learners import Encoder
from rtp_monolith.training.models.encoder import SessionModel
from rtp_monolith.training.protocols import LEAVE_ONE_OUT_MIN, last_cases, seen_items
from rtp_monolith.training.sessions import read, read_attributes

HELD_SHARE = 0.1
"""Of the items that are not hidden: what is chosen is chosen on them."""


class ColdCases(msgspec.Struct, frozen=True):
    """Who wanted an item of `candidates` next: `histories[i]`, known items oldest first, wanted `targets[i]`; items in
    `seen[i]` are not in its list. `candidates` int64, ascending."""

    histories: list[list[int]]
    targets: NDArray[np.int64]
    seen: list[list[int]]
    candidates: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.targets)


class ColdSplit(msgspec.Struct, frozen=True):
    """Items by number: `ids`, those below `warm` may be learned and the rest is hidden; `sessions` are learned from,
    `chosen` is what choices are judged on, by the items in `held`, and `asked` what is reported."""

    ids: list[str]
    warm: int
    held: NDArray[np.int64]
    sessions: list[list[int]]
    validation: list[tuple[list[int], int]]
    chosen: ColdCases
    asked: ColdCases


def cold_split(
    sessions: Sequence[Sequence[str]], described: Mapping[str, object], share: float, seed: int
) -> ColdSplit:
    """Leave-one-out with `share` of the items hidden. Only described items are hidden or held: of others there is
    nothing to make a vector from. Raises DataError `no_cases`."""
    kept = [session for session in sessions if len(session) >= LEAVE_ONE_OUT_MIN]
    order = list(dict.fromkeys(item for session in kept for item in session))
    known = [item for item in order if item in described]
    rng = np.random.default_rng([seed, 11])
    drawn = rng.permutation(len(known))
    hidden = {known[place] for place in drawn[: round(len(known) * share)].tolist()}
    ids = [item for item in order if item not in hidden] + [item for item in order if item in hidden]
    number = {item: at for at, item in enumerate(ids)}
    warm = len(ids) - len(hidden)
    rest = drawn[len(hidden) :]
    held = np.sort(np.array([number[known[place]] for place in rest[: round(len(rest) * HELD_SHARE)]], np.int64))
    numbered = [[number[item] for item in session] for session in kept]
    learned = [[item for item in session[:-2] if item < warm] for session in numbered]
    split = ColdSplit(
        ids, warm, held, learned,
        [(own, session[-2]) for own, session in zip(learned, numbered, strict=True) if own and session[-2] < warm],
        _cases(numbered, 2, held, warm),
        _cases(numbered, 1, np.arange(warm, len(ids)), warm),
    )  # fmt: skip
    if not len(split.asked) or not len(split.chosen):
        raise DataError("nobody's last items are among the hidden ones", code="no_cases")
    return split


def _cases(sessions: Sequence[Sequence[int]], back: int, candidates: NDArray[np.int64], warm: int) -> ColdCases:
    """Whose item, the `back`-th from the end, is a candidate."""
    wanted = set(candidates.tolist())
    of = [session for session in sessions if session[-back] in wanted]
    before = [list(session[:-back]) for session in of]
    return ColdCases(
        [[item for item in own if item < warm] for own in before],
        np.array([session[-back] for session in of], np.int64),
        before,
        candidates,
    )


def measure_cold(
    request: Request, share: float, settings: ContentSettings, clock: Clock, tell: Callable[[str], None]
) -> dict[str, object]:
    """Trains the encoder of `request` without the hidden items and the content model on what it learned, and reports
    how the hidden items are ranked among themselves beside random order and attribute overlap. Raises DataError."""
    began_s = clock.monotonic_s()
    recorded = read(request.train, users=True)
    described = read_attributes(request.attributes) if request.attributes is not None else {}
    split = cold_split(recorded.sessions, described, share, request.seed)
    tell(
        f"{len(split.ids) - split.warm} of {len(split.ids)} items are hidden, {len(split.asked)} people wanted one next"
    )
    model = cold_encoder(request, split, described, clock, tell)
    return {
        "model": request.model, "protocol": request.protocol, "k": request.k, "seed": request.seed, "cold": share,
        **judge_cold(model, split, described, settings, request.k, request.seed, tell),
        "train_s": round(clock.monotonic_s() - began_s, 3),
    }  # fmt: skip


def cold_encoder(
    request: Request, split: ColdSplit, described: Mapping[str, list[str]], clock: Clock, tell: Callable[[str], None]
) -> SessionModel:
    """The encoder, learned from the items that are not hidden. Raises DataError `not_an_encoder`."""
    trained = seen_items(split.sessions, split.warm)
    attributes = attribute_numbers(split.ids[: split.warm], dict(described))
    known = trained | rankable(trained, attributes)
    data = Data(split.sessions, split.warm, known, trained, attributes, request.k)
    own, targets = [history for history, _ in split.validation], [target for _, target in split.validation]
    validation = last_cases(own, targets, known)
    seen = auto.profile(split.sessions, int(trained.sum()), True)
    learner = auto.make(request.model, seen, request.seed, clock, tell, changes=request.changes)
    if not isinstance(learner, Encoder) or learner.settings.body == "bst":
        raise DataError(f"{request.model} has no space for items: name a session encoder", code="not_an_encoder")
    learner.learn(data, validation, request.until_s, False)
    assert learner.model is not None
    return learner.model.eval()


def judge_cold(
    model: SessionModel,
    split: ColdSplit,
    described: Mapping[str, list[str]],
    settings: ContentSettings,
    k: int,
    seed: int,
    tell: Callable[[str], None],
) -> dict[str, object]:
    """Content vectors of the hidden items, learned from the others, against random order and attribute overlap,
    as it is and tuned."""
    items = [Described(attributes={"is": described.get(item, [])}) for item in split.ids]
    with torch.no_grad():
        vectors = model.item_vectors()
        chosen, asked = (model.sessions(vectors, each.histories) for each in (split.chosen, split.asked))
    judged = NextItems(chosen, torch.from_numpy(split.chosen.targets))
    made = train_content(
        items[: split.warm], vectors.numpy(), next_items(model, split.sessions), settings,
        seed=seed, held=split.held, judged=judged, tell=tell,
    )  # fmt: skip
    hidden = vectors_of(made.model, bags([items[item] for item in split.asked.candidates], made.rows))
    tuned, parameters = tuned_overlap(split, described, k)
    scores = {
        "overlap": overlap(split, described),
        "tuned_overlap": tuned,
        "content": asked @ torch.from_numpy(hidden).T,
    }
    measured = {name: slices.measures(ranks(own, split.asked), k) for name, own in scores.items()}
    ways = {"random": random_measures(split.asked, k), **measured}
    found = dict(zip(ways, slices.paired(list(ways.values()), np.arange(len(split.asked)), seed), strict=True))
    figures = {name: {**own.means, "intervals": own.intervals} for name, own in found.items()}
    hits = {name: own.means["hr"] for name, own in found.items()}
    return {
        "n": len(split.asked), "candidates": len(split.asked.candidates), **figures,
        "overlap_parameters": parameters, "content_epochs": made.epochs,
        "held_ndcg": made.gain,
        "against_random": hits["content"] / hits["random"],
        "against_overlap": hits["content"] / max(hits["overlap"], 1e-9),
        "against_tuned_overlap": hits["content"] / max(hits["tuned_overlap"], 1e-9),
    }  # fmt: skip


def ranks(scores: Tensor, cases: ColdCases) -> NDArray[np.int64]:
    """Ranks [n], from 1, of the targets by scores [n, candidates]; what a person had is out, ties are against us."""
    place = {item: at for at, item in enumerate(cases.candidates.tolist())}
    scores = scores.clone()
    for row, seen in enumerate(cases.seen):
        scores[row, [place[item] for item in seen if item in place and item != int(cases.targets[row])]] = -torch.inf
    targets = torch.tensor([place[int(item)] for item in cases.targets])
    return (scores >= scores.gather(1, targets[:, None])).sum(dim=1).numpy()


def random_measures(cases: ColdCases, k: int) -> slices.Measures:
    """What random order is expected to give each case."""
    n = np.array([len(cases.candidates) - len(set(seen) & set(cases.candidates.tolist())) for seen in cases.seen])
    expected = {"hr": np.ones(k), "mrr": 1 / np.arange(1, k + 1), "ndcg": 1 / np.log2(np.arange(2, k + 2))}
    return {name: np.array([worth[: min(k, m)].sum() / max(1, m) for m in n]) for name, worth in expected.items()}


def overlap(split: ColdSplit, described: Mapping[str, list[str]]) -> Tensor:
    """Scores [n, candidates] of attribute-overlap kNN for the asked cases: the mean Jaccard likeness of attributes to
    the items of the session."""
    has = _has(split, described)
    cases, sizes = split.asked, has.sum(axis=1)
    shared = has[: split.warm] @ has[cases.candidates].T
    either = sizes[: split.warm, None] + sizes[cases.candidates] - shared
    likeness = torch.from_numpy(shared / np.maximum(either, 1.0))
    rows = [likeness[own].mean(dim=0) if own else torch.zeros(len(cases.candidates)) for own in cases.histories]
    return torch.stack(rows)


def tuned_overlap(split: ColdSplit, described: Mapping[str, list[str]], k: int) -> tuple[Tensor, dict[str, float]]:
    """Scores [n, candidates] of attribute-overlap kNN for the asked cases, and its parameters: those that do best on
    the held items. An attribute counts log(items / items that have it)^`idf`, an item of the session `decay`^age, the
    latest `items`; `unit`: overlaps are cosines."""
    has = _has(split, described)
    rare = np.log((1 + split.warm) / (1 + has[: split.warm].sum(axis=0)))
    best, chosen = -1.0, (1.0, 1.0, 0.0, 0.0)
    for idf, unit in product((0.0, 0.5, 1.0, 2.0), (0.0, 1.0)):
        weighted = _weighted(has, rare, idf, unit)
        for items, decay in product((1.0, 3.0, 10.0, 50.0), (0.5, 0.65, 0.8, 0.9, 1.0)):
            scores = _overlap(split.chosen, weighted, items, decay)
            found = float(slices.measures(ranks(scores, split.chosen), k)["hr"].mean())
            if found > best:
                best, chosen = found, (items, decay, idf, unit)
    items, decay, idf, unit = chosen
    parameters = {"items": items, "decay": decay, "idf": idf, "unit": unit, "held_hr": best}
    return _overlap(split.asked, _weighted(has, rare, idf, unit), items, decay), parameters


def _has(split: ColdSplit, described: Mapping[str, list[str]]) -> NDArray[np.float32]:
    """1 where an item has an attribute: [items, attributes]."""
    numbers = attribute_numbers(split.ids, dict(described))
    has = np.zeros((len(split.ids), 1 + max((max(own) for own in numbers if own), default=0)), np.float32)
    for item, own in enumerate(numbers):
        has[item, own] = 1.0
    return has


def _weighted(has: NDArray[np.float32], rare: NDArray[np.float32], idf: float, unit: float) -> NDArray[np.float32]:
    weighted = has * rare**idf
    return weighted / np.maximum(np.linalg.norm(weighted, axis=1, keepdims=True), 1e-9) if unit else weighted


def _overlap(cases: ColdCases, weighted: NDArray[np.float32], items: float, decay: float) -> Tensor:
    people = np.zeros((len(cases), weighted.shape[1]), np.float32)
    for row, history in enumerate(cases.histories):
        for age, item in enumerate(reversed(history[-int(items) :])):
            people[row] += decay**age * weighted[item]
    return torch.from_numpy(people @ weighted[cases.candidates].T)
