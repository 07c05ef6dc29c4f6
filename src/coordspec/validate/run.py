"""One validation run: files to parts, parts to summaries, summaries to an outcome."""

from __future__ import annotations

import json
import math
import multiprocessing
import random
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

from coordspec.contracts import rule_book
from coordspec.errors import CoordspecError, InputError, Issue, Severity
from coordspec.findings.outcome import Outcome
from coordspec.jsonl.inputs import COMPRESSED, STDIN
from coordspec.jsonl.read import Line, read_lines
from coordspec.validate.accept import decoders
from coordspec.validate.blocks import Summary, Validator, stream_blocks, validate_range
from coordspec.validate.dataset import check_dataset
from coordspec.validate.explain import Located, ValidateOptions

_VERSION = 1


def read_baseline(path: Path) -> dict[str, Counter[str]]:
    """Allowed findings by file and rule name.

    Raises:
        InputError: the file cannot be read, or is no baseline.
    """
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(str(path), error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise InputError(str(path), f"is no baseline: {error}") from error
    if (
        not isinstance(document, dict)
        or document.get("version") != _VERSION
        or not isinstance(document.get("files"), dict)
    ):
        raise InputError(str(path), "is no baseline; write one with --write-baseline")
    return {name: _counts(path, name, counts) for name, counts in document["files"].items()}


def _counts(path: Path, name: str, counts: object) -> Counter[str]:
    if not isinstance(counts, dict):
        raise InputError(str(path), f"files.{name} is not an object of rule codes and counts")
    found: Counter[str] = Counter()
    for code, count in counts.items():
        rule = rule_book().find(code)
        if rule is None or type(count) is not int or count < 0:
            raise InputError(str(path), f"files.{name}.{code} is not the count of a known rule")
        found[rule.name] = count
    return found


def baseline_text(counts: Mapping[str, Counter[str]]) -> str:
    """The baseline that holds exactly these findings, by file and rule name."""
    book = rule_book().by_name
    files = {
        name: {book[rule].code: found[rule] for rule in sorted(found, key=lambda rule: book[rule].code)}
        for name, found in sorted(counts.items())
        if found
    }
    return json.dumps({"version": _VERSION, "files": files}, indent=2, ensure_ascii=False) + "\n"


def beyond_baseline(counts: Counter[str], allowed: Counter[str]) -> Counter[str]:
    """The findings of one file that count: all of a rule of which there are more than allowed, none of the others."""
    return Counter({name: count for name, count in counts.items() if count > allowed[name]})


def sample_lines(path: str, size: int, seed: int, max_line_bytes: int) -> list[Line]:
    """``size`` lines of a file, each equally likely, in file order.

    The same seed gives the same lines. A file of fewer lines is taken whole. Algorithm L of Li, "Reservoir-Sampling
    Algorithms of Time Complexity O(n(1+log(N/n)))", ACM TOMS 20 (1994).

    Raises:
        InputError: the file cannot be read.
    """
    rng = random.Random(seed)  # noqa: S311 (a sample, not a secret)
    chosen: list[Line] = []
    weight, wanted = 1.0, size
    for total, line in enumerate(read_lines(path, max_line_bytes)):
        if total < size:
            chosen.append(line)
        elif total == wanted:
            chosen[rng.randrange(size)] = line
        if total >= size - 1 and total in (size - 1, wanted):
            weight *= math.exp(math.log(1.0 - rng.random()) / size)
            wanted = total + 1 + math.floor(math.log(1.0 - rng.random()) / math.log1p(-weight))
    return sorted(chosen, key=lambda line: line.number)


PART_BYTES: Final = 4 << 20
"""How much of a file a worker takes at a time; after Ctrl-C the parts that were handed out are still finished."""

Progress = Callable[[int], None]
"""Called with the number of bytes that were just finished."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a run is done, which never changes what it finds (but for ``sample``, lines taken of each file)."""

    jobs: int = 1
    sample: int | None = None
    seed: int = 0
    baseline: Mapping[str, Counter[str]] = field(default_factory=dict)
    progress: Progress = lambda _: None


class Part(NamedTuple):
    """A byte range of a plain file; ``end`` is None for a file that is read as a stream."""

    path: str
    start: int
    end: int | None


class ValidationResult(NamedTuple):
    """The summary of a file; ``failure`` says why the rest of it could not be read."""

    path: str
    summary: Summary
    failure: InputError | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """An outcome, and its counts per file and rule name before the baseline was applied."""

    outcome: Outcome
    counts: Mapping[str, Counter[str]]


def validate_files(paths: Sequence[str], options: ValidateOptions, plan: Plan = Plan()) -> Result:
    """Check files and say what was found. Unreadable ones are named in the outcome, the others are checked anyway.

    Raises:
        CoordspecError: a worker process died.
    """
    if plan.sample is not None:
        checked: Iterable[ValidationResult] = [_check_sample(path, plan.sample, plan.seed, options) for path in paths]
    else:
        checked = _join(_run_parts([part for path in paths for part in split_file(path)], options, plan), options)
    return _sum_up(checked, options, plan)


def split_file(path: str, part_bytes: int = PART_BYTES) -> list[Part]:
    """The parts of a file that can be checked apart: byte ranges of a plain file, else the whole."""
    if path == STDIN or path.endswith(COMPRESSED) or not Path(path).is_file():
        return [Part(path, 0, None)]
    size = Path(path).stat().st_size
    starts = range(0, max(size, 1), part_bytes)
    return [Part(path, start, min(start + part_bytes, size)) for start in starts]


def input_bytes(paths: Sequence[str]) -> int:
    """How many bytes there are to read, as far as it can be known before."""
    return sum(Path(path).stat().st_size for path in paths if path != STDIN and Path(path).is_file())


def known_bytes(paths: Sequence[str]) -> int | None:
    """How many bytes of lines there are to read; None where nobody knows: in a compressed file, or in a stream."""
    compressed = any(path.endswith(COMPRESSED) for path in paths)
    return None if compressed else input_bytes(paths) or None


def check_part(part: Part, options: ValidateOptions) -> ValidationResult:
    """The summary of one part; what worker processes run."""
    options = options.for_file(part.path)
    if part.end is not None:
        try:
            return ValidationResult(part.path, validate_range(part.path, part.start, part.end, options))
        except InputError as error:
            return ValidationResult(part.path, Summary(), error)
    validator = Validator(options)
    try:
        for block in stream_blocks(part.path, options):
            validator.add_block(block)
    except InputError as error:
        return ValidationResult(part.path, validator.summary, error)
    return ValidationResult(part.path, validator.summary)


def _run_parts(parts: Sequence[Part], options: ValidateOptions, plan: Plan) -> Iterator[ValidationResult]:
    """The summaries of the parts in their order."""
    jobs = min(plan.jobs, len(parts))
    if jobs <= 1 or any(part.path == STDIN for part in parts):
        for part in parts:
            yield check_part(part, options)
            plan.progress((part.end or part.start) - part.start)
        return
    method = "fork" if sys.platform == "linux" else "spawn"
    decoders(options.space)  # made before the fork, for all workers at once
    context = multiprocessing.get_context(method)
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_ignore_interrupts)
    waiting: deque[tuple[Part, Future[ValidationResult]]] = deque()
    try:
        for part in parts:
            with _held():  # the first one starts the workers
                future = pool.submit(check_part, part, options)
            waiting.append((part, future))
            if len(waiting) > 2 * jobs:
                yield from _next_done(waiting, plan)
        while waiting:
            yield from _next_done(waiting, plan)
    finally:
        with _uninterrupted():
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Another Ctrl-C must not break off the end of the pool: Python would stumble over it when it exits."""
    if threading.current_thread() is not threading.main_thread():  # only there are signals handled
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _next_done(waiting: deque[tuple[Part, Future[ValidationResult]]], plan: Plan) -> Iterator[ValidationResult]:
    part, future = waiting.popleft()
    try:
        checked = future.result()
    except BrokenProcessPool as error:
        raise CoordspecError(f"a worker process died while it checked {part.path}; try --jobs 1") from error
    plan.progress((part.end or part.start) - part.start)
    yield checked


@contextmanager
def _held() -> Iterator[None]:
    """Ctrl-C waits: a worker that it finds before ``_ignore_interrupts`` would die with a traceback."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ignore_interrupts() -> None:
    """In a worker: the parent stops the run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _join(parts: Iterable[ValidationResult], options: ValidateOptions) -> Iterator[ValidationResult]:
    """Parts that follow each other to whole files."""
    for path, group in groupby(parts, key=lambda part: part.path):
        whole = ValidationResult(path, Summary())
        for part in group:
            summary = whole.summary.then(part.summary, options.max_listed)
            whole = ValidationResult(path, summary, whole.failure or part.failure)
        yield whole


def _check_sample(path: str, size: int, seed: int, options: ValidateOptions) -> ValidationResult:
    validator = Validator(options.for_file(path))
    try:
        lines = sample_lines(path, size, seed, options.max_line_bytes)
    except InputError as error:
        return ValidationResult(path, Summary(), error)
    for line in lines:
        validator.add_line(line)
    return ValidationResult(path, validator.summary)


def _sum_up(files: Iterable[ValidationResult], options: ValidateOptions, plan: Plan) -> Result:
    listing = _Listing(options)
    counts: dict[str, Counter[str]] = {}
    total: Counter[str] = Counter()
    lines = invalid = 0
    failures: list[InputError] = []
    for path, summary, failure in files:
        found = list(_file_findings(summary, options, failure))
        counts[path] = summary.counts + Counter(item.finding.rule for item in found)
        reported = beyond_baseline(counts[path], plan.baseline.get(path, Counter()))
        listing.add(path, [item for item in [*found, *summary.kept] if reported[item.finding.rule]])
        total += reported
        lines, invalid = lines + summary.lines, invalid + summary.invalid
        failures += [failure] if failure else []
    by_rule = {name: total[name] for name in rule_book().by_name if total[name]}
    errors = sum(count for name, count in by_rule.items() if options.severity(name) is Severity.ERROR)
    return Result(
        Outcome(
            files=tuple(counts),
            records=lines,
            valid=lines - invalid,
            invalid=invalid,
            errors=errors,
            warnings=total.total() - errors,
            by_rule=by_rule,
            issues=tuple(listing.issues),
            truncated=len(listing.issues) < total.total(),
            unreadable=tuple(failures),
            notes=tuple(_notes(plan, sum(map(Counter.total, counts.values())) - total.total())),
        ),
        counts,
    )


def _file_findings(summary: Summary, options: ValidateOptions, failure: InputError | None) -> Iterator[Located]:
    for finding in check_dataset(summary, options.space):
        if finding.rule in options.rules and not (failure and finding.rule == "no-records"):
            yield Located(finding)


def _notes(plan: Plan, known: int) -> Iterator[str]:
    if plan.sample is not None:
        yield f"only a sample was checked: at most {plan.sample} lines of each file, seed {plan.seed}"
    if known:
        yield f"{known} findings stand in the baseline and are not counted"


class _Listing:
    """The findings that are shown: at most ``max_listed`` of each severity, so that no flood of one hides the other."""

    def __init__(self, options: ValidateOptions) -> None:
        self.options = options
        self.issues: list[Issue] = []
        self.room = dict.fromkeys(Severity, options.max_listed)

    def add(self, path: str, items: Iterable[Located]) -> None:
        for item in items:
            severity = self.options.severity(item.finding.rule)
            if self.room[severity]:
                self.room[severity] -= 1
                self.issues.append(item.issue(path, self.options))
