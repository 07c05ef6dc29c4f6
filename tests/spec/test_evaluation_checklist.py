"""Bindings of the requirement "Evaluation checklist" of ``openspec/specs/coord-token-mode``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spec_tools import coordspec

from coordspec.config.sections import CoordSoftCeW1
from coordspec.coords import BINS
from coordspec.infer.answers import LIMITS
from coordspec.infer.checkpoint import open_checkpoint
from coordspec.infer.forced import Smoother, forced, modes
from coordspec.infer.options import Opening
from coordspec.losses.coord import coord_terms
from coordspec.model.tiny import write_tiny_model
from coordspec.samples.dataset import Samples
from coordspec.samples.encode import Encoder
from coordspec.samples.records import Records
from coordspec.shapes.dataset import DatasetSpec, write_dataset
from coordspec.spec.binding import scenario

EASY = ("--min-strict", 0, "--min-ended", 0, "--min-unimodal", 0, "--min-coord-mass", 0, "--max-undercoverage", 1)


@contextmanager
def trained() -> Iterator[tuple[Path, Path]]:
    """A checkpoint of the embedded default, and two records that it has not seen."""
    with tempfile.TemporaryDirectory() as name:
        write_tiny_model(Path(name, "model"))
        write_dataset(Path(name, "data"), DatasetSpec({"val": 2}))
        yield Path(name, "model"), Path(name, "data/val.jsonl")


def checklist(model: Path, data: Path, *words: object) -> Any:
    return coordspec("checklist", model, data, "--unknown-preprocessing", "--max-new-tokens", 4, *words)


@scenario("coord-token-mode", "Evaluation checklist", "The items", digest="6d10106bd957")
def test_the_items() -> None:
    with trained() as (model, data):
        done = checklist(model, data, *EASY, "--format", "json")
        table = checklist(model, data, *EASY).out
    assert done.status == 0
    items = {item["name"]: item for item in done.report["items"]}
    assert items["strict"]["value"] == 0
    assert items["finite_losses"]["value"] == 1
    assert 0 <= items["unimodal"]["value"] <= 1
    assert 0 < items["coord_mass"]["value"] < 1
    parts = ["base_ce", "coord_soft_ce", "coord_w1", "coord_hard_ce", "coord_gate"]
    assert [f"loss/{name}" for name in parts] == [name for name in done.report["losses"] if name.startswith("loss/")]
    assert len(done.report["calibration"]["coverage"]) == 3
    assert [len(output["text"]) > 0 for output in done.report["outputs"]] == [True, True]
    for shown in (*items, *done.report["losses"], "within the central 90%", "best temperature", f"{data}:1: 0 read"):
        assert shown in table


@scenario("coord-token-mode", "Evaluation checklist", "Unimodal", digest="6e83883a5167")
def test_unimodal() -> None:
    smoother = Smoother(CoordSoftCeW1().target_sigma)
    halves = np.zeros((2, BINS))
    halves[0, [400, 600]] = halves[1, [500, 501]] = 0.5
    assert modes(smoother.smooth(halves)).tolist() == [2, 1]
    values = np.array([[0, 100, 5, 9, 2], [0, 100, 5, 10, 2]], dtype=np.float64)
    assert modes(values).tolist() == [1, 2], "what is below a tenth of the largest is no mode"


@scenario("coord-token-mode", "Evaluation checklist", "Calibrated", digest="c6d9f04a2c95")
def test_calibrated() -> None:
    with trained() as (model, data):
        found = checklist(model, data, *EASY, "--format", "json").report["calibration"]
        checkpoint = open_checkpoint(model, Opening({}, unknown_preprocessing=True))
        encoder = Encoder(checkpoint.processor, checkpoint.model.config, checkpoint.template)
        samples = Samples(Records.of_files([str(data)], 1 << 20, None), None, LIMITS, encoder)
        records = list(forced(checkpoint, samples, CoordSoftCeW1(), 2))
    logits = torch.cat([record.logits_CK for record in records])
    bins = torch.cat([record.bins_C for record in records])
    cdf = logits.softmax(1).cumsum(1)
    for row in found["coverage"]:
        tail = (1 - row["mass"]) / 2
        low, high = ((cdf >= level).int().argmax(1) for level in (tail, 1 - tail))
        assert row["covered"] == pytest.approx(float(((low <= bins) & (bins <= high)).double().mean()))
    assert [row["mass"] for row in found["coverage"]] == [0.9, 0.8, 0.5]
    hard = {
        t: float(coord_terms(logits, bins, target_sigma=2.0, temperature=t).hard_ce_N.mean())
        for t in np.geomspace(0.1, 10, 200).tolist()
    }
    assert found["best_temperature"] == pytest.approx(min(hard, key=hard.__getitem__), rel=0.05)
    assert found["hard_ce_there"] == pytest.approx(min(hard.values()), rel=1e-3)


@scenario("coord-token-mode", "Evaluation checklist", "JSON that breaks", digest="54230ca99e1f")
def test_json_that_breaks() -> None:
    easy = EASY[2:]
    with trained() as (model, data):
        done = checklist(model, data, *easy, "--min-strict", 0.5)
    assert done.status == 1
    line = (
        f"✗ strict: outputs that are strict JSON of the payload's form: 0, limit 0.5; first record against it: {data}:1"
    )
    assert done.out.splitlines()[-1] == line
