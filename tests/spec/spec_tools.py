"""What the bindings share: run the command line on files of a folder of its own, and sound records to break."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from coordspec_cli.main import run

SOUND = {"images": ["a.png"], "width": 640, "height": 480, "objects": []}
BOX = [1, 2, 3, 4]
GOOD = json.dumps({**SOUND, "objects": [{"desc": "cat", "bbox_2d": BOX}]})
ERROR = GOOD.replace("3, 4", "1000, 4")  # coord-range
WARNING = GOOD.replace("3, 4", "1, 4")  # degenerate-box


class Done(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def report(self) -> Any:
        """The JSON on standard output."""
        return json.loads(self.out)

    @property
    def findings(self) -> list[tuple[str, str, str, str]]:
        """Code, severity, pointer and message of every finding; the report has to be whole."""
        document = self.report
        assert not document["truncated"]
        assert len(document["issues"]) == sum(document["summary"]["by_rule"].values())
        return [tuple(issue[key] for key in ("code", "severity", "pointer", "message")) for issue in document["issues"]]


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A new folder, as the working directory."""
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        yield Path(name)


def coordspec(*words: object) -> Done:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run([str(word) for word in words])
    return Done(status, out.getvalue(), err.getvalue())


def lines(*texts: str) -> bytes:
    return "".join(text + "\n" for text in texts).encode()


def validate(data: bytes | str, *options: object) -> Done:
    """``coordspec validate a.jsonl --format json``, the file holding ``data``, or one line with that text."""
    with folder() as here:
        (here / "a.jsonl").write_bytes(data if isinstance(data, bytes) else lines(data))
        return coordspec("validate", "a.jsonl", "--format", "json", *options)


def record(**fields: object) -> str:
    """A sound record, as a line, with these fields."""
    return json.dumps({**SOUND, **fields})


def with_object(fields: Mapping[str, object], **more: object) -> str:
    """A record with one object, ``cat``, that has these fields beside its desc, or in its place."""
    return record(objects=[{"desc": "cat", **fields}], **more)


def expect(
    done: Done, code: str | None, pointer: str | None = None, message: str | None = None, severity: str = "error"
) -> None:
    """Exactly this finding, or none for the code None, and the exit status that goes with it."""
    if code is None:
        assert (done.findings, done.status) == ([], 0)
        return
    assert len(done.findings) == 1, done.findings
    found = done.findings[0]
    assert found[:2] == (code, severity)
    assert pointer is None or found[2] == pointer
    assert message is None or found[3] == message
    assert done.status == int(severity == "error")
