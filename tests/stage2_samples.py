"""What the tests of Stage-2 share: told rollouts, objectives around a tiny model, and the loss in plain loops."""

from __future__ import annotations

import atexit
import json
import random
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from torch import nn

from answer_samples import ids_of, prompts
from coordspec.config.model import Config
from coordspec.config.sections import Template
from coordspec.contracts import Kind
from coordspec.coords import MAX_BIN
from coordspec.errors import Place
from coordspec.generate import Answer, Ended, Request
from coordspec.losses.box import box_terms
from coordspec.model.checkpoint import save_checkpoint
from coordspec.record import DetObject, Record
from coordspec.samples.dataset import Task
from coordspec.samples.encode import Encoder
from coordspec.target import Target
from coordspec.tokenizer import END_OF_TURN
from coordspec.train.network import batch_guard
from coordspec.train.stage2.objective import Stage2, Stage2Prepared
from coordspec.train.stage2.rollouts import Built
from coordspec.train.stage2.settings import Settings, stage2_settings
from coordspec.train.stage2.step import Stage2Model
from rollouts import body, sample
from train_samples import PAD, processor
from training_runs import COORDS, inputs, merged, smallest_model

END = END_OF_TURN
NEAR_CAT = DetObject("cat", bbox_2d=(14, 8, 120, 112))
WRONG = DetObject("nothing", bbox_2d=(990, 0, 999, 9))
TRIANGLE = DetObject("sail", poly=(300, 300, 400, 500, 200, 480))
AB: dict[str, Any] = {"custom": {"trainer_variant": "stage2_ab"}, "stage2_ab": {"schedule": {"b_ratio": 1}}}
"""What makes a config of ``training_runs.settings`` one of Channel-B alone."""
QUIET: dict[str, Any] = {"rollout_matching": {"runaway": {"max_predictions_per_gt": None, "max_truncation_rate": None}}}
"""What lets rollouts be as they are."""


def whole(*items: DetObject, start: int = 1) -> str:
    """A rollout that ends as it should."""
    return body(*items, start=start) + "}" + END


class Writes:
    """A generator that writes what it is told for the number of a sample, and keeps what it was asked."""

    def __init__(self, texts: Mapping[int, str] | Sequence[str]) -> None:
        self.texts = texts
        self.seeds: list[tuple[int, ...]] = []
        self.refreshed: list[int] = []

    def refresh(self, step: int) -> None:
        self.refreshed.append(step)

    def answers(self, requests: Sequence[Request]) -> list[Answer]:
        self.seeds += [request.seeds for request in requests]
        ids = [ids_of(self.texts[request.seeds[-1]], end=False) for request in requests]
        return [Answer(found, Ended.END, (-1.0,) * len(found)) for found in ids]


def config(*changes: Mapping[str, Any]) -> Config:
    """The least config of ``stage2_ab`` with these changes."""
    least: dict[str, Any] = {
        "model": {"path": "model"},
        "data": {"train": ["train.jsonl"]},
        "training": {"output_dir": "run"},
    }
    found = merged(merged(least, COORDS), AB)
    for change in changes:
        found = merged(found, change)
    return Config.model_validate(found)


@cache
def policy_settings(policy: str = "unified") -> Settings:
    """The defaults of Channel-B alone under a policy."""
    return stage2_settings(config({"stage2_ab": {"channel_b": {"mask_policy": policy}}}))


def changed(settings: Settings, **changes: Any) -> Settings:
    """Settings with other values, each by its own name, whichever section it stands in."""
    section = settings.stage2_ab
    for name in ("schedule", "channel_b"):
        inner = getattr(section, name)
        mine = {key: changes.pop(key) for key in tuple(changes) if key in type(inner).model_fields}
        section = section.model_copy(update={name: inner.model_copy(update=mine)})
    mine = {key: changes.pop(key) for key in tuple(changes) if key in type(section).model_fields}
    return replace(settings, stage2_ab=section.model_copy(update=mine), **changes)


@cache
def model() -> Any:
    """The smallest model, sharp and in evaluation mode; nobody changes its weights."""
    return sharp(smallest_model()).eval()


@cache
def encoder() -> Encoder:
    return Encoder(processor(), model().config, Template())


def task(objects: Iterable[DetObject], number: int = 0) -> Task:
    """A sample about noise, in sizes that take turns; every third has two images."""
    prompt = prompts()[number % 4]
    record = Record(
        tuple(f"{i}.png" for i in range(len(prompt.grid_I3))),
        64,
        64,
        tuple(objects),
        place=Place("train.jsonl", number + 1),
    )
    return Task(record, prompt, number, ())


@dataclass
class Bench:
    """A Stage-2 objective over told rollouts; ``dumped`` is what it handed out to be dumped."""

    settings: Settings
    texts: Mapping[int, str] | Sequence[str] = ()
    network: Any = None
    encoder: Encoder | None = None
    dumped: list[tuple[list[Built], int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.network = self.network or model()
        self.generator = Writes(self.texts)
        settings, made = self.settings, self.encoder or encoder()
        self.made = Stage2Model(self.network, processor().coords, settings)
        guard = batch_guard(self.network, processor())
        self.objective = Stage2(self.made, made, guard, self.generator, self._dump, seed=7, pad_id=PAD)

    def _dump(self, built: Sequence[Built], step: int) -> None:
        self.dumped.append((list(built), step))

    def prepare(self, tasks: Sequence[Task], step: int = 0, *, parts: int = 1) -> list[Stage2Prepared]:
        """The tasks as so many micro-batches."""
        each = -(-len(tasks) // parts)
        loaded = [list(tasks[start : start + each]) for start in range(0, len(tasks), each)]
        found: Any = self.objective.prepare(loaded, step)
        return found

    def run(
        self, tasks: Sequence[Task], step: int = 0, *, parts: int = 1, also: Sequence[Stage2Prepared] = ()
    ) -> tuple[torch.Tensor, dict[str, float], dict[str, float]]:
        """Loss, parts of it and counts of a step; ``also`` are batches of other ranks, whose counts count too."""
        batches = [*self.prepare(tasks, step, parts=parts), *also]
        counts_c = torch.stack([batch.counts_C for batch in batches]).sum(0)
        made = [self.objective.loss(batch, counts_c) for batch in batches]
        names = made[0].parts.keys()
        sums = {name: float(sum(float(one.parts[name]) for one in made)) for name in names}
        counts = dict(zip(self.objective.counts, counts_c.tolist(), strict=True))
        return torch.stack([one.loss for one in made]).sum(), sums, counts

    def gradients(self, loss: torch.Tensor) -> dict[str, torch.Tensor]:
        """The gradient of every weight."""
        self.network.zero_grad()
        loss.backward()
        named = self.network.named_parameters()
        return {name: weight.grad.clone() for name, weight in named if weight.grad is not None}

    @property
    def targets(self) -> list[Target]:
        """The targets that were made last."""
        return [one.target for one in self.dumped[-1][0]]


def channel_a(**changes: Any) -> Settings:
    """Settings of Channel-A alone."""
    return changed(policy_settings(), b_ratio=0.0, **changes)


@cache
def peaked() -> Path:
    """The folder of a sharp model."""
    path = Path(mkdtemp(prefix="coordspec-tests-"))
    atexit.register(shutil.rmtree, path)
    save_checkpoint(sharp(smallest_model()), processor(), path, source=path)
    return path


def sharp(network: Any) -> Any:
    """The model with coordinates that it is sure of, so that its boxes are boxes.

    Those of an untrained model are nearly points, whose aspect ratio is rounding.
    """
    with torch.no_grad():
        for embedding in {network.get_input_embeddings().weight, network.get_output_embeddings().weight}:
            embedding[list(processor().coords.ids)] *= 60
    return network


@cache
def told() -> dict[int, str]:
    """Rollouts for the records of ``training_runs.inputs``: matches, misses, wrong and dropped entries, cut, unread."""
    lines = (inputs() / "shapes/train.jsonl").read_text("utf-8").splitlines()
    found = {}
    for number, line in enumerate(lines):
        items = [DetObject(one["desc"], tuple(one["bbox_2d"])) for one in json.loads(line)["objects"]]
        nearly = DetObject("thing", tuple(min(999, k + 9) for k in items[0].bbox_2d or ()))
        dropped = ', "object_3": {"desc": "x"}'
        found[number] = (
            body(nearly, WRONG) + dropped + "}" + END,
            body(*items[1:], WRONG) + ', "object_7": {"de',
            whole(*items),
            "none",
        )[number % 4]
    return found


# ---------------------------------------------------------------------------------------------------- the loss in loops


@dataclass
class Sums:
    """Sums of a step over its samples, and what they are divided by."""

    ce: torch.Tensor
    weight: float = 0.0
    matched: list[torch.Tensor] = field(default_factory=list)
    fn: list[torch.Tensor] = field(default_factory=list)
    coord: dict[str, list[torch.Tensor]] = field(default_factory=dict)


def slow_loss(
    first: Sequence[torch.Tensor],
    last: Sequence[torch.Tensor],
    answers: Sequence[int],
    targets: Sequence[Target],
    settings: Settings,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss of samples by their logits [T, V] in the first and the last forward, token by token and slot by slot.

    ``answers`` are the places where the answers start. The parts go by the last part of their metric names.
    """
    sums = Sums(first[0].new_zeros(()))
    for logits_tv, soft_tv, answer, target in zip(first, last, answers, targets, strict=True):
        _add_tokens(sums, logits_tv, answer, target, settings)
        _add_slots(sums, logits_tv, soft_tv, answer, target, settings)
    ce = sums.ce / sums.weight if sums.weight else sums.ce
    parts = {"ce": ce, "geo_matched": _mean(sums.matched, ce), "geo_fn": _mean(sums.fn, ce)}
    loss = ce + settings.stage2_ab.geo_weight * (parts["geo_matched"] + parts["geo_fn"])
    if settings.coord_soft_ce_w1 is not None:
        weights = {"soft_ce": settings.coord_soft_ce_w1.soft_ce_weight, "w1": settings.coord_soft_ce_w1.w1_weight}
        weights |= {"hard_ce": settings.coord_soft_ce_w1.ce_weight, "gate": settings.coord_soft_ce_w1.gate_weight}
        for name, weight in weights.items():
            parts[f"coord_{name}"] = _mean(sums.coord.get(name, []), ce)
            loss = loss + weight * parts[f"coord_{name}"]
    return loss, parts


def _mean(values: Sequence[torch.Tensor], like: torch.Tensor) -> torch.Tensor:
    return torch.stack(list(values)).mean() if values else like.new_zeros(())


def _add_tokens(sums: Sums, logits_tv: torch.Tensor, answer: int, target: Target, settings: Settings) -> None:
    for position, (token, weight, kind) in enumerate(zip(target.ids, target.ce_weight, target.kind, strict=True)):
        scaled = weight * (settings.stage2_ab.desc_ce_weight if kind is Kind.DESC else 1.0)
        if scaled:
            row_v = logits_tv[answer + position - 1]
            sums.ce = sums.ce + scaled * (row_v.logsumexp(0) - row_v[token])
            sums.weight += scaled


def _add_slots(
    sums: Sums, logits_tv: torch.Tensor, soft_tv: torch.Tensor, answer: int, target: Target, settings: Settings
) -> None:
    ids_k = torch.tensor(processor().coords.ids)
    bins_k = torch.arange(MAX_BIN + 1, dtype=logits_tv.dtype)
    for slot in target.slots:
        if slot.coord_loss != "none":
            for position, bin_ in zip(slot.positions, slot.bins, strict=True):
                _add_coord(sums, logits_tv[answer + position - 1], ids_k, bins_k, bin_, settings)
        if slot.geometry == "none":
            continue
        rows_sk = soft_tv[[answer + position - 1 for position in slot.positions]][:, ids_k]
        units_s = (rows_sk.softmax(1) * bins_k / MAX_BIN).sum(1)
        group = {"matched": sums.matched, "fn": sums.fn}[slot.geometry]
        group.append(_box_loss(units_s, slot, settings))


def _box_loss(units_s: torch.Tensor, slot: Any, settings: Settings) -> torch.Tensor:
    x, y = units_s[0::2], units_s[1::2]
    box = torch.stack([x.min(), y.min(), x.max(), y.max()])
    wanted = torch.tensor(slot.box, dtype=units_s.dtype) / MAX_BIN
    smooth_l1, ciou = (
        term[0] for term in box_terms(box[None], wanted[None], smoothl1_beta=settings.stage2_ab.smoothl1_beta)
    )
    if slot.written_as == "poly" and slot.group == "fn":
        error = (units_s - torch.tensor(slot.bins, dtype=units_s.dtype) / MAX_BIN).abs()
        beta = settings.stage2_ab.smoothl1_beta
        smooth_l1 = torch.where(error < beta, error**2 / (2 * beta), error - beta / 2).mean()
    return settings.stage2_ab.bbox_smoothl1_weight * smooth_l1 + settings.stage2_ab.bbox_ciou_weight * ciou


def _add_coord(
    sums: Sums, row_v: torch.Tensor, ids_k: torch.Tensor, bins_k: torch.Tensor, bin_: int, settings: Settings
) -> None:
    spec = settings.coord_soft_ce_w1
    assert spec is not None
    assert spec.target_truncate is None
    log_p_k = (row_v[ids_k] / spec.temperature).log_softmax(0)
    q_k = (-((bins_k - bin_) ** 2) / (2 * spec.target_sigma**2)).softmax(0)
    terms = {
        "soft_ce": -(q_k * log_p_k).sum(),
        "w1": (log_p_k.exp().cumsum(0) - q_k.cumsum(0)).abs().sum() / MAX_BIN,
        "hard_ce": -log_p_k[bin_],
        "gate": (row_v / spec.temperature).logsumexp(0) - (row_v[ids_k] / spec.temperature).logsumexp(0),
    }
    for name, value in terms.items():
        sums.coord.setdefault(name, []).append(value)


# ---------------------------------------------------------------------------------------------------- forwards in loops


def slow_logits(network: Any, tasks: Sequence[Task], targets: Sequence[Target]) -> list[torch.Tensor]:
    """The logits of each sample on its own, from transformers as it is: ids in, positions and all found by it."""
    found = []
    for one, target in zip(tasks, targets, strict=True):
        inputs = one.prompt.model_inputs()
        answer = torch.tensor(target.ids)[None]
        ids_1t = torch.cat([inputs["input_ids"], answer], 1)
        types_1t = torch.cat([inputs["mm_token_type_ids"], torch.zeros_like(answer)], 1)
        inputs |= {"input_ids": ids_1t, "mm_token_type_ids": types_1t, "attention_mask": torch.ones_like(ids_1t)}
        found.append(network(**inputs).logits[0])
    return found


def slow_channel_a(
    network: Any, tasks: Sequence[Task], targets: Sequence[Target], settings: Settings, made: Encoder | None = None
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The logits of the first and the last forward, each sample on its own, one soft embedding after the other."""
    first, last = [], []
    ids = torch.tensor(processor().coords.ids)
    table_kd = network.get_input_embeddings()(ids)
    for one, target in zip(tasks, targets, strict=True):
        sample = (made or encoder()).join(one.prompt, target, one.record.place)
        hard_td = network.get_input_embeddings()(sample.ids_T)
        logits_tv = _forward(network, sample, hard_td)
        first.append(logits_tv)
        for _ in range(settings.stage2_ab.n_softctx_iter - 1):
            rows_td = list(hard_td)
            for slot in target.slots:
                for position in slot.positions:
                    row_k = logits_tv[sample.answer + position - 1][ids] / settings.stage2_ab.softctx_temperature
                    soft_d = (row_k.softmax(0)[:, None] * table_kd).sum(0)
                    detached = settings.stage2_ab.softctx_grad_mode == "em_detach"
                    rows_td[sample.answer + position] = soft_d.detach() if detached else soft_d
            logits_tv = _forward(network, sample, torch.stack(rows_td))
        last.append(logits_tv)
    return first, last


def _forward(network: Any, sample: Any, embeds_td: torch.Tensor) -> torch.Tensor:
    logits_1tv: torch.Tensor = network(
        inputs_embeds=embeds_td[None],
        position_ids=sample.positions_3T[:, None],
        pixel_values=sample.pixels_ND,
        image_grid_thw=sample.grid_I3,
        use_cache=False,
    ).logits
    return logits_1tv[0]


def relative(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> float:
    """How far two sets of gradients are apart, over the norm of the second."""
    assert found.keys() == expected.keys()
    norm = torch.stack([grad.double().norm() for grad in expected.values()]).norm()
    assert norm > 0
    apart = [(found[name].double() - grad.double()).norm() for name, grad in expected.items()]
    return float(torch.stack(apart).norm() / norm)


# ---------------------------------------------------------------------------------------------------- random samples


def random_samples(seed: int, count: int) -> tuple[list[Task], list[str]]:
    """Tasks with ground truth of all kinds, and what a careless or broken model writes about them."""
    rng = random.Random(seed)
    made = [sample(rng) for _ in range(count)]
    texts = [one.text.decode("utf-8", "replace") for one in made]
    return [task(one.gt, number) for number, one in enumerate(made)], texts


def count_calls(module: nn.Module, calls: dict[str, int], name: str) -> Callable[[], None]:
    """Count the forwards of a module; the result ends that."""
    calls[name] = 0

    def count(*_: Any) -> None:
        calls[name] += 1

    return module.register_forward_pre_hook(count).remove
