"""Bindings and harnesses as they stand in Python files, read and written back. Nothing is imported or run."""

from __future__ import annotations

import ast
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from coordspec.errors import InputError
from coordspec.spec.binding import Bound
from coordspec.spec.document import shown_path

DEFAULT_BINDINGS: Final = ("tests",)

_SCENARIO: Final = ("coordspec.spec.scenario", "coordspec.spec.binding.scenario")
_HARNESS: Final = ("coordspec.spec.harness", "coordspec.spec.binding.harness")
_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "site-packages"})
_FIELDS: Final = ("capability", "requirement", "scenario")


@dataclass(frozen=True, slots=True)
class Literal:
    """Where a string literal stands in a file: bytes from the start of its first line, lines counted from 1."""

    line: int
    start: int
    end_line: int
    end: int


@dataclass(frozen=True, slots=True)
class Site:
    """A function bound to a scenario; ``path`` is as it is shown, ``function`` its dotted name in the module."""

    bound: Bound
    path: str
    line: int
    function: str
    literal: Literal

    @property
    def binding(self) -> str:
        """``tests/spec/test_cli.py::test_help``"""
        return f"{self.path}::{self.function.replace('.', '::')}"

    @property
    def place(self) -> str:
        """``tests/spec/test_cli.py:12 (test_help)``"""
        return f"{self.path}:{self.line} ({self.function})"


@dataclass(frozen=True, slots=True)
class HarnessSite:
    """A function that runs the cases of blocks."""

    name: str
    path: str
    line: int
    function: str

    @property
    def place(self) -> str:
        return f"{self.path}:{self.line} ({self.function})"


@dataclass(frozen=True, slots=True)
class Sources:
    """All that is bound in the files that were read; ``faults`` say what is wrong, where, and what to write."""

    sites: tuple[Site, ...] = ()
    harnesses: tuple[HarnessSite, ...] = ()
    faults: tuple[str, ...] = ()


def read_sources(root: Path, bindings: Iterable[str | Path]) -> Sources:
    """What is bound in the Python files that ``bindings``, files and folders below ``root``, name.

    Raises:
        InputError: one of them is not there, or a file cannot be read.
    """
    sites: list[Site] = []
    harnesses: list[HarnessSite] = []
    faults: list[str] = []
    for path in binding_files(root, bindings):
        content = _bytes(path, root)
        if b"coordspec" in content:
            reader = _BindingReader(shown_path(path, root))
            reader.read(content)
            sites += reader.sites
            harnesses += reader.harnesses
            faults += reader.faults
    return Sources(tuple(sites), tuple(harnesses), tuple(faults))


def binding_files(root: Path, bindings: Iterable[str | Path]) -> list[Path]:
    """The Python files named, and those in the folders named, in the order of their names, each once."""
    found: dict[Path, None] = {}
    for name in bindings:
        path = root / name
        if path.is_dir():
            found.update(dict.fromkeys(sorted(_python_files(path))))
        elif path.is_file():
            found[path] = None
        else:
            raise InputError(shown_path(path, root), "is named as a place of bindings and is not there")
    return list(found)


def _python_files(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _SKIPPED and not name.startswith(".")]
        yield from (Path(where, name) for name in files if name.endswith(".py"))


def _bytes(path: Path, root: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(shown_path(path, root), f"cannot be read: {error.strerror}") from error


class _BindingReader:
    """Finds the decorators of one file, under whatever name the file imports them."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.names: dict[str, str] = {}
        self.sites: list[Site] = []
        self.harnesses: list[HarnessSite] = []
        self.faults: list[str] = []

    def read(self, content: bytes) -> None:
        try:
            tree = ast.parse(content, self.path)
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None) or 1
            self.faults.append(f"{self.path}:{line}: is no Python that can be read: {error}")
            return
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._import(node)
        self._body(tree.body, ())

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.ImportFrom):
            self.names.update({a.asname or a.name: f"{node.module}.{a.name}" for a in node.names if not node.level})
            return
        for alias in node.names:
            first = alias.name.split(".")[0]
            self.names[alias.asname or first] = alias.name if alias.asname else first

    def _body(self, body: Sequence[ast.stmt], outer: tuple[str, ...]) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                for decorator in node.decorator_list:
                    if isinstance(decorator, ast.Call) and self._dotted(decorator.func) in [*_SCENARIO, *_HARNESS]:
                        self._fault(decorator, node.name, "is a class; put the decorator on one of its functions")
                self._body(node.body, (*outer, node.name))
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for decorator in node.decorator_list:
                    self._decorator(decorator, ".".join((*outer, node.name)))
            elif isinstance(node, ast.If | ast.Try | ast.With):
                self._body([child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)], outer)

    def _decorator(self, node: ast.expr, function: str) -> None:
        if not isinstance(node, ast.Call):
            return
        name = self._dotted(node.func)
        if name in _SCENARIO:
            self._scenario(node, function)
        elif name in _HARNESS:
            self._harness(node, function)

    def _dotted(self, node: ast.expr) -> str | None:
        """``coordspec.spec.scenario`` for any expression that names it."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id)
        if isinstance(node, ast.Attribute):
            outer = self._dotted(node.value)
            return None if outer is None else f"{outer}.{node.attr}"
        return None

    def _scenario(self, node: ast.Call, function: str) -> None:
        digest = next((keyword.value for keyword in node.keywords if keyword.arg == "digest"), None)
        texts = [_text(value) for value in (*node.args, digest)]
        if len(texts) != len(_FIELDS) + 1 or None in texts or digest is None or len(node.keywords) != 1:
            wanted = '@scenario("capability", "Requirement", "Scenario", digest="")'
            self._fault(node, function, f"is bound by something else than four string literals; write {wanted}")
            return
        bound = Bound(*(text or "" for text in texts))
        literal = Literal(digest.lineno, digest.col_offset, digest.end_lineno or 0, digest.end_col_offset or 0)
        self.sites.append(Site(bound, self.path, node.lineno, function, literal))

    def _harness(self, node: ast.Call, function: str) -> None:
        name = _text(node.args[0]) if len(node.args) == 1 and not node.keywords else None
        if name is None:
            self._fault(node, function, 'is no harness by one string literal; write @harness("name")')
        elif "." in function:
            self._fault(node, function, "is a harness inside a class; make it a function of the module")
        else:
            self.harnesses.append(HarnessSite(name, self.path, node.lineno, function))

    def _fault(self, node: ast.expr, function: str, what: str) -> None:
        self.faults.append(f"{self.path}:{node.lineno}: {function} {what}")


def _text(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


# ---------------------------------------------------------------- digests written back


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
