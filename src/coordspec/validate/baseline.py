"""Known findings, as counts per file and rule: what stands in the baseline is not reported again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from coordspec.contracts import rule_book
from coordspec.errors import InputError

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
