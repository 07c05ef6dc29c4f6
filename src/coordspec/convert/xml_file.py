"""XML without document types: a small tree whose elements know their lines.

A document type can define entities, which grow a small file to gigabytes or bring in other files. No annotation needs
one, so the first sign of one stops the reading, before anything in it is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from coordspec.checks.finding import shown
from coordspec.convert.pixels import SourceError
from coordspec.jsonl.read import open_bytes

MAX_BYTES: Final = 1 << 24
MAX_DEPTH: Final = 64


@dataclass(slots=True)
class Element:
    """One element: its own text, without that of its children, and the children in their order."""

    name: str
    path: str
    line: int
    text: str = ""
    children: list[Element] = field(default_factory=list)

    @property
    def where(self) -> str:
        """``a.xml:12``"""
        return f"{self.path}:{self.line}"

    def fault(self, reason: str) -> SourceError:
        """The error that this element cannot be converted."""
        return SourceError(self.where, reason)

    def all(self, name: str) -> list[Element]:
        """The children of that name."""
        return [child for child in self.children if child.name == name]

    def find(self, name: str) -> Element | None:
        """The child of that name, or None.

        Raises:
            SourceError: there are several.
        """
        found = self.all(name)
        if len(found) > 1:
            raise found[1].fault(f"{self.name} has {len(found)} elements {name}, not one")
        return found[0] if found else None

    def get(self, name: str) -> Element:
        """The one child of that name.

        Raises:
            SourceError: there is none, or there are several.
        """
        found = self.find(name)
        if found is None:
            raise self.fault(f"{self.name} has no element {name}")
        return found


def read_xml(path: str) -> Element:
    """The root of an XML file.

    Raises:
        SourceError: it is no XML, has a document type, or is nested too deep; the place is file and line.
        InputError: the file cannot be read.
    """
    with open_bytes(path) as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise SourceError(path, f"is longer than {MAX_BYTES} bytes, which no annotation of an image is")
    return _Reader(path).read(data)


class _Reader:
    def __init__(self, path: str) -> None:
        self._path = path
        self._top = Element("", path, 1)
        self._open = [self._top]
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text

    def read(self, data: bytes) -> Element:
        try:
            self._parser.Parse(data, True)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            raise SourceError(f"{self._path}:{error.lineno}", f"is not well-formed XML: {reason}") from error
        except (LookupError, ValueError) as error:  # an encoding that Python does not have, or not for XML
            raise SourceError(self._path, f"has an encoding that cannot be read: {error}") from error
        return self._top.children[0]

    def _doctype(self, name: str, *_: object) -> None:
        line = self._parser.CurrentLineNumber
        reason = f"has a document type (<!DOCTYPE {shown(name)[1:-1]}>), which could define entities; remove it"
        raise SourceError(f"{self._path}:{line}", reason)

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        element = Element(name, self._path, self._parser.CurrentLineNumber)
        if len(self._open) > MAX_DEPTH:
            raise element.fault(f"is nested deeper than {MAX_DEPTH} levels")
        self._open[-1].children.append(element)
        self._open.append(element)

    def _end(self, _name: str) -> None:
        self._open.pop()

    def _text(self, text: str) -> None:
        self._open[-1].text += text
