"""From a shard's log to a bundle: survey, encoder, rows, ranker, pre-rank, report, in this order: rows and pools say
what the sources find, and the encoder is one of them.

The log is cut by time: the encoder learns before the first cut, the ranker after it, then come the slices that stop the
training, calibrate it and judge it. Invariant: log, settings and seed determine the bundle, interrupted or not: what a
step has made stays in the work folder. It does not know a terminal; `Watch` is told how far it is.
"""

from __future__ import annotations

import hashlib
import math
import shutil
from pathlib import Path
from typing import Literal, Protocol

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from rtp_monolith.clock import Clock
from rtp_monolith.config import Config
from rtp_monolith.errors import DataError
from rtp_monolith.features.cascade import CASCADE
from rtp_monolith.features.compile import compile_plan
from rtp_monolith.features.declared import declared
from rtp_monolith.features.marks import Marks
from rtp_monolith.state.recovery import open_log
from rtp_monolith.training import report as words
from rtp_monolith.training.bundle import FusionParts, Parts, check_name, next_version, write_bundle
from rtp_monolith.training.candidates import CandidateSets, CandidateSettings, CandidateWriter
from rtp_monolith.training.content import ContentSettings
from rtp_monolith.training.content_bundle import content_part
from rtp_monolith.training.dataset import (
    RECALL,
    REQUEST_COLUMNS,
    SERVED_COLUMNS,
    SESSION_COLUMNS,
    Slice,
    compose,
    compose_pools,
)
from rtp_monolith.training.distill import Distilled, distill, value_of
from rtp_monolith.training.export_asking import Asking, Encoded
from rtp_monolith.training.export_mmoe import PARITY_MAX, parity, ranker_graph, run_encoder, run_ranker
from rtp_monolith.training.fusion import FusionSettings
from rtp_monolith.training.gains import Gain, permutation_gains
from rtp_monolith.training.heads import declared_heads
from rtp_monolith.training.lists import SeenList, Windows
from rtp_monolith.training.models.build import build
from rtp_monolith.training.past import Past
from rtp_monolith.training.pools import Pools, PoolSettings, PoolWriter
from rtp_monolith.training.ranker import Epoch, RankerSettings, Rows, TrainedRanker, WantedRows, train_ranker
from rtp_monolith.training.recall_weight import gains_by_weight
from rtp_monolith.training.replay import RowCounts, RowSettings, RowTable, replay_lists, write_table
from rtp_monolith.training.session_vectors import ENCODER, RIVALS, SessionVectors, encoder_file, train_encoder
from rtp_monolith.training.settings import Settings
from rtp_monolith.training.source_weights import propose
from rtp_monolith.training.stamps import Wanted
from rtp_monolith.training.survey import Survey, survey
from rtp_monolith.training.users import checked_length, fit_for_bundle

FOREVER_MS = 2**62
LISTS_OF_ABOUT = 5
SCOPES_OF_REQUEST = ("user", "session", "context")
"""Of features that are equal in all rows of a list."""
LISTS_STALE_MS = 30_000
"""How old the lists of the popular are in a busy shard; making them anew for every list would take longer than all
else."""
PROBED_SESSIONS = 5
PROBED_ROWS = 16
Drop = Literal["nothing", "session"]


class Shares(msgspec.Struct, frozen=True):
    """Where the log is cut, in shares of its impressions: the encoder learns before `encoder`, the ranker up to
    `ranker`, then stopping, calibration, and the rest judges."""

    encoder: float = 0.45
    ranker: float = 0.80
    stopping: float = 0.87
    calibration: float = 0.93

    def __post_init__(self) -> None:
        if not 0 < self.encoder < self.ranker < self.stopping < self.calibration < 1:
            raise ValueError("shares ascend between 0 and 1")


class CascadeSettings(msgspec.Struct, frozen=True):
    """Everything that decides a bundle beside the log and the seed. `share` of the lists become rows; `drop` session
    leaves out whatever reads the session; `rivals` are encoders that may take the place of `encoder`, of its length;
    `marks` says whether the one that serves reads times and event types of clicks."""

    windows: Windows = Windows()
    shares: Shares = Shares()
    share: float = 1.0
    encoder: Settings = ENCODER
    rivals: tuple[Settings, ...] = RIVALS
    marks: Wanted = "auto"
    ranker: RankerSettings = RankerSettings()
    candidates: CandidateSettings = CandidateSettings()
    pools: PoolSettings = PoolSettings()
    content: ContentSettings | None = ContentSettings()
    fusion: FusionSettings = FusionSettings()
    drop: Drop = "nothing"


class Watch(Protocol):
    """Told how far a run is."""

    def stage(self, name: str) -> None:
        """A step begins."""

    def progress(self, done: int, total: int, note: str = "") -> None:
        """How far the step is."""

    def say(self, text: str) -> None:
        """A line worth keeping."""


class Made(msgspec.Struct, frozen=True):
    """Where the bundle is and its report."""

    path: Path
    report: dict[str, object]


class _Cuts(msgspec.Struct, frozen=True):
    """The slices' ends, ms."""

    encoder: int
    ranker: int
    stopping: int
    calibration: int

    def slices(self) -> tuple[Slice, Slice, Slice, Slice]:
        """Training, stopping, calibration, judging."""
        return (
            Slice(self.encoder, self.ranker),
            Slice(self.ranker, self.stopping),
            Slice(self.stopping, self.calibration),
            Slice(self.calibration, FOREVER_MS),
        )


def train_cascade(
    data: Path,
    config: Config,
    out: Path,
    name: str,
    version: str | None,
    settings: CascadeSettings,
    *,
    seed: int,
    clock: Clock,
    watch: Watch,
    bundles: Path | None = None,
) -> Made:
    """Makes `out/name/version` from the log of `data`, with as many threads as torch has. `bundles` is where the
    bundles lie that made the log's decisions, `out` unless told otherwise.

    Raises DataError: `bundle_exists`, `nothing_to_learn`, what reading the log refuses, or `parity` when a graph does
    not say what its model says.
    """
    version = check_name(version, "version") if version is not None else next_version(out, name)
    if (out / check_name(name, "name") / version).exists():
        raise DataError(f"{out / name / version} exists: a version never changes", code="bundle_exists")
    work = out / name / f".{version}.work-{_digest(data, config, settings, seed)}"
    work.mkdir(parents=True, exist_ok=True)
    run = _Run(data, config, work, settings, seed, clock, watch, bundles or out)
    parts = run.parts()
    path = write_bundle(out, name, version, parts)
    shutil.rmtree(work)
    return Made(path, parts.report)


def _digest(data: Path, config: Config, settings: CascadeSettings, seed: int) -> str:
    """Names the work folder: what another log, setting or seed left there is not taken up."""
    log = open_log(data, config, read_only=True)
    try:
        end = log.end()
    finally:
        log.close()
    said = msgspec.json.encode([end, config.digest(), settings, seed])
    return hashlib.sha256(said).hexdigest()[:12]


class _Run:
    """The steps, each of which takes up what it left when it was interrupted."""

    def __init__(
        self, data: Path, config: Config, work: Path, settings: CascadeSettings, seed: int, clock: Clock, watch: Watch,
        bundles: Path,
    ) -> None:  # fmt: skip
        self.data, self.config, self.work, self.settings = data, config, work, settings
        self.seed, self.clock, self.watch, self.bundles = seed, clock, watch, bundles
        self.windows = msgspec.structs.replace(settings.windows, declared=declared_heads(config))
        known = declared(config)
        self.features = known.features
        own_of = {scope: frozenset(f.name for f in known.custom if f.scope == scope) for scope in SCOPES_OF_REQUEST}
        self.drop = SESSION_COLUMNS | own_of["session"] if settings.drop == "session" else frozenset()
        self.request_names = REQUEST_COLUMNS.union(*own_of.values())

    def parts(self) -> Parts:
        self.watch.stage("survey")
        seen = survey(self.data, self.config, contexts=self.config.users.static > 0)
        if not seen.decided:
            self.drop |= SERVED_COLUMNS
        shares = self.settings.shares
        ends = (shares.encoder, shares.ranker, shares.stopping, shares.calibration)
        cuts = _Cuts(*(seen.cut_ms(share) for share in ends))
        vectors, encoder_report = self._encoder(seen, cuts)
        encoder_path = self.work / "encoder.onnx"
        difference = encoder_file(vectors, encoder_path, self.seed)
        encoded = Encoded(encoder_path.read_bytes(), list(vectors.items), vectors.table, vectors.length, vectors.marks)
        content = None
        if self.settings.content is not None:
            self.watch.stage("content of items")
            content = content_part(
                seen, cuts.encoder, vectors, self.settings.content, seed=self.seed, tell=self.watch.say
            )
        fusion: FusionParts | None = None
        users_report: dict[str, object] = {"form": None}
        if self.config.users.static:
            self.watch.stage("users")
            ends_ms = (cuts.encoder, cuts.ranker, cuts.stopping)
            encoded, fusion, users_report = fit_for_bundle(
                seen, checked_length(encoded, self.config), ends_ms, self.settings.fusion,
                seed=self.seed, tell=self.watch.say,
            )  # fmt: skip
        table, whole, pools = self._rows(seen, cuts, encoded)
        slices = [compose(table, where, self.drop) for where in cuts.slices()]
        learned, stopping = (compose_pools(pools, where, self.drop) for where in cuts.slices()[:2])
        trained = self._ranker(slices, (learned, stopping))
        graph = ranker_graph(trained)
        self.watch.stage("pre-rank")
        worths = [head.worth for head in self.windows.heads]
        distilled = distill(whole, trained, slices[0].names, worths, cuts.calibration, drop=self.drop)
        self.watch.stage("gain of every feature")
        gains = permutation_gains(
            trained.probabilities, slices[3], trained.model.columns.names, self.seed, self.watch.progress
        )
        self.watch.stage("export")
        probe = self._probe(graph, encoder_path, vectors, slices[3], trained, table)
        ranker_parity = parity(graph, trained, probe["rows"].astype(np.float32))
        if not ranker_parity < PARITY_MAX:
            raise DataError(f"the ranker's graph differs from the model by {ranker_parity:.1e}", code="parity")
        report = self._report(seen, cuts, table, slices, trained, distilled, gains)
        report["pools"] = {"train": words.pools(learned), "stopping": words.pools(stopping)}
        report["recall_weight"] = gains_by_weight(
            stopping,
            stopping.features[:, slices[0].names.index(RECALL)],
            value_of(trained.probabilities(stopping.features), worths),
        )
        report["sources"] = propose(pools, self.config, cuts.encoder, cuts.ranker, cuts.stopping)
        if content is not None:
            probe |= content.probe
            report["content"] = content.report
        report["encoder"] = {**encoder_report, "parity": difference}
        report["users"] = users_report
        report["parity"] = {"encoder": difference, "ranker": ranker_parity}
        return Parts(
            items=list(vectors.items),
            vectors=vectors.table,
            encoder=encoder_path.read_bytes(),
            length=vectors.length,
            marks=vectors.marks,
            content=None if content is None else content.graph,
            content_rows=0 if content is None else content.rows,
            ranker=graph,
            inputs=trained.model.columns.names,
            heads=[head.name for head in self.windows.heads],
            prerank=msgspec.json.format(msgspec.json.encode(distilled.model), indent=1) + b"\n",
            probe=probe,
            metrics=words.headline(report),
            report=report,
            seed=self.seed,
            features=self.features,
            fusion=fusion,
        )

    def _rows(self, seen: Survey, cuts: _Cuts, encoded: Encoded) -> tuple[RowTable, CandidateSets, Pools]:
        folder = self.work / "rows"
        if (folder / "rows.json").exists():
            return RowTable(folder), CandidateSets(folder), Pools(folder)
        self.watch.stage("rows")
        settings, counts = self.settings, RowCounts()
        plan = compile_plan([*self.features, *CASCADE])
        wanted = msgspec.structs.replace(settings.candidates, after_ms=cuts.encoder)
        after = sum(n for minute, n in seen.minutes.items() if minute * 60_000 >= cuts.encoder)
        lists_after = math.ceil(after * settings.share / LISTS_OF_ABOUT)
        whole = CandidateWriter(folder, wanted, plan, math.ceil(lists_after / max(1, wanted.sets)))
        sources: list[str] = list(
            dict.fromkeys(name for surface in self.config.surfaces.values() for name in surface.sources)
        )
        taken = msgspec.structs.replace(settings.pools, after_ms=cuts.encoder, seed=self.seed)
        pools = PoolWriter(folder, taken, plan, sources, lists_after)

        def visit(past: Past, asking: Asking | None, seen: SeenList) -> None:
            whole.visit(past, asking, seen)
            if seen.as_of_ms < cuts.stopping:
                pools.visit(past, asking, seen)

        def close() -> None:
            whole.close()
            pools.close()

        lists = replay_lists(
            self.data,
            self.config,
            RowSettings(self.windows, settings.share, self.seed, cuts.encoder, LISTS_STALE_MS),
            counts,
            features=self.features,
            encoded=encoded,
            bundles=self.bundles,
            progress=self.watch.progress,
            visit=visit,
        )
        names = [head.name for head in self.windows.heads]
        # The table's card is written last: with it, the folder is whole.
        table = write_table(folder, lists, plan.names, names, settings.encoder.length_max, counts, close)
        made = Pools(folder)
        self.watch.say(
            f"{counts.rows} rows of {counts.lists} lists, {counts.served_rows} as they were served; {len(made)} pools"
        )
        return table, CandidateSets(folder), made

    def _encoder(self, seen: Survey, cuts: _Cuts) -> tuple[SessionVectors, dict[str, object]]:
        done = self.work / "encoder.done.pt"
        if done.exists():
            kept = torch.load(done, weights_only=True)
            numbers = {item.id: at for at, item in enumerate(seen.catalogue)}
            settings = msgspec.convert(kept["settings"], Settings)
            model = build(len(numbers), settings, self.seed, seen.attribute_numbers())
            model.load_state_dict(kept["model"])
            marks = msgspec.convert(kept["marks"], Marks | None)
            return SessionVectors(model, numbers, marks), dict(kept["report"])
        self.watch.stage("session encoder")
        vectors, said = train_encoder(
            seen,
            cuts.encoder,
            (self.settings.encoder, *self.settings.rivals),
            self.settings.marks,
            seed=self.seed,
            clock=self.clock,
            checkpoint=self.work / "encoder.pt",
            tell=self.watch.say,
        )
        draft = done.with_suffix(".draft")
        settled = {"settings": vectors.model.settings, "marks": vectors.marks}
        torch.save({"model": vectors.model.state_dict(), "report": said, **msgspec.to_builtins(settled)}, draft)
        draft.replace(done)
        return vectors, said

    def _ranker(self, slices: list[Rows], pools: tuple[WantedRows, WantedRows]) -> TrainedRanker:
        self.watch.stage("ranker")
        train, stopping, calibration, judged = slices
        for rows, what in (
            (train, "train on"),
            (stopping, "stop by"),
            (calibration, "calibrate on"),
            (judged, "judge by"),
        ):
            if not len(rows):
                raise DataError(f"no rows to {what}: the log is too short for these shares", code="nothing_to_learn")

        def told(epoch: Epoch, epochs: int) -> None:
            self.watch.progress(epoch.epoch + 1, epochs, f"loss {epoch.validation:.4f}, AUC {epoch.click_auc:.4f}")

        return train_ranker(
            train,
            stopping,
            calibration,
            self.settings.ranker,
            seed=self.seed,
            request_names=self.request_names,
            pools=pools if min(len(each) for each in pools) else None,
            checkpoint=self.work / "ranker.pt",
            report=told,
        )

    def _probe(
        self,
        graph: bytes,
        encoder: Path,
        vectors: SessionVectors,
        judged: Rows,
        trained: TrainedRanker,
        table: RowTable,
    ) -> dict[str, NDArray[np.generic]]:
        """Inputs of one list and of a few sessions, the empty one among them, with what both graphs make of them."""
        sizes = np.bincount(judged.lists - judged.lists[0])
        own = judged.lists == judged.lists[0] + int(sizes.argmax())
        rows = np.ascontiguousarray(judged.features[own][:PROBED_ROWS][:, trained.used])
        longest = np.argsort(-table.prefix_length, kind="stable")[: PROBED_SESSIONS - 1]
        numbers = np.array([vectors.items.get(item, 0) for item in table.card.items], dtype=np.int64)
        lengths = np.r_[np.minimum(table.prefix_length[longest], vectors.length), 0].astype(np.int64)
        width = max(1, int(lengths.max()))
        padded = np.zeros((len(lengths), width, vectors.table.shape[1]), np.float32)
        for at, (number, n) in enumerate(zip(longest, lengths, strict=False)):
            padded[at, :n] = vectors.table[numbers[table.prefix[number, :n]]]
        marks = vectors.probe_marks(padded.shape[:2], self.seed)
        return {
            "vectors": padded,
            "lengths": lengths,
            **({} if marks is None else {"marks": marks}),
            "session": run_encoder(encoder.read_bytes(), padded, lengths, marks),
            "rows": rows,
            "probabilities": run_ranker(graph, rows),
        }

    def _report(
        self,
        seen: Survey,
        cuts: _Cuts,
        table: RowTable,
        slices: list[Rows],
        trained: TrainedRanker,
        distilled: Distilled,
        gains: list[Gain],
    ) -> dict[str, object]:
        judged = slices[3]
        columns = trained.model.columns.names
        return {
            "settings": self.settings,
            "seed": self.seed,
            "log": {"impressions": seen.impressions, "sessions": len(seen.sessions), "items": len(seen.catalogue)},
            "cuts_ms": cuts,
            "rows": {
                "counts": table.card.counts,
                **{
                    name: len(rows)
                    for name, rows in zip(("train", "stopping", "calibration", "judged"), slices, strict=True)
                },
            },
            "epochs": trained.epochs,
            "judged": words.judgement(trained, judged, table.card.heads),
            "calibration": words.calibration(trained, judged, table.card.heads),
            "gains": gains,
            "without_gain": [gain.feature for gain in gains if not gain.useful],
            "constant": [name for name in slices[0].names if name not in columns],
            "prerank": {
                "overlap": distilled.overlap,
                "correlation": distilled.correlation,
                "pools": distilled.pools,
                "candidates": distilled.candidates,
            },
        }
