"""Vectors of items that nobody wanted yet: from what is said of them into the space of a trained encoder.

A table of token vectors is summed per item, a small network corrects the sum, and the length is kept within what
trained vectors have. It learns two things: to give the people who wanted an item next that item before others (a
softmax over items, against the encoder's frozen session vectors), and to point where the item's trained vector points,
the more so the more often it was wanted (as DropoutNet, Volkovs et al., NeurIPS 2017, and CLCRec, Wei et al., MM 2021).
Whole fields are left out at random, so that a missing one does no harm, and rows of tokens start at nothing, so that a
token never seen adds nothing. Invariant: epochs are chosen on items that were not learned from; items, wishes and seed
determine the model. It does not know where sessions come from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from rtp_monolith.features.content import FIELDS, ROWS_MIN, Bags, Described, bags, texts_of
from rtp_monolith.training.models.encoder import SessionModel, alike

PER_TOKEN = 2
"""Rows of the table for each different token, so that few share one."""
ITEMS_AT_ONCE = 512


class ContentSettings(msgspec.Struct, frozen=True):
    """How a content model is learned. `direction` is the weight of pointing where trained vectors point, `evidence` how
    many wishes make a vector half certain; drops are of whole fields and of single tokens."""

    epochs: int = 12
    patience: int = 2
    batch: int = 512
    negatives: int = 1024
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    hidden: int = 128
    drop_field: float = 0.2
    drop_token: float = 0.1
    drop_sum: float = 0.1
    direction: float = 1.0
    evidence: float = 5.0
    rows_max: int = 1 << 14
    held_share: float = 0.1
    judged_max: int = 4000
    wishes_max: int = 200_000


class NextItems(NamedTuple):
    """Session vectors float32 [n, d] and the items int64 [n] that were wanted next."""

    states: Tensor
    targets: Tensor


class ContentModel(nn.Module):
    """Tokens → vectors. `shortest` and `longest` are the lengths that a vector is kept between."""

    def __init__(self, rows: int, dimension: int, hidden: int, shortest: float, longest: float) -> None:
        super().__init__()
        self.shortest, self.longest = shortest, longest
        self.table = nn.Parameter(torch.zeros(rows, dimension))
        self.offset = nn.Parameter(torch.zeros(dimension))
        self.wide = nn.Linear(dimension, hidden)
        self.back = nn.Linear(hidden, dimension)
        nn.init.zeros_(self.back.weight)
        nn.init.zeros_(self.back.bias)
        self.drop = nn.Dropout(0.0)

    def forward(self, tokens: Tensor, weights: Tensor) -> Tensor:
        """int64 and float32 [n, longest] → [n, d]."""
        said = (F.embedding(tokens, self.table) * weights.unsqueeze(2)).sum(dim=1)
        return self.finish(said)

    def finish(self, said: Tensor) -> Tensor:
        whole = self.drop(said) + self.back(F.gelu(self.wide(said))) + self.offset
        length = whole.square().sum(dim=1, keepdim=True).clamp(min=1e-12).sqrt()
        kept: Tensor = whole * (length.clamp(min=self.shortest, max=self.longest) / length)
        return kept


class TrainedContent(NamedTuple):
    """The model, its number of epochs and what was judged: NDCG among held items, at best and of random order."""

    model: ContentModel
    rows: int
    epochs: int
    gain: float
    chance: float


def rows_for(items: Sequence[Described], rows_max: int) -> int:
    """A power of two with room for the different tokens of the items."""
    different = {(field, text) for item in items for field, own in enumerate(texts_of(item)) for text in own}
    wanted = PER_TOKEN * len(different) + 2
    return min(rows_max, max(ROWS_MIN, 1 << math.ceil(math.log2(wanted))))


def next_items(
    model: SessionModel, sessions: Sequence[Sequence[int]], marks: Sequence[NDArray[np.int64]] | None = None
) -> NextItems:
    """What came next after every place of the sessions but the last, as the encoder sees it."""
    model.eval()
    states, targets = [], []
    with torch.no_grad():
        vectors = model.item_vectors()
        for group in alike(sessions, model.settings.length_max):
            padded, lengths = model.padded([sessions[place] for place in group])
            inside = torch.arange(padded.shape[1]) < lengths.unsqueeze(1)
            own = model.padded_marks(None if marks is None else [marks[place] for place in group], padded.shape[1])
            made = model.body.states(vectors[padded] * inside.unsqueeze(2), lengths, own)
            followed = inside[:, 1:]
            states.append(made[:, :-1][followed])
            targets.append(padded[:, 1:][followed])
    if not states:
        return NextItems(torch.zeros(0, vectors.shape[1]), torch.zeros(0, dtype=torch.long))
    return NextItems(torch.cat(states), torch.cat(targets))


def train_content(
    items: Sequence[Described],
    vectors: NDArray[np.float32],
    wishes: NextItems,
    settings: ContentSettings,
    *,
    seed: int,
    held: NDArray[np.int64] | None = None,
    judged: NextItems | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> TrainedContent:
    """`items` with their trained `vectors` [items, d]; `held` are the items to judge by, drawn unless given, and
    `judged` whose next item was one of them, taken from the wishes unless given."""
    rng = np.random.default_rng([seed, 13])
    counts = torch.bincount(wishes.targets, minlength=len(items)).float()
    wanted = np.flatnonzero(counts.numpy() > 0)
    if held is None:
        held = np.sort(rng.permutation(wanted)[: round(len(wanted) * settings.held_share)])
    is_held = torch.zeros(len(items), dtype=torch.bool)
    is_held[torch.from_numpy(held)] = True
    if judged is None:
        judged = _sample(wishes, is_held[wishes.targets], settings.judged_max, rng)
    rows = rows_for(items, settings.rows_max)
    said = bags(items, rows)
    lengths = np.linalg.norm(vectors[wanted], axis=1) if len(wanted) else np.ones(1)
    shortest, longest = (float(each) for each in np.quantile(lengths, [0.25, 0.75]))

    def learn(
        allowed: Tensor, epochs: int, judge: Callable[[ContentModel], float] | None
    ) -> tuple[ContentModel, int, float]:
        torch.manual_seed(seed)
        model = ContentModel(rows, vectors.shape[1], settings.hidden, shortest, longest)
        own = _sample(wishes, allowed[wishes.targets], settings.wishes_max, np.random.default_rng([seed, 17]))
        return _Learning(model, said, torch.from_numpy(vectors), counts, allowed, own, settings, seed).run(
            epochs, judge, tell
        )

    places = torch.full((len(items),), -1, dtype=torch.long)
    places[torch.from_numpy(held)] = torch.arange(len(held))

    def judge(model: ContentModel) -> float:
        return gain(judged.states, places[judged.targets], vectors_of(model, _some(said, held)))

    if not len(judged.targets):
        model, epochs, _ = learn(counts > 0, settings.epochs, None)
        return TrainedContent(model, rows, epochs, float("nan"), float("nan"))
    _, epochs, best = learn((counts > 0) & ~is_held, settings.epochs, judge)
    model, _, _ = learn(counts > 0, epochs, None)
    return TrainedContent(model, rows, epochs, best, chance(len(held)))


def vectors_of(model: ContentModel, said: Bags) -> NDArray[np.float32]:
    """[items, d] as they are served."""
    was = model.training
    model.eval()
    with torch.no_grad():
        tokens, weights = torch.from_numpy(said.tokens), torch.from_numpy(said.weights)
        cuts = [slice(at, at + ITEMS_AT_ONCE) for at in range(0, len(tokens), ITEMS_AT_ONCE)]
        parts = [model(tokens[cut], weights[cut]) for cut in cuts]
    model.train(was)
    made: NDArray[np.float32] = torch.cat(parts).numpy() if parts else np.zeros((0, model.offset.shape[0]), np.float32)
    return made


def gain(states: Tensor, targets: Tensor, candidates: NDArray[np.float32], k: int = 10) -> float:
    """NDCG@k of the targets int64 [n], places among the candidates [c, d], for the states [n, d]; ties against us."""
    scores = states @ torch.from_numpy(candidates).T
    own = scores.gather(1, targets[:, None])
    rank = ((scores >= own).sum(dim=1) - 1).float()
    return float(((rank < k) / (rank + 2.0).log2()).mean())


def chance(candidates: int, k: int = 10) -> float:
    """NDCG@k of random order."""
    return sum(1 / math.log2(place + 2) for place in range(min(k, candidates))) / max(1, candidates)


def _sample(wishes: NextItems, mask: Tensor, most: int, rng: np.random.Generator) -> NextItems:
    places = np.flatnonzero(mask.numpy())
    if len(places) > most:
        places = np.sort(rng.choice(places, most, replace=False))
    taken = torch.from_numpy(places)
    return NextItems(wishes.states[taken], wishes.targets[taken])


def _some(said: Bags, places: NDArray[np.int64]) -> Bags:
    return Bags(said.tokens[places], said.weights[places], said.fields[places])


class _Learning:
    """One course of training on the allowed items."""

    def __init__(
        self, model: ContentModel, said: Bags, vectors: Tensor, counts: Tensor, allowed: Tensor, wishes: NextItems,
        settings: ContentSettings, seed: int,
    ) -> None:  # fmt: skip
        self.model, self.settings, self.wishes, self.vectors = model, settings, wishes, vectors
        self.tokens, self.weights = torch.from_numpy(said.tokens), torch.from_numpy(said.weights)
        self.fields = torch.from_numpy(said.fields).long()
        self.pool = torch.from_numpy(np.flatnonzero(allowed.numpy()))
        self.sure = counts / (counts + settings.evidence)
        self.chance = torch.Generator().manual_seed(seed)
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [model.table], "weight_decay": settings.weight_decay},
                {"params": [p for n, p in model.named_parameters() if n != "table"], "weight_decay": 0.01},
            ],
            lr=settings.learning_rate,
        )

    def run(
        self, epochs: int, judge: Callable[[ContentModel], float] | None, tell: Callable[[str], None]
    ) -> tuple[ContentModel, int, float]:
        settings, n = self.settings, len(self.wishes.targets)
        steps = max(1, math.ceil(n / settings.batch))
        best, at, kept = -math.inf, 0, None
        for epoch in range(epochs):
            self.model.train()
            self.model.drop.p = settings.drop_sum
            order = torch.randperm(n, generator=self.chance)
            total = 0.0
            for step in range(steps):
                total += self._step(order[step * settings.batch : (step + 1) * settings.batch])
            if judge is None:
                at = epoch + 1
                continue
            self.model.eval()
            found = judge(self.model)
            tell(f"content, epoch {epoch + 1}: loss {total / steps:.4f}, NDCG {found:.4f} among held items")
            if found > best:
                best, at, kept = found, epoch + 1, {k: v.clone() for k, v in self.model.state_dict().items()}
            elif epoch + 1 - at >= settings.patience:
                break
        if kept is not None:
            self.model.load_state_dict(kept)
        return self.model.eval(), at, best

    def _step(self, batch: Tensor) -> float:
        settings = self.settings
        targets = self.wishes.targets[batch]
        drawn = self.pool[torch.randint(len(self.pool), (settings.negatives,), generator=self.chance)]
        items, places = torch.unique(torch.cat([targets, drawn]), return_inverse=True)
        made = self._vectors(items)
        logits = self.wishes.states[batch] @ made.T
        loss = F.cross_entropy(logits, places[: len(batch)])
        if settings.direction:
            away = 1 - F.cosine_similarity(made, self.vectors[items], dim=1)
            sure = self.sure[items]
            loss = loss + settings.direction * (away * sure).sum() / sure.sum().clamp(min=1e-6)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return float(loss.detach())

    def _vectors(self, items: Tensor) -> Tensor:
        """With fields and tokens left out."""
        settings = self.settings
        weights = self.weights[items]
        keep = torch.rand(len(items), len(FIELDS), generator=self.chance) >= settings.drop_field
        weights = weights * keep.gather(1, self.fields[items])
        weights = weights * (torch.rand(weights.shape, generator=self.chance) >= settings.drop_token)
        made: Tensor = self.model(self.tokens[items], weights)
        return made
