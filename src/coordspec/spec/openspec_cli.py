"""The real ``openspec`` command line: find it, ask it what a gate needs to know, hold its answers to their types.

Checked against @fission-ai/openspec 1.13.2. It tells more in its JSON than in its exit status: ``status`` exits with 0
whatever is blocked, so the answers are read and the exit status only has to agree with them.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, Literal, TypeVar

import msgspec

from coordspec.contracts import rule
from coordspec.errors import InputError
from coordspec.findings.visible import shown

TIMEOUT_S: Final = 60.0
"""Seconds that the answers may take all together; on a slow machine they take three."""
_SAID_CHARS: Final = 300
T = TypeVar("T")


class Diagnostic(msgspec.Struct, frozen=True, rename="camel"):
    """Why openspec could not answer."""

    message: str
    code: str = ""
    fix: str | None = None


class Artifact(msgspec.Struct, frozen=True, rename="camel"):
    """One artifact of a change. ``done`` says no more than that a file is there."""

    id: str
    output_path: str
    status: Literal["done", "ready", "blocked", "skipped"]
    requires: list[str]


class ArtifactPath(msgspec.Struct, frozen=True, rename="camel"):
    """The files of one artifact that are there, as absolute paths without symbolic links."""

    existing_output_paths: list[str]


class ChangeStatus(msgspec.Struct, frozen=True, rename="camel"):
    """One active change; ``artifacts`` is None where openspec could not load it, and ``status`` then says why."""

    change_name: str
    schema_name: str = ""
    artifacts: list[Artifact] | None = None
    artifact_paths: dict[str, ArtifactPath] = {}
    apply_requires: list[str] = []
    status: list[Diagnostic] = []


class Root(msgspec.Struct, frozen=True):
    """The root that openspec took; ``implicit`` when there is none, ``nearest`` also for one in a parent folder."""

    path: str
    source: str


class Status(msgspec.Struct, frozen=True):
    """``openspec status --all --json``"""

    changes: list[ChangeStatus]
    root: Root | None = None
    status: list[Diagnostic] = []

    @property
    def failed(self) -> bool:
        return bool(self.status) or any(change.artifacts is None for change in self.changes)


class Complaint(msgspec.Struct, frozen=True):
    """One issue of ``openspec validate``; ``path`` is a file, or a place in one such as ``requirements[0]``."""

    level: Literal["ERROR", "WARNING", "INFO"]
    path: str
    message: str
    line: int | None = None


class ValidatedItem(msgspec.Struct, frozen=True):
    """One spec or change that ``openspec validate`` looked at."""

    id: str
    type: Literal["spec", "change"]
    valid: bool
    issues: list[Complaint]


class Validation(msgspec.Struct, frozen=True):
    """``openspec validate --all --strict --json``; ``items`` is None where there is no root."""

    items: list[ValidatedItem] | None = None
    status: list[Diagnostic] = []

    @property
    def failed(self) -> bool:
        return bool(self.status) or not all(item.valid for item in self.items or ())


@dataclass(frozen=True, slots=True)
class OpenSpecAnswers:
    """What openspec says of a folder."""

    version: str
    status: Status
    validation: Validation


# ---------------------------------------------------------------- finding it


def find_openspec(root: Path, given: Path | None = None) -> Path:
    """The executable: the one given, else that of ``node_modules`` in ``root`` or the folders above, else of ``PATH``.

    Raises:
        InputError: there is none, or the one given cannot be run.
    """
    if given is not None:
        return _executable(given)
    start = root.resolve()
    for folder in (start, *start.parents):
        candidate = folder / "node_modules/.bin/openspec"
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    found = shutil.which("openspec")
    if found is None:
        where = f"not in node_modules/.bin of {start} or a folder above it, not on PATH"
        raise InputError("openspec", f"the OpenSpec command line is not installed ({where}); {how_to_install()}")
    return Path(found).absolute()


def _executable(given: Path) -> Path:
    if not given.exists():
        raise InputError(str(given), f"does not exist, and was named as the OpenSpec command line; {how_to_install()}")
    if not given.is_file():
        raise InputError(str(given), "is not a file; name the openspec executable")
    if not os.access(given, os.X_OK):
        raise InputError(str(given), "is not executable; name node_modules/.bin/openspec, or make it executable")
    return given.absolute()


def how_to_install() -> str:
    """What to type where the command line is missing; the version stands in ``contracts/rules.yaml``."""
    facts = rule("openspec-version").params
    return f"install it: `npm install --save-dev {facts['package']}@{facts['pinned']}` (needs Node.js {facts['node']}+)"


# ---------------------------------------------------------------- asking it


def ask_openspec(tool: Path, root: Path, timeout_s: float = TIMEOUT_S) -> OpenSpecAnswers:
    """Version, status and validation of ``root``. The three calls run side by side and are over when this returns.

    Nothing of the machine has a say: no user-wide schemas, stores or settings, no telemetry, no look-up of updates.

    Raises:
        InputError: openspec could not be started, ran too long, crashed, or printed something else than it promises.
    """
    with ExitStack() as stack:
        empty = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coordspec-")))
        words = (["--version"], ["status", "--all", "--json"], ["validate", "--all", "--strict", "--json"])
        calls = [_Call(tool, arguments, root, empty, stack) for arguments in words]
        deadline = time.monotonic() + timeout_s
        for call in calls:
            call.wait(deadline, timeout_s)
        version, status, validation = calls
        answers = OpenSpecAnswers(version.version(), status.decode(Status), validation.decode(Validation))
        status.agree(answers.status.failed)
        validation.agree(answers.validation.failed)
        if answers.validation.items is None and not answers.validation.failed:
            raise validation.broken("printed JSON without items")
        return answers


def environment(empty: Path) -> dict[str, str]:
    """The caller's environment with everything off that talks, colours or depends on the machine."""
    switches = {
        "OPENSPEC_TELEMETRY": "0",
        "DO_NOT_TRACK": "1",
        "OPENSPEC_NO_UPDATE_CHECK": "1",
        "OPENSPEC_NO_COMPLETIONS": "1",
        "OPEN_SPEC_INTERACTIVE": "0",
        "CI": "1",
        "NO_COLOR": "1",
        "XDG_CONFIG_HOME": str(empty),
        "XDG_DATA_HOME": str(empty),
    }
    return {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"} | switches


@dataclass
class _Call:
    """One run of openspec. It writes to files, so that no run waits for a reader."""

    tool: Path
    arguments: Sequence[str]
    root: Path
    empty: Path
    stack: ExitStack
    out: IO[bytes] = field(init=False)
    err: IO[bytes] = field(init=False)
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.out, self.err = (self.stack.enter_context(file()) for file in 2 * [tempfile.TemporaryFile])
        try:
            self.process = subprocess.Popen(  # noqa: S603 (a list of words, never a shell)
                [self.tool, *self.arguments],
                cwd=self.root,
                env=environment(self.empty),
                stdin=subprocess.DEVNULL,
                stdout=self.out,
                stderr=self.err,
                start_new_session=True,  # a group of its own, so that what it starts ends with it
            )
        except OSError as error:
            reason = f"cannot be started: {error.strerror or error}; {how_to_install()}"
            raise InputError(str(self.tool), reason) from error
        self.stack.callback(self._end)

    def _end(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def wait(self, deadline: float, timeout_s: float) -> None:
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise self.broken(f"did not end within {timeout_s:g} s (--timeout)") from error

    def version(self) -> str:
        text = self._said(self.out)
        if self.process.returncode or not text[:1].isdigit() or "\n" in text:
            raise self.broken("printed no version")
        return text

    def decode(self, form: type[T]) -> T:
        self.out.seek(0)
        try:
            return msgspec.json.decode(self.out.read(), type=form)
        except msgspec.ValidationError as error:
            raise self.broken(f"printed other JSON than expected ({error})") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self.broken("printed no JSON") from error

    def agree(self, failed: bool) -> None:
        """The exit status is 0 or 1, and 1 only where the answer says that something failed."""
        if self.process.returncode not in ((0, 1) if failed else (0,)):
            raise self.broken("printed an answer that its exit status does not fit")

    def broken(self, what: str) -> InputError:
        """The error that says what the call did, how it ended, and what it printed."""
        ended = "" if self.process.poll() is None else f", exit status {self.process.returncode}"
        texts = {"standard output": self._said(self.out), "standard error": self._said(self.err)}
        said = "; ".join(f"{name}: {text}" for name, text in texts.items() if text) or "it printed nothing"
        return InputError(str(self.tool), f"`openspec {' '.join(self.arguments)}` {what}{ended}; {said}")

    def _said(self, stream: IO[bytes]) -> str:
        stream.seek(0)
        return shown(stream.read(4 * _SAID_CHARS).decode("utf-8", "replace").strip(), _SAID_CHARS)
