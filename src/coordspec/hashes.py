"""One function for each hash, so that two places that name the same thing by its hash can be compared.

Each is SHA-256 in 64 hex digits; who writes a shorter one cuts it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from coordspec.errors import InputError


def bytes_sha256(data: bytes) -> str:
    """The hash of some bytes."""
    return hashlib.sha256(data).hexdigest()


def text_sha256(text: str) -> str:
    """The hash of a text in UTF-8; a lone surrogate, which UTF-8 has no bytes for, is three bytes as others are."""
    return bytes_sha256(text.encode("utf-8", "surrogatepass"))


def file_sha256(path: Path) -> str:
    """The hash of a file's bytes, as ``sha256sum`` has it. The file is read in pieces.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(str(path), error.strerror or str(error)) from error


def weights_sha256(folder: Path) -> str:
    """The hash of the weights of a checkpoint: of a line ``name:hash of the file`` for each safetensors file, by name.

    It is what ``settings.weights_sha256`` of a prediction file's run holds, and its first digits name a served model.
    An adapter is such a file too: a folder of an adapter alone has the hash of that, and one that holds an adapter
    beside a model, which is loaded with both, the hash of both. The same tensors in other shards are another hash.

    Raises:
        InputError: there are none, or one cannot be read.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InputError(str(folder), "has no weights in safetensors, so they cannot be compared")
    return text_sha256("".join(f"{file.name}:{file_sha256(file)}\n" for file in files))
