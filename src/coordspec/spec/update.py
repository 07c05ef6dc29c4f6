"""Digests written into the decorators of bindings, for a person who has read the scenarios again."""

from __future__ import annotations

import ast
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from coordspec.errors import InputError
from coordspec.spec.sources import Site


def update_digests(root: Path, digests: Iterable[tuple[Site, str]]) -> list[str]:
    """Write a digest into each site; returns a line of text for each change.

    Nothing but the string literal is touched. A file is replaced whole.

    Raises:
        InputError: a file is no longer what the sites were read from; it is left alone.
    """
    by_file: dict[str, list[tuple[Site, str]]] = defaultdict(list)
    for site, digest in digests:
        by_file[site.path].append((site, digest))
    changes = []
    for name, edits in by_file.items():
        path = root / name
        content = path.read_bytes()
        for site, digest in sorted(edits, key=lambda edit: edit[0].literal.line, reverse=True):
            content = _replaced(content, site, digest)
        _write(path, content)
        changes += [f"{s.path}:{s.literal.line}: {s.function}: {s.bound.digest or '(none)'} → {d}" for s, d in edits]
    return changes


def _replaced(content: bytes, site: Site, digest: str) -> bytes:
    lines = content.splitlines(keepends=True)
    literal = site.literal
    start = len(b"".join(lines[: literal.line - 1])) + literal.start
    end = len(b"".join(lines[: literal.end_line - 1])) + literal.end
    old = content[start:end].decode("utf-8", "replace")
    if not _is_literal(old, site.bound.digest):
        where = f"line {literal.line} does not hold the digest {site.bound.digest!r} any more"
        raise InputError(site.path, f"has changed since its bindings were read: {where}; run pytest again")
    quote = '"' if old.endswith('"') else "'"
    return content[:start] + f"{quote}{digest}{quote}".encode() + content[end:]


def _is_literal(text: str, value: str) -> bool:
    try:
        found: object = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return False
    return found == value


def _write(path: Path, content: bytes) -> None:
    """Replace the file, or the file that a link leads to, and keep its permissions."""
    target = path.resolve()
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        temporary.chmod(target.stat().st_mode & 0o7777)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
