"""The report on a training run: its losses, its numbers on held-out data, its checkpoints and its config."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from coordspec.errors import InputError
from coordspec.findings.visible import plural, shown
from coordspec.report.charts import Points, lines
from coordspec.report.page import ReportPage, fact, table
from coordspec.report.settings import flat
from coordspec.run_files import FINAL, METRICS, PROVENANCE, checkpoints, read_metrics, read_provenance, step_of

Meaning: TypeAlias = Callable[[str], str | None]
"""What a logged name means; None for one that is not known."""

_HELD_OUT: Final = "eval/"
_LOSS: Final = "loss"
_F1_AT: Final = "eval/f1@"
_SHOWN: Final = {"eval/loss": "loss", "eval/f1": "F1", "eval/precision": "precision", "eval/recall": "recall"}
_ORIGIN: Final = ("packages", "python", "seeds", "data", "world_size", "steps", "contracts")
"""What ``run.json`` says beside the config."""


def run_report(path: str, meaning: Meaning) -> ReportPage:
    """The report on the folder of a run; ``meaning`` says what the names in its logs mean.

    Raises:
        InputError: a file cannot be read, or the folder holds neither metrics nor a checkpoint.
    """
    folder = Path(path)
    logged = read_metrics(folder)
    saved = [*checkpoints(folder), *([folder / FINAL] if (folder / FINAL).is_dir() else [])]
    if not logged and not saved:
        raise InputError(path, f"holds no {METRICS} and no checkpoint, so there is nothing to show")
    origin = _origin(saved)
    curves = _curves(logged)
    config = origin.get("config")
    about = {name: origin[name] for name in _ORIGIN if name in origin}
    value = {
        "kind": "run",
        "title": shown(path),
        "about": f"A training run: {plural(len(logged), 'logged line')}, {plural(len(saved), 'checkpoint')}",
        "notes": list(_notes(logged, saved)),
        "facts": _facts(logged),
        "charts": _chart_groups(curves, meaning),
        "tables": [
            _checkpoints(saved, logged),
            *([table("Config", ["setting", "value"], flat(config))] if isinstance(config, Mapping) else []),
            *([table("Made with", ["", ""], flat(about))] if about else []),
        ],
        "findings": None,
        "gallery": None,
    }
    return ReportPage(value)


def _origin(saved: Sequence[Path]) -> Mapping[str, Any]:
    """What the last checkpoint says about where it came from; nothing where none says it."""
    known = [folder for folder in saved if (folder / PROVENANCE).is_file()]
    return read_provenance(known[-1]) if known else {}


def _notes(logged: Sequence[Mapping[str, float]], saved: Sequence[Path]) -> Iterator[str]:
    if not logged:
        yield f"The folder holds no {METRICS}, so there are no curves."
    if not saved:
        yield "The folder holds no checkpoint yet, so there is no config to show."


def _curves(logged: Sequence[Mapping[str, float]]) -> dict[str, list[tuple[float, float]]]:
    """The points (step, value) of every name, in the order in which names first came."""
    found: dict[str, list[tuple[float, float]]] = {}
    for line in logged:
        for name, value in line.items():
            if name != "step":
                found.setdefault(name, []).append((line["step"], value))
    return found


def _facts(logged: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
    """How far the run is, and its last and its best numbers on held-out data."""
    facts = [fact("steps", int(max((line["step"] for line in logged), default=0)))]
    for name, label, best in (
        ("loss", "training loss, last", None),
        ("eval/loss", "loss on data.val", min),
        ("eval/f1", "F1 on data.val", max),
    ):
        points = [(line["step"], line[name]) for line in logged if name in line and math.isfinite(line[name])]
        if not points:
            continue
        facts.append(fact(label, float(points[-1][1]), f"step {points[-1][0]}"))
        if best is not None and len(points) > 1:
            step, value = best(points, key=lambda point: point[1])
            facts.append(fact(f"{label}, best", float(value), f"step {step}"))
    return facts


def _chart_groups(curves: Mapping[str, Points], meaning: Meaning) -> list[dict[str, Any]]:
    """Every name that was logged, in exactly one chart. A name on held-out data stands with the one of training."""
    trained = [name for name in curves if not name.startswith(_HELD_OUT)]
    held_out = [name for name in curves if name.startswith(_HELD_OUT) and not name.startswith(_F1_AT)]
    alone = [name for name in held_out if name.removeprefix(_HELD_OUT) not in curves]
    losses = [name for name in trained if _is_loss(name)]
    groups = [
        ("Losses", True, [_pair(name, curves, meaning) for name in losses]),
        ("On data.val", True, [*_by_threshold(curves), *(_pair(name, curves, meaning) for name in alone)]),
        ("Everything else that was logged", False, [_pair(n, curves, meaning) for n in trained if n not in losses]),
    ]
    return [{"title": title, "open": opened, "charts": charts} for title, opened, charts in groups if charts]


def _is_loss(name: str) -> bool:
    return name == _LOSS or name.startswith(f"{_LOSS}/")


def _pair(name: str, curves: Mapping[str, Points], meaning: Meaning) -> dict[str, Any]:
    """A name, with its values on held-out data where there are any."""
    series = {"training" if not name.startswith(_HELD_OUT) else "data.val": curves[name]}
    other = _HELD_OUT + name
    if other in curves:
        series["data.val"] = curves[other]
    return lines(name, series, x="step", about=meaning(name) or "")


def _by_threshold(curves: Mapping[str, Points]) -> list[dict[str, Any]]:
    """F1 by IoU threshold, at the last evaluation and at the first, and every threshold over the steps."""
    found: dict[float, Points] = {}
    for name in curves:
        if name.startswith(_F1_AT):
            try:
                found[float(name.removeprefix(_F1_AT))] = curves[name]
            except ValueError:
                continue
    if not found:
        return []
    rows = {
        f"step {int(points[0])}": [(iou, dict(found[iou]).get(points[0], math.nan)) for iou in sorted(found)]
        for points in (next(iter(found.values()))[-1], next(iter(found.values()))[0])
    }
    over = {f"IoU {iou:g}": found[iou] for iou in sorted(found)}
    return [
        lines("F1 by IoU threshold", rows, x="IoU threshold", span=(0, 1)),
        lines("F1 over steps, by IoU threshold", over, x="step", span=(0, 1)),
    ]


def _checkpoints(saved: Sequence[Path], logged: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The checkpoints, and what was measured on held-out data at their steps; the final one has the last step."""
    at = {int(line["step"]): line for line in logged if any(name.startswith(_HELD_OUT) for name in line)}
    last = max((int(line["step"]) for line in logged), default=None)
    names = [name for name in _SHOWN if any(name in line for line in at.values())]
    rows = []
    for folder in saved:
        step = last if folder.name == FINAL else step_of(folder)
        values = at.get(step, {}) if step is not None else {}
        numbers = [f"{values[name]:.4f}" if name in values else "–" for name in names]
        rows.append([shown(folder.name), "–" if step is None else step, *numbers])
    note = "Numbers are those that were logged at the same step."
    return table(
        "Checkpoints", ["folder", "step", *(f"{_SHOWN[name]} on data.val" for name in names)], rows, note, opened=True
    )
