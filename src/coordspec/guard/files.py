"""Files of dumped targets, checked line by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tokenizers import Tokenizer

from coordspec.contracts import rule
from coordspec.errors import ContractError, InputError, Issue, Place, Severity
from coordspec.findings.outcome import MAX_LISTED, Outcome
from coordspec.guard.check import check_target
from coordspec.jsonl.parse import parse_line
from coordspec.jsonl.read import Line, read_lines
from coordspec.rollout.tokens import TokenTable
from coordspec.target.dump import target_from_json
from coordspec.tokenizer import TOKENIZER_FILE


def load_table(path: Path) -> TokenTable:
    """The prepared tokenizer of a ``tokenizer.json``, or of the folder that holds one.

    Raises:
        InputError: there is no such file, it is no tokenizer, or it is none that targets can be built with.
    """
    file = path / TOKENIZER_FILE if path.is_dir() else path
    try:
        text = file.read_text("utf-8")
    except OSError as error:
        raise InputError(str(file), error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise InputError(str(file), f"is no UTF-8 text: {error.reason}") from error
    try:
        return TokenTable(_tokenizer(text, file))
    except ValueError as error:
        raise InputError(str(file), str(error)) from error


def _tokenizer(text: str, file: Path) -> Tokenizer:
    try:
        return Tokenizer.from_str(text)
    except Exception as error:
        if type(error) is not Exception:  # tokenizers raises bare ones, and nothing else is expected
            raise
        raise InputError(str(file), f"is no tokenizer of the tokenizers library: {error}") from error


def check_files(files: Sequence[str], table: TokenTable, max_line_bytes: int) -> Outcome:
    """Check every dumped target of JSONL files; ``-`` is standard input.

    A blank line is none. The first ``MAX_LISTED`` issues are listed, and all are counted. A file that cannot be read to
    its end is named in the outcome, and the others are checked.
    """
    issues: list[Issue] = []
    by_rule: Counter[str] = Counter()
    records = invalid = errors = 0
    unreadable: list[InputError] = []
    for file in files:
        try:
            for found in _lines(file, table, max_line_bytes):
                records += 1
                invalid += any(issue.severity is Severity.ERROR for issue in found)
                errors += sum(issue.severity is Severity.ERROR for issue in found)
                by_rule.update(issue.name for issue in found)
                issues += found[: MAX_LISTED - len(issues)]
        except InputError as error:
            unreadable.append(error)
    total = sum(by_rule.values())
    return Outcome(
        files=tuple(files),
        records=records,
        valid=records - invalid,
        invalid=invalid,
        errors=errors,
        warnings=total - errors,
        by_rule=dict(by_rule),
        issues=tuple(issues),
        truncated=total > len(issues),
        unreadable=tuple(unreadable),
    )


def _lines(file: str, table: TokenTable, max_line_bytes: int) -> Iterator[list[Issue]]:
    for line in read_lines(file, max_line_bytes):
        if line.data.strip():
            yield check_line(line, file, table, max_line_bytes)


def check_line(line: Line, file: str, table: TokenTable, max_line_bytes: int) -> list[Issue]:
    """The issues of one dumped target."""
    place = Place(file, line.number)
    parsed = parse_line(line.data, line.length, max_line_bytes)
    if parsed.faults:
        return [rule(fault.finding.rule).issue(place, fault.finding.values) for fault in parsed.faults]
    try:
        dump = target_from_json(parsed.value)
    except ValueError as error:
        return [rule("dump-unreadable").issue(place, {"reason": str(error)})]
    if dump.tokenizer != table.fingerprint:
        values = {"value": dump.tokenizer, "expected": table.fingerprint}
        return [rule("tokenizer-differs").issue(Place(file, line.number, at=("tokenizer",)), values)]
    try:
        issues = check_target(dump.target, dump.gt, table, dump.rollout_ids, place=place)
    except ContractError as error:
        return [rule("dump-unreadable").issue(place, {"reason": str(error)})]
    return [replace(issue, message=f"sample {dump.sample}: {issue.message}") for issue in issues]
