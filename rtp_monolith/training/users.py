"""Static, dynamic and context vectors of users put together: fitted for a bundle, and shown beside each alone.

The past is weighed as serves validation best, then the forms of fusion are learned. Invariant: what is judged is
younger than all that was learned from, and choices are made on validation alone. It does not know terminals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith.config import Config
from rtp_monolith.errors import DataError
from rtp_monolith.features.marks import Marks
from rtp_monolith.features.taste import TasteSettings, space_of
from rtp_monolith.training import slices
from rtp_monolith.training.bundle import ContextParts, FusionParts
from rtp_monolith.training.export_asking import Encoded, UserVectors
from rtp_monolith.training.fusion import (
    JUDGED_AT,
    PARITY_MAX,
    FusionSettings,
    TrainedFusion,
    case_ranks,
    judged,
    popular_ranks,
    train_fusion,
)
from rtp_monolith.training.fusion_model import fused, fusion_parity
from rtp_monolith.training.survey import Survey, survey
from rtp_monolith.training.wishes import Pasts, Visit, Wishes, nightly, pasts, visits, wishes

TASTES = tuple(
    TasteSettings(half_life, weights)
    for half_life in (0.0, 7.0, 30.0)
    for weights in ({}, {"add_to_cart": 2.0, "purchase": 3.0, "like": 2.0})
)
CASES_MIN = 50
"""Fewer cases of users with a past teach nothing."""
BY_CLICKS = ((0, 0, "0"), (1, 1, "1"), (2, 4, "2-4"), (5, 1 << 30, "5 and more"))
PROBED = 4
CUTS = (0.45, 0.80, 0.87)
FOREVER_MS = 2**62


class Fitted(msgspec.Struct, frozen=True):
    """How the past is weighed, the fusion, all cases with their pasts, and what was tried."""

    taste: TasteSettings
    trained: TrainedFusion
    cases: Wishes
    report: dict[str, object]


def fit_users(
    seen: Survey,
    encoded: Encoded,
    cuts_ms: tuple[int, int, int],
    settings: FusionSettings,
    *,
    seed: int,
    tell: Callable[[str], None],
) -> Fitted | None:
    """Learns from visits between the first two cuts and chooses by those before the third; None when too few of them
    are of users with a past."""
    start, middle, end = cuts_ms
    found = visits(seen, encoded.items, strangers=True)
    cases = wishes(found, encoded, pasts(found, encoded.vectors, TASTES[0]), start)
    with_past = cases.between(start, end)
    if int(with_past.has_past.sum()) < CASES_MIN:
        return None
    taste, weighed = _weighed(found, cases, encoded.vectors, (middle, end))
    words = cases.between(start, middle).words(found)
    cases = msgspec.structs.replace(cases, static=weighed).said_with(words, found)
    learned, held = cases.between(start, middle), cases.between(middle, end)
    trained = train_fusion(learned, held, encoded.vectors, settings, words, seed=seed, tell=tell)
    own = held.of(np.flatnonzero(held.has_past))
    alone = [judged("static", own.pasts, encoded.vectors, own), judged("session", own.session, encoded.vectors, own)]
    serving = trained.serving
    report: dict[str, object] = {
        "form": serving.form,
        "clicks_max": serving.clicks_max,
        "context": None if serving.words is None else {"values": serving.words, "alone": serving.alone},
        "context_gains": trained.gains,
        "taste": taste,
        "learned": int(learned.has_past.sum()),
        "validation": len(own),
        "tried": [*alone, *trained.tried],
    }
    return Fitted(taste, trained, cases, report)


def _weighed(
    found: Sequence[Visit], cases: Wishes, vectors: NDArray[np.float32], where: tuple[int, int]
) -> tuple[TasteSettings, NDArray[np.float32]]:
    """The weighing whose past alone does best on the cases of a slice, the first of equals, with the pasts it gives."""
    best: tuple[float, TasteSettings, NDArray[np.float32]] | None = None
    for taste in TASTES:
        static = pasts(found, vectors, taste)
        held = msgspec.structs.replace(cases, static=static).between(*where)
        own = held.of(np.flatnonzero(held.has_past))
        ndcg = judged("", own.pasts, vectors, own).ndcg
        if best is None or ndcg > best[0]:
            best = (ndcg, taste, static)
    assert best is not None
    return best[1], best[2]


def fit_for_bundle(
    seen: Survey,
    encoded: Encoded,
    cuts_ms: tuple[int, int, int],
    settings: FusionSettings,
    *,
    seed: int,
    tell: Callable[[str], None],
) -> tuple[Encoded, FusionParts | None, dict[str, object]]:
    """The encoder with users' vectors beside it, what the bundle has of them, and the report; without, when users have
    too little of a past. Raises DataError `parity`."""
    fitted = fit_users(seen, encoded, cuts_ms, settings, seed=seed, tell=tell)
    if fitted is None:
        tell("too few sessions of users who came before: no fusion")
        return encoded, None, {"form": None}
    model = fitted.trained.serving
    probed = fitted.cases.of(_probed(fitted.cases))
    difference = fusion_parity(model, probed)
    if not difference < PARITY_MAX:
        raise DataError(f"the fusion as it serves differs from the model by {difference:.1e}", code="parity")
    fusion = model.exported()
    probe: dict[str, NDArray[np.generic]] = {
        "probe_static": probed.pasts,
        "probe_session": probed.session,
        "probe_clicks": probed.clicks,
        "probe_context": probed.numbers,
        "probe_fused": fused(model, probed),
    }
    said = None if fusion.words is None else ContextParts(fusion.words, fusion.alone)
    parts = FusionParts(fusion.form, {**fusion.weights, **probe}, fitted.taste, said, fusion.clicks_max)
    own = Pasts(visits(seen, encoded.items), encoded.vectors, fitted.taste)
    whole = msgspec.structs.replace(encoded, users=UserVectors(own, fusion))
    return whole, parts, {**fitted.report, "parity": difference}


def checked_length(encoded: Encoded, config: Config) -> Encoded:
    """Raises DataError `bad_static` when a shard reads static vectors of another length than the item vectors."""
    said, d = config.users.static, encoded.vectors.shape[1]
    if said != d:
        raise DataError(f"users.static is {said}, item vectors have {d} numbers", code="bad_static")
    return encoded


def _probed(cases: Wishes) -> NDArray[np.int64]:
    """A few cases of every kind: with and without a past, a session, a context."""
    kinds = cases.has_past * 4 + (cases.clicks > 0) * 2 + (cases.numbers >= 0).any(axis=1)
    return np.concatenate([np.flatnonzero(kinds == kind)[:PROBED] for kind in range(8)])


class Part(msgspec.Struct, frozen=True):
    """One slice of the judged cases: means of each way, and intervals of its difference to the first."""

    name: str
    n: int
    ways: dict[str, slices.Paired]


class Shown(msgspec.Struct, frozen=True):
    """What `rtp bench users` says: choices of validation, and the judged slices."""

    fitted: dict[str, object]
    strangers: int
    parts: list[Part]


def compare_users(
    data: Path, config: Config, bundle: Path, settings: FusionSettings, *, seed: int, tell: Callable[[str], None]
) -> Shown:
    """The encoder and the item vectors of a bundle on the visits of a log after the bundle's encoder had learned, cut
    like a training's. Raises DataError `nothing_to_learn` where users have no past."""
    seen = survey(data, config, contexts=True)
    encoded = encoded_of(bundle)
    start, middle, end = (seen.cut_ms(share) for share in CUTS)
    fitted = fit_users(seen, encoded, (start, middle, end), settings, seed=seed, tell=tell)
    if fitted is None:
        text = "the log has too few sessions of users who came before"
        raise DataError(text, code="nothing_to_learn")
    later, learned = fitted.cases.between(end, FOREVER_MS), fitted.cases.between(start, middle)
    own, strangers = (later.of(np.flatnonzero(later.has_past == past)) for past in (True, False))
    parts = parts_of(fitted.trained, own, encoded.vectors, seed)
    return Shown(
        fitted.report, len(strangers), parts + strangers_of(fitted.trained, learned, strangers, encoded.vectors, seed)
    )


def parts_of(trained: TrainedFusion, own: Wishes, vectors: NDArray[np.float32], seed: int) -> list[Part]:
    """Every way for users with a past, on all cases, on those with a session, and by the clicks of the session, against
    the session alone."""
    ways = {"session": own.session, "static": own.pasts, **_context_ways(trained, own)}
    ways |= {name: fused(model, own) for name, model in trained.models.items()}
    found = {name: case_ranks(asked, vectors, own) for name, asked in ways.items()}
    limits = ((0, FOREVER_MS, "all"), (1, FOREVER_MS, "1 and more"), *BY_CLICKS)
    return [part for each in limits for part in _part(each, own, found, seed)]


def strangers_of(
    trained: TrainedFusion, learned: Wishes, cases: Wishes, vectors: NDArray[np.float32], seed: int
) -> list[Part]:
    """The ways that are left for people without a past: before a click against what is popular, then against the
    session."""
    ways = {"session": cases.session, **_context_ways(trained, cases)}
    ways |= {name: fused(model, cases) for name, model in trained.models.items() if model.words is not None}
    found = {name: case_ranks(asked, vectors, cases) for name, asked in ways.items()}
    popular = {"popular": popular_ranks(learned, len(vectors), cases)}
    before = popular | {name: each for name, each in found.items() if name == "context"}
    none, some = (0, 0, "stranger, 0"), (1, FOREVER_MS, "stranger, 1 and more")
    return [*_part(none, cases, before, seed), *_part(some, cases, found, seed)]


def _context_ways(trained: TrainedFusion, cases: Wishes) -> dict[str, NDArray[np.float32]]:
    """The context alone, in the way that reads it best; nothing where no context is known."""
    if trained.widest is None:
        return {}
    return {"context": fused(trained.models[trained.widest], cases, past=False, session=False)}


def _part(limits: tuple[int, int, str], cases: Wishes, found: dict[str, NDArray[np.int64]], seed: int) -> list[Part]:
    low, high, name = limits
    taken = np.flatnonzero((cases.clicks >= low) & (cases.clicks <= high))
    if not len(taken):
        return []
    paired = slices.paired(
        [slices.measures(each[taken], JUDGED_AT) for each in found.values()], cases.visit[taken], seed
    )
    return [Part(name, len(taken), dict(zip(found, paired, strict=True)))]


def nightly_table(
    data: Path, config: Config, bundle: Path, until_ms: int | None = None
) -> tuple[list[str], NDArray[np.float32], float]:
    """What a nightly job publishes: users, their static vectors [users, d] for a bundle, and the number of its item
    vectors. Of all that the log has, or of what was wanted before a moment. Raises DataError `no_fusion` for a bundle
    that would not read it, `bundle_unreadable`."""
    manifest, encoded = _read(bundle)
    if manifest.fusion is None:
        raise DataError(f"{bundle} has no fusion: it was trained without [users] static", code="no_fusion")
    found = visits(survey(data, config), encoded.items)
    moment = FOREVER_MS if until_ms is None else until_ms
    users, vectors = nightly(found, encoded.vectors, manifest.fusion.taste, moment)
    return users, vectors, space_of(manifest.embedding.version)


class _Encoder(msgspec.Struct, frozen=True):
    file: str
    length: int
    marks: Marks | None = None


class _Embedding(msgspec.Struct, frozen=True):
    version: str


class _Fusion(msgspec.Struct, frozen=True):
    taste: TasteSettings


class _Manifest(msgspec.Struct, frozen=True):
    """What is read of a bundle's manifest here."""

    encoder: _Encoder
    embedding: _Embedding
    fusion: _Fusion | None = None


def encoded_of(bundle: Path) -> Encoded:
    """The encoder of a bundle's folder with its item vectors. Raises DataError `bundle_unreadable`."""
    return _read(bundle)[1]


def _read(bundle: Path) -> tuple[_Manifest, Encoded]:
    try:
        manifest = msgspec.json.decode((bundle / "manifest.json").read_bytes(), type=_Manifest)
        said = manifest.encoder
        items = [msgspec.json.decode(line, type=str) for line in (bundle / "items.txt").read_bytes().splitlines()]
        vectors = np.load(bundle / "items.npy", allow_pickle=False)
        return manifest, Encoded((bundle / said.file).read_bytes(), items, vectors, said.length, said.marks)
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise DataError(f"{bundle} cannot be read: {error}", code="bundle_unreadable") from None
