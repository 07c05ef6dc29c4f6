"""``openspec/digests.json``: the sentences of requirements and the tables of cases, as somebody has last read them.

A function that shows a scenario carries the scenario's digest in its decorator. A table is its own test, and a sentence
has no test of its own, so what was read of them stands here. ``pytest --update-digests`` writes the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from coordspec.errors import InputError
from coordspec.jsonl.write import write_whole

Key: TypeAlias = tuple[str, str, str]
"""Capability, requirement and scenario."""

DIGESTS: Final = Path("openspec/digests.json")
SENTENCE: Final = ""
"""The third part of the key of a requirement's own sentence, where that of a table has the title of its scenario."""
_VERSION: Final = 1
_REMEDY: Final = "restore it, or delete it and run pytest with --update-digests"


def read_digests(root: Path) -> dict[Key, str]:
    """The digests below the folder that holds ``openspec/``; none where there is no file.

    Raises:
        InputError: the file is there and is something else.
    """
    try:
        value = json.loads((root / DIGESTS).read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(DIGESTS.as_posix(), f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(DIGESTS.as_posix(), f"is no file of digests ({error}); {_REMEDY}") from error
    try:
        if value["version"] != _VERSION:
            raise InputError(DIGESTS.as_posix(), f"is of version {value['version']!r}, not {_VERSION}; {_REMEDY}")
        rows = [(_key(row), row["digest"]) for row in value["read"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(DIGESTS.as_posix(), f"is no file of digests; {_REMEDY}") from error
    if odd := [key for key, digest in rows if not all(isinstance(part, str) for part in (*key, digest))]:
        raise InputError(DIGESTS.as_posix(), f"holds {odd[0]!r}, which is no row of strings; {_REMEDY}")
    found = dict(rows)
    if len(found) < len(rows):
        twice = next(key for number, (key, _) in enumerate(rows) if key in dict(rows[:number]))
        said = " / ".join(part for part in twice if part)
        raise InputError(DIGESTS.as_posix(), f"holds {said!r} twice, as after a merge of two branches; {_REMEDY}")
    return found


def _key(row: Mapping[str, Any]) -> Key:
    return (row["capability"], row["requirement"], row.get("scenario", SENTENCE))


def write_digests(root: Path, digests: Mapping[Key, str]) -> None:
    """Replace the file, in the order of the keys and with a line for each, so that branches seldom collide."""
    text = "".join(["{", f'"version": {_VERSION}, "read": [\n', ",\n".join(_lines(digests)), "\n]}\n"])
    with write_whole(root / DIGESTS, overwrite=True) as stream:
        stream.write(text.encode())


def _lines(digests: Mapping[Key, str]) -> Iterable[str]:
    for (capability, requirement, scenario), digest in sorted(digests.items()):
        row = {"capability": capability, "requirement": requirement, "scenario": scenario, "digest": digest}
        if scenario == SENTENCE:
            del row["scenario"]
        yield json.dumps(row, ensure_ascii=False)
