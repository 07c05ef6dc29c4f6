"""The evaluation checklist: each measure against a plain reference, each item seen failing."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from answer_samples import Told, entry, ids_of, payload, table
from coordspec.config.sections import CoordSoftCeW1
from coordspec.coords import BINS
from coordspec.errors import InputError, Place
from coordspec.generate import Answer, Ended
from coordspec.infer.answers import LIMITS, records_of
from coordspec.infer.checklist import (
    ChecklistReport,
    ForcedChecks,
    OutputChecks,
    run_checklist,
    trained_with,
)
from coordspec.infer.checkpoint import Checkpoint, open_checkpoint
from coordspec.infer.forced import BestTemperature, Forced, Smoother, covered, forced, modes
from coordspec.infer.options import InferOptions, Limits, Opening, RecordSource
from coordspec.losses.stage1 import BASE_CE, VOCAB_MASS
from coordspec.model.checkpoint import head_weight
from coordspec.model.tiny import write_tiny_model
from coordspec.rollout.parse import parse_rollout
from coordspec.run_files import PROVENANCE
from coordspec.samples.dataset import Samples
from coordspec.samples.encode import Encoder
from coordspec.shapes.dataset import DatasetSpec, write_dataset
from coordspec.shapes.scene import SceneSpec
from loss_reference import soft_target

RECORDS = 5
ANYTHING = Limits(strict=0, ended=0, unimodal=0, undercoverage=1, coord_mass=0)
LOSS = CoordSoftCeW1()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checklist")
    write_tiny_model(folder / "model")
    write_dataset(folder / "data", DatasetSpec({"val": RECORDS}, scenes=SceneSpec(empty_share=0)))
    return folder


@pytest.fixture(scope="module")
def checkpoint(home: Path) -> Checkpoint:
    return open_checkpoint(home / "model", Opening({}, unknown_preprocessing=True))


@pytest.fixture
def source(home: Path) -> RecordSource:
    return RecordSource(str(home / "data/val.jsonl"), 1 << 20)


# ------------------------------------------------------------------------------------------------------- distributions


def points(**mass: float) -> np.ndarray[Any, Any]:
    """A distribution with this mass on these bins: ``b400=0.5``."""
    p = np.zeros(BINS)
    for name, share in mass.items():
        p[int(name[1:])] = share
    return p


def naive_modes(values: list[float]) -> int:
    """Runs of equal values that are higher than what stands beside them, and high enough."""
    runs = [values[0]]
    for value in values[1:]:
        if value != runs[-1]:
            runs.append(value)
    padded = [-math.inf, *runs, -math.inf]
    high = max(values)
    return sum(padded[i - 1] < padded[i] > padded[i + 1] and padded[i] >= 0.1 * high for i in range(1, len(padded) - 1))


@given(st.lists(st.lists(st.integers(0, 12), min_size=6, max_size=6).filter(any), min_size=1, max_size=4))
@settings(max_examples=300)
def test_modes_against_a_naive_count(rows: list[list[int]]) -> None:
    values = np.array(rows, dtype=np.float64)
    assert modes(values).tolist() == [naive_modes(row) for row in values.tolist()]


def test_smoothing_is_a_convolution() -> None:
    p = points(b3=0.25, b500=0.5, b998=0.25)
    kernel = np.exp(-0.5 * (np.arange(-60, 61) / 2.0) ** 2)
    expected = np.convolve(p, kernel / kernel.sum())[60:-60]
    np.testing.assert_allclose(Smoother(2.0).smooth(p[None])[0], expected, atol=1e-15)


def test_central_intervals() -> None:
    p = np.zeros((1, BINS))
    p[0, 100:197] = 1 / 97
    for mass, first, last in ((0.5, 124, 172), (0.8, 109, 187), (0.9, 104, 192)):
        inside = [k for k in range(BINS) if covered(p, np.array([k]))[mass][0]]
        assert (inside[0], inside[-1]) == (first, last)
        assert inside == list(range(first, last + 1))


@pytest.mark.parametrize("temperature", [0.31, 1.0, 2.6])
def test_the_best_temperature(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3000, 20, generator=generator, dtype=torch.float64) * 2
    bins = (logits / temperature).softmax(1).multinomial(1, generator=generator)[:, 0]
    search = BestTemperature()
    search.add(logits[:1000], bins[:1000])
    search.add(logits[1000:], bins[1000:])
    found, mean = search.result()
    assert found == pytest.approx(temperature, rel=0.05)
    grid = {t: float(torch.nn.functional.cross_entropy(logits / t, bins)) for t in np.geomspace(0.2, 4, 400)}
    assert found == pytest.approx(min(grid, key=grid.__getitem__), rel=0.02)
    assert mean == pytest.approx(min(grid.values()), rel=1e-3)


@pytest.mark.parametrize(("bin_", "expected"), [(0, 0.1), (1, 10.0)])
def test_a_best_temperature_at_the_edge(bin_: int, expected: float) -> None:
    search = BestTemperature()
    search.add(torch.tensor([[3.0, 1.0]], dtype=torch.float64), torch.tensor([bin_]))
    assert search.result()[0] == pytest.approx(expected)


# ----------------------------------------------------------------------------------------------------- teacher forcing


def samples_of(checkpoint: Checkpoint, source: RecordSource) -> Samples:
    encoder = Encoder(checkpoint.processor, checkpoint.model.config, checkpoint.template)
    return Samples(records_of(source), None, LIMITS, encoder)


def naive_sums(checkpoint: Checkpoint, samples: Samples, number: int) -> tuple[dict[str, float], torch.Tensor]:
    """Parts of the loss and coord logits of one record, from all logits, target by target."""
    sample = samples[number]
    inputs = {
        "input_ids": sample.ids_T[None],
        "mm_token_type_ids": sample.types_T[None],
        "attention_mask": torch.ones_like(sample.ids_T)[None],
        "pixel_values": sample.pixels_ND,
        "image_grid_thw": sample.grid_I3,
    }
    with torch.no_grad():
        hidden = checkpoint.model.model(**inputs).last_hidden_state[0].double()
        logits = hidden @ head_weight(checkpoint.model).double().T
    vocab = checkpoint.table.coords
    found = dict.fromkeys(
        ["base_ce", "coord_soft_ce", "coord_w1", "coord_hard_ce", "coord_gate", "vocab_mass", "expected_bin_error"], 0.0
    )
    coords = []
    for t, label in enumerate(sample.labels_T.tolist()):
        if label == -100:
            continue
        row = logits[t - 1]
        bin_ = vocab.bin_of_id.get(label)
        if bin_ is None:
            found["base_ce"] -= float(row.log_softmax(0)[label])
            continue
        z = row[list(vocab.ids)]
        coords.append(z)
        p, q = z.softmax(0), soft_target(torch.tensor([bin_]), target_sigma=LOSS.target_sigma)[0]
        mass = float(row.softmax(0)[list(vocab.ids)].sum())
        found["coord_soft_ce"] -= float((q * z.log_softmax(0)).sum())
        found["coord_w1"] += float((p - q).cumsum(0).abs().sum()) / 999
        found["coord_hard_ce"] -= float(z.log_softmax(0)[bin_])
        found["coord_gate"] -= math.log(mass)
        found["vocab_mass"] += mass
        found["expected_bin_error"] += float((p * (torch.arange(BINS) - bin_).abs()).sum())
    return found, torch.stack(coords)


def test_parts_of_the_loss_are_those_of_each_record(checkpoint: Checkpoint, source: RecordSource) -> None:
    samples = samples_of(checkpoint, source)
    found = list(forced(checkpoint, samples, LOSS, batch_size=3))
    assert len({len(samples[i]) for i in range(RECORDS)}) > 1, "rows of a batch have different lengths"
    assert len(found) == RECORDS
    for number, record in enumerate(found):
        expected, logits = naive_sums(checkpoint, samples, number)
        assert {name.partition("/")[2]: value for name, value in record.sums.items()} == pytest.approx(
            expected, rel=1e-4
        )
        np.testing.assert_allclose(record.logits_CK, logits, atol=1e-4)
        truth = [k for item in samples.records[number].objects for k in item.bbox_2d or ()]
        assert record.bins_C.tolist() == truth
        assert (record.coords, record.place.line) == (len(truth), number + 1)
        assert record.base == int((samples[number].labels_T != -100).sum()) - len(truth)


# --------------------------------------------------------------------------------------------------------------- items


def answered(text: str, ended: Ended = Ended.END) -> tuple[Any, Answer]:
    ids = ids_of(text, end=ended is Ended.END)
    return parse_rollout(ids, table()), Answer(ids, ended, (0.0,) * len(ids))


GOOD = payload(entry(1))


def place(number: int) -> Place:
    return Place("val.jsonl", number + 1)


def test_the_first_record_is_the_first_of_the_file() -> None:
    checks = OutputChecks()
    for number, text, ended in ((3, "", Ended.END), (2, GOOD, Ended.LENGTH), (0, GOOD, Ended.END), (1, "x", Ended.END)):
        rollout, answer = answered(text, ended)
        checks.add(number, place(number), answer, rollout)
    strict, ended_rate = checks.items(Limits(strict=0.25, ended=0.8))
    assert (strict.value, strict.passed, strict.first) == (0.25, True, place(1))
    assert (ended_rate.value, ended_rate.passed, ended_rate.first) == (0.75, False, place(2))
    assert strict.json()["first_failure"] is None
    assert ended_rate.json()["first_failure"] == "val.jsonl:3"


def record(number: int, logits: torch.Tensor, bins: list[int], mass: float = 1.0, **sums: float) -> Forced:
    """A record with these logits at its slots, this mean mass, and parts of the loss that are 0 unless given."""
    names = ("loss/coord_soft_ce", "loss/coord_w1", "loss/coord_hard_ce", "loss/coord_gate", "coord/expected_bin_error")
    parts = {BASE_CE: 0.0, **dict.fromkeys(names, 0.0), VOCAB_MASS: mass * len(bins)}
    parts |= {f"loss/{name}": value for name, value in sums.items()}
    return Forced(place(number), 10, len(bins), parts, logits.double(), torch.tensor(bins))


def peaks(*bins: int, height: float = 30.0) -> torch.Tensor:
    """One slot with as much mass on each of these bins."""
    logits = torch.zeros(1, BINS)
    logits[0, list(bins)] = height
    return logits


def items_of(limits: Limits, *records: Forced) -> dict[str, Any]:
    checks = ForcedChecks(LOSS, limits)
    for one in records:
        checks.add(one)
    return {item.name: item for item in checks.items()}


def test_all_is_well() -> None:
    found = items_of(Limits(), record(0, peaks(5), [5]), record(1, peaks(999), [999]))
    assert {name: item.passed for name, item in found.items()} == dict.fromkeys(found, True)
    assert [item.first for item in found.values()] == [None] * 4
    assert found["undercoverage"].value == pytest.approx(-0.1)


@pytest.mark.parametrize(
    ("name", "value", "bad"),
    [
        ("finite_losses", 0.5, record(1, peaks(5), [5], base_ce=math.nan)),
        ("finite_losses", 0.5, record(1, peaks(5), [5], coord_w1=math.inf)),
        ("unimodal", 0.5, record(1, peaks(5, 400), [5])),
        ("undercoverage", 0.4, record(1, peaks(5), [9])),
        ("coord_mass", 0.9, record(1, peaks(5), [5], mass=0.8)),
    ],
)
def test_an_item_that_fails(name: str, value: float, bad: Forced) -> None:
    found = items_of(Limits(), record(0, peaks(5), [5]), bad)
    assert [item.name for item in found.values() if not item.passed] == [name]
    assert found[name].value == pytest.approx(value)
    assert found[name].first == place(1)


def test_logits_that_are_no_numbers() -> None:
    broken = record(0, peaks(5), [5], coord_hard_ce=math.nan, mass=math.nan)
    broken.logits_CK[0, 7] = math.nan
    found = items_of(Limits(), broken)
    assert {name: item.passed for name, item in found.items()} == dict.fromkeys(found, False)
    assert found["unimodal"].json()["value"] is None


def test_losses_are_means_over_their_targets() -> None:
    checks = ForcedChecks(LOSS, Limits())
    checks.add(record(0, peaks(5), [5], base_ce=6.0, coord_w1=1.0))
    checks.add(record(1, torch.cat([peaks(5)] * 3), [5] * 3, base_ce=2.0, coord_w1=1.0))
    assert checks.losses()[BASE_CE] == pytest.approx(8 / 20)
    assert checks.losses()["loss/coord_w1"] == pytest.approx(2 / 4)


# ------------------------------------------------------------------------------------------------------- the whole list


def report_of(
    checkpoint: Checkpoint, source: RecordSource, texts: list[str], limits: Limits = ANYTHING
) -> ChecklistReport:
    options = InferOptions(batch_size=2)
    return run_checklist(checkpoint, source, options, limits, lambda *_: None, show=2, generator=Told(texts))


def test_a_report(checkpoint: Checkpoint, source: RecordSource) -> None:
    report = report_of(checkpoint, source, ["{}", GOOD, "x", GOOD, GOOD], replace(ANYTHING, strict=0.9))
    names = ["strict", "ended", "finite_losses", "unimodal", "undercoverage", "coord_mass"]
    assert [item.name for item in report.items] == names
    assert [item.name for item in report.items if not item.passed] == ["strict"]
    assert report.items[0].first == records_of(source).place(2)
    assert not report.passed
    assert report.ended == {"end": RECORDS}
    assert [(o.text, o.predicted) for o in report.outputs] == [("{}<|im_end|>", 0), (GOOD + "<|im_end|>", 1)]
    assert [o.annotated for o in report.outputs] == [len(records_of(source)[i].objects) for i in range(2)]
    assert report.coords == 4 * sum(len(records_of(source)[i].objects) for i in range(RECORDS))
    assert [row["mass"] for row in report.calibration["coverage"]] == [0.9, 0.8, 0.5]
    assert report.losses["loss/coord_hard_ce"] == pytest.approx(math.log(BINS), rel=0.5)


def test_data_without_objects(checkpoint: Checkpoint, source: RecordSource, tmp_path: Path, home: Path) -> None:
    shutil.copytree(home / "data", tmp_path / "data")
    value = json.loads((tmp_path / "data/val.jsonl").read_text().splitlines()[0])
    (tmp_path / "data/val.jsonl").write_text(json.dumps({**value, "objects": []}) + "\n")
    with pytest.raises(InputError, match="holds no object"):
        report_of(checkpoint, replace(source, path=str(tmp_path / "data/val.jsonl")), ["{}"])


def test_settings_of_the_training(tmp_path: Path) -> None:
    assert trained_with(tmp_path).loss == LOSS
    config = {
        "custom": {"coord_soft_ce_w1": {**LOSS.model_dump(mode="json"), "target_sigma": 5.0}},
        "template": {"max_length": 99},
    }
    (tmp_path / PROVENANCE).write_text(json.dumps({"config": config}))
    found = trained_with(tmp_path)
    assert (found.loss.target_sigma, found.max_length) == (5.0, 99)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"config": {"custom": {"coord_soft_ce_w1": {"sigma": 1}}}}'])
def test_broken_settings_of_the_training(tmp_path: Path, text: str) -> None:
    (tmp_path / PROVENANCE).write_text(text)
    with pytest.raises(InputError, match="does not say what the checkpoint was trained with"):
        trained_with(tmp_path)


# ---------------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def checklist(home: Path, coordspec: Callable[..., Any]) -> Callable[..., Any]:
    """``coordspec checklist`` on two records, with short answers."""
    common = ["--unknown-preprocessing", "--max-new-tokens", "3", "--max-records", "2"]
    return lambda *words: coordspec("checklist", home / "model", home / "data/val.jsonl", *common, *words)


FREE = ["--min-strict", "0", "--min-ended", "0", "--min-unimodal", "0", "--min-coord-mass", "0"]


def test_the_command_passes(home: Path, checklist: Callable[..., Any]) -> None:
    done = checklist(*FREE, "--max-undercoverage", "1", "--show", "1")
    assert done.status == 0, done.err
    assert done.out.splitlines()[-1] == "✓ all 6 items passed"
    assert f"{home / 'data/val.jsonl'}:1: 0 read" in done.out
    assert f"{home / 'data/val.jsonl'}:2: 0 read" not in done.out
