"""Break each rule of the builder in turn: some test of the suite must fail.

The mutants run in copies of the package, and so in processes of their own; only the nightly run takes the time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from coordspec.rollout.reasons import DropReason
from coordspec.rollout.sound import CHECKS

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src/coordspec"
SPECS = "../openspec/specs"
QUICK = ("test_rollout_parse.py", "test_match.py", "test_target_build.py", "-k", "not qwen")
WHOLE = (
    f"{SPECS}/rollout-matching-sft/spec.md",
    f"{SPECS}/stage2-ab-training/spec.md::Unified mask policy",
    f"{SPECS}/stage2-ab-training/spec.md::Stop-neutral closure",
    f"{SPECS}/stage2-ab-training/spec.md::Policy reordered_gt_sft",
    f"{SPECS}/target-guard/spec.md::Invariants of a target",
    "test_rollout_parse.py",
    "test_target_build.py",
    "test_target_masks.py",
    "test_guard.py",
    "test_rollout_tokens.py",
)
"""Most mutants fail a quick test; the others are given to the scenarios and to all of them."""


class Mutant(NamedTuple):
    """A file, the text in it that is replaced, and what by."""

    file: str
    old: str
    new: str


def without_reason(reason: DropReason) -> Mutant:
    """A reader that never drops an entry for this reason."""
    check = CHECKS[reason].__name__
    if check == "<lambda>":
        return Mutant("rollout/sound.py", "return lambda entry: reason in entry.faults",
                      f"return lambda entry: reason in entry.faults and reason != {reason.value!r}")  # fmt: skip
    return Mutant("rollout/sound.py", f": {check},", ": lambda entry: False,")


MUTANTS: dict[str, Mutant] = {
    **{f"never {reason}": without_reason(reason) for reason in DropReason},
    "read on behind the stop": Mutant("rollout/align.py", "vector[: stops[0]] if stops.size else vector", "vector"),
    "the last brace": Mutant("rollout/parse.py", "close.end() - 1, False", 'data.rfind(b"}"), False'),
    "never truncated": Mutant("rollout/parse.py", "at, True, None)", "at, False, None)"),
    "any comma": Mutant("rollout/parse.py", "first is (comma is not None)", "False"),
    "text for coord tokens": Mutant("rollout/parse.py", """len(bins) != aligned.data.count(b'"', start, end) // 2""", "False"),
    "repeated keys": Mutant("rollout/parse.py", "or int(digits) in seen", ""),
    "any number of digits": Mutant("rollout/parse.py", "or len(digits) > MAX_KEY_DIGITS", ""),
    "inverted boxes": Mutant("rollout/parse.py", "or is_inverted(geometry, bins)", ""),
    "any arity": Mutant("rollout/parse.py", "or not right_arity(geometry, len(bins))", ""),
    "blank descs": Mutant("rollout/parse.py", "if not is_plain(desc) and is_blank(desc):", "if not desc:"),
    "keys of valid entries": Mutant("rollout/parse.py", "for entry in self.entries if entry.number", "for entry in self.predictions if entry.number"),
    "count of entries": Mutant("rollout/parse.py", "1 + max((entry.number", "1 + len(self.entries) + 0 * max((entry.number"),
    "no comma": Mutant("target/build.py", "if rollout.entries and match.fn:", "if False:"),
    "always a comma": Mutant("target/build.py", "if rollout.entries and match.fn:", "if match.fn:"),
    "a comma behind valid entries": Mutant("target/build.py", "if rollout.entries and match.fn:", "if rollout.predictions and match.fn:"),
    "keys from 1": Mutant("target/build.py", "for g in match.fn], owners, rollout.start_id)", "for g in match.fn], owners, 1)"),
    "dropped counted as predictions": Mutant("target/build.py", "valid += entry.reason is None", "valid += 1"),
    "all matched": Mutant("target/build.py", "Owner.MATCHED if entry.reason is None and valid in matches else Owner.FP", "Owner.MATCHED"),
    "dropped entries matched": Mutant("target/build.py", "entry.reason is None and valid in matches", "valid in matches"),
    "white space before the close": Mutant("target/build.py", "INJECTED if injects else CLOSE", "CLOSE if injects else INJECTED"),
    "prefix encoded anew": Mutant("target/build.py", "whole = aligned.tokens_before(rollout.cut)", "whole = 0"),
    "the token of the cut is kept": Mutant("target/build.py", "aligned.ids[:whole], aligned.data[aligned.starts[whole] : rollout.cut]", "aligned.ids[: whole + 1], b''"),
    "the kept text is lost": Mutant("target/build.py", "aligned.data[aligned.starts[whole] : rollout.cut]", "b''"),
    "desc as structure": Mutant("target/build.py", "composer.own(end - start, CLASS_OF[owner, Kind.DESC])", "composer.own(end - start, struct)"),
    "predicted bins": Mutant("target/build.py", "_bins_for(written_as, wanted)", "_bins_for(written_as, entry.item)"),
    "bins for polygons": Mutant("target/build.py", 'return () if written_as == "poly" else box_of(wanted)', "return box_of(wanted)"),
    "no slots of matched ones": Mutant("target/build.py", "*_matched_slots(rollout.predictions, objects, match.pairs, policy),", ""),
    "slots of the first predictions": Mutant("target/build.py", "entry, wanted = predictions[p], objects[g]", "entry, wanted = predictions[0], objects[g]"),
    "a gate that is not passed on": Mutant("target/build.py", ", objects, iou_gate)", ", objects)"),
    "missed ones backwards": Mutant("target/build.py", "for g in match.fn], owners", "for g in match.fn[::-1]], owners"),
    "the first weight": Mutant("target/masks.py", "rank * len(data) + np.arange(len(data))", "0 * rank * len(data) + np.arange(len(data))"),
    "the largest weight": Mutant("target/masks.py", "rank = rank_of_class[class_of_byte]", "rank = len(weights) - 1 - rank_of_class[class_of_byte]"),
    "white space counts": Mutant("target/masks.py", "+ len(weights) * _IS_SPACE[data]", ""),
    "coord tokens in descs": Mutant("target/masks.py", "Kind.COORD if kind is Kind.STRUCT else kind", "Kind.COORD"),
    "coord tokens as structure": Mutant("target/masks.py", "Kind.COORD if kind is Kind.STRUCT else kind", "kind"),
    "the close as open": Mutant("target/ground_truth.py", "composer.write(b\"}\", CLOSE)", "composer.write(b\"}\", OPEN)"),
    "the end as close": Mutant("target/ground_truth.py", "composer.token(table.end_id, END)", "composer.token(table.end_id, CLOSE)"),
    "no end": Mutant("target/ground_truth.py", "composer.token(table.end_id, END)", "pass"),
    "missed ones first": Mutant("target/ground_truth.py", "order = [*(g for _, g in report.matches), *report.fn]", "order = [*report.fn, *(g for _, g in report.matches)]"),
    "descs as they are": Mutant("target/objects.py", "table.normalise(item.desc) if isinstance(item.desc, str) else item.desc", "item.desc"),
    "unsound boxes": Mutant("target/objects.py", "0 <= x1 <= x2 <= MAX_BIN", "x1 <= x2"),
    "unsound descs": Mutant("target/objects.py", " and is_plain(item.desc)", ""),
    "the special tokens of a desc": Mutant("rollout/tokens.py", "self._plain = Tokenizer(inner.model)", "self._plain = inner"),
    "pairs at the gate": Mutant("match/assign.py", ">= iou_gate - _ROUNDING", "> iou_gate + _ROUNDING"),
    "no gate": Mutant("match/assign.py", ">= iou_gate - _ROUNDING", ">= 0"),
    "the worst assignment": Mutant("match/assign.py", "linear_sum_assignment(1.0 - iou_PG)", "linear_sum_assignment(iou_PG)"),
    "ties as they come": Mutant("match/assign.py", "if len(groups) == len(keys):", "if True:"),
    "no area": Mutant("match/cost.py", "    _equal_is_one(iou_PG, predictions, gt)\n", ""),
    "boxes around polygons": Mutant("match/cost.py", "    if len(ps):\n", "    if False:\n"),
    "the hull of a bow tie": Mutant("match/cost.py", "shapely.make_valid(outline)", "shapely.convex_hull(outline)"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_every_mutation_applies(name: str) -> None:
    mutant = MUTANTS[name]
    assert (SOURCE / mutant.file).read_text("utf-8").count(mutant.old) == 1


@pytest.mark.nightly
@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_builder_fails_a_test(name: str, tmp_path: Path) -> None:
    mutant = MUTANTS[name]
    package = tmp_path / "coordspec"
    shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "contracts", package / "_contracts", ignore=shutil.ignore_patterns("__pycache__"))
    source = (package / mutant.file).read_text("utf-8")
    (package / mutant.file).write_text(source.replace(mutant.old, mutant.new), "utf-8")
    done = run_tests(tmp_path, *QUICK)
    if done.returncode == 0:
        done = run_tests(tmp_path, *WHOLE)
    assert done.returncode == 1, done.stdout[-2000:] + done.stderr[-2000:]


def run_tests(package_parent: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The tests, up to the first that fails, on the package below that folder."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *words],
        cwd=ROOT / "tests",
        env={**os.environ, "PYTHONPATH": str(package_parent), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
