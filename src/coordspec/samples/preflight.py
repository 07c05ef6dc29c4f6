"""Everything that could stop a run because of its data, looked for before the run starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from coordspec.config.inputs import Data
from coordspec.errors import ContractError
from coordspec.findings.outcome import Outcome
from coordspec.samples.images import ImageLimits, refuse_large, root_of
from coordspec.samples.pack import Measure
from coordspec.samples.records import Records
from coordspec.validate.options import MAX_LISTED, ImageCheck, Options
from coordspec.validate.run import Plan, input_bytes, validate_files


def wants_preflight(data: Data, paths: Sequence[str]) -> bool:
    """Whether the files are checked before the run, by ``data.preflight``."""
    match data.preflight:
        case "always":
            return True
        case "never":
            return False
        case "auto":
            return input_bytes(paths) <= data.preflight_max_bytes


def preflight(paths: Sequence[str], data: Data, measure: Measure, plan: Plan) -> Outcome:
    """Check every record of the files as ``coordspec validate --check-images`` does, then that every sample fits.

    The second part has no findings if the first one has errors. Files are checked whole, beyond ``data.max_samples``
    too. Images are opened and their headers read; that their pixels can be decoded shows when they are drawn.
    ``plan.progress`` gets the bytes of the first part.

    Raises:
        CoordspecError: a worker process died.
        InputError: a file cannot be indexed, for example since it is compressed.
    """
    records = Records.of_files(paths, data.max_line_bytes)
    root = None if data.image_root is None else Path(data.image_root)
    options = Options(max_line_bytes=data.max_line_bytes, images=ImageCheck(root))
    outcome = validate_files(paths, options, plan).outcome
    if outcome.errors or outcome.unreadable:
        return outcome
    limits = ImageLimits(data.max_image_pixels, data.max_image_bytes)
    refused = [error for error in _misfits(records, root, limits, measure) if error is not None]
    return _with(outcome, refused)


def _misfits(
    records: Records, root: Path | None, limits: ImageLimits, measure: Measure
) -> Iterator[ContractError | None]:
    """For each record what refuses it, or None."""
    for number in range(len(records)):
        record = records[number]
        try:
            refuse_large(record, root_of(record, root), limits)
            measure(record)
            yield None
        except ContractError as error:
            yield error


def _with(outcome: Outcome, refused: Sequence[ContractError]) -> Outcome:
    """The outcome with what was found on records that it calls valid."""
    issues = [issue for error in refused for issue in error.issues]
    listed = issues[: max(0, MAX_LISTED - outcome.errors)]
    return replace(
        outcome,
        valid=outcome.valid - len(refused),
        invalid=outcome.invalid + len(refused),
        errors=outcome.errors + len(issues),
        by_rule={**outcome.by_rule, **Counter(issue.name for issue in issues)},
        issues=(*outcome.issues, *listed),
        truncated=outcome.truncated or len(listed) < len(issues),
    )
