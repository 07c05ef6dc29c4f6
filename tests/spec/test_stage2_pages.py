"""Bindings of ``stage2-ab-training``, "Runbook and metrics pages"."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from coordspec.config.check import CheckOptions, check_config
from coordspec.contracts import mask_policies
from coordspec.spec.binding import scenario
from coordspec.train import logs
from coordspec.train.logs import METRICS
from test_generated_docs import GENERATOR, ROOT

RUNBOOK = Path("docs/training/STAGE2_RUNBOOK.md")
PAGE = Path("docs/training/METRICS_LOSSES.md")


@scenario("stage2-ab-training", "Runbook and metrics pages", "Tables cannot drift", digest="2c54afef2ad3")
def test_a_changed_weight_makes_the_runbook_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    assert RUNBOOK not in GENERATOR.stale()
    policies = mask_policies()
    default = policies.by_name[policies.default]
    row = next(iter(default.rows.values()))
    kind = next(iter(row.weights))
    monkeypatch.setitem(row.weights, kind, 0.5)  # type: ignore[arg-type]
    assert RUNBOOK in GENERATOR.stale()


@scenario("stage2-ab-training", "Runbook and metrics pages", "Every metric has its line", digest="af59effb3471")
def test_a_name_without_a_line_is_refused_and_every_line_is_on_the_page(tmp_path: Path) -> None:
    page = (ROOT / PAGE).read_text("utf-8")
    assert [name for name in METRICS if f"`{name}`" not in page] == []
    with pytest.raises(AssertionError, match=re.escape("without a line in METRICS: ['channel_b/new']")):
        logs.Logs(tmp_path, _logging(), lambda *_: None, 0).write(1, {"loss": 1.0, "channel_b/new": 1.0})


def _logging() -> logs.Logging:
    return logs.Logging(console=False, jsonl=True, tensorboard=False)


@scenario("stage2-ab-training", "Runbook and metrics pages", "The normal path", digest="27656851493f")
def test_the_first_config_of_the_runbook_is_unified_and_the_legacy_stands_among_ablations() -> None:
    text = (ROOT / RUNBOOK).read_text("utf-8")
    first = re.search(r"configs/([\w/]+\.yaml)", text)
    assert first is not None
    assert first[1].startswith("stage2_ab/")
    config = check_config(str(ROOT / "configs" / first[1]), CheckOptions(data=False)).config
    assert config is not None
    assert config.mask_policy == "unified"
    before, ablations = text.split("\n## Ablations\n")
    assert "reordered_gt_sft" not in before
    assert "reordered_gt_sft" in ablations.split("\n## ")[0]
