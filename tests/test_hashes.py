"""One function for each hash: exact values, what they depend on, and that nothing hashes beside them."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from coordspec.errors import InputError
from coordspec.hashes import bytes_sha256, file_sha256, text_sha256, weights_sha256

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
"""FIPS 180-2, appendix B.1."""
SHARDS = {"model-00001-of-00002.safetensors": b"one", "model-00002-of-00002.safetensors": b"two"}
SRC = Path(__file__).parent.parent / "src/coordspec"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A folder with two shards of weights, written in the order that no listing has, and other files."""
    for name in (*reversed(SHARDS), "config.json"):
        (tmp_path / name).write_bytes(SHARDS.get(name, b"{}"))
    return tmp_path


def test_the_same_bytes_have_one_hash_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert bytes_sha256(b"abc") == text_sha256("abc") == file_sha256(tmp_path / "file") == ABC
    assert text_sha256("\u00e9\U0001f600") == bytes_sha256(b"\xc3\xa9\xf0\x9f\x98\x80")
    assert text_sha256("\ud800") == bytes_sha256(b"\xed\xa0\x80")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(str(tmp_path / 'file'))}: No such file or directory$"):
        file_sha256(tmp_path / "file")


def test_weights_are_a_line_for_each_file(checkpoint: Path) -> None:
    lines = "".join(f"{name}:{hashlib.sha256(data).hexdigest()}\n" for name, data in sorted(SHARDS.items()))
    assert weights_sha256(checkpoint) == hashlib.sha256(lines.encode()).hexdigest()


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum")
def test_the_page_says_how_a_shell_computes_it(checkpoint: Path) -> None:
    page = (SRC.parent.parent / "docs/evaluation/INFER.md").read_text()
    (line,) = [line for line in page.splitlines() if line.endswith("| sha256sum)")]
    shell = ["sh", "-c", line.replace("CHECKPOINT", "$1"), "sh", str(checkpoint)]
    printed = subprocess.run(shell, check=True, capture_output=True, text=True).stdout
    assert printed == f"{weights_sha256(checkpoint)}  -\n"


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda path: (path / "notes.txt").write_text("no weights"), True),
        (lambda path: (path / "config.json").unlink(), True),
        (lambda path: (path / min(SHARDS)).write_bytes(b"One"), False),
        (lambda path: (path / min(SHARDS)).rename(path / "model.safetensors"), False),
        (lambda path: (path / min(SHARDS)).unlink(), False),
        (lambda path: (path / "adapter_model.safetensors").write_bytes(b"three"), False),
    ],
    ids=["another file", "no config", "another byte", "another name", "a shard less", "an adapter beside it"],
)
def test_what_the_hash_of_weights_depends_on(checkpoint: Path, change: object, same: bool) -> None:
    before = weights_sha256(checkpoint)
    assert callable(change)
    change(checkpoint)
    assert (weights_sha256(checkpoint) == before) is same


def test_an_adapter_alone_has_a_hash_too(tmp_path: Path) -> None:
    (tmp_path / "adapter_model.safetensors").write_bytes(b"abc")
    assert weights_sha256(tmp_path) == text_sha256(f"adapter_model.safetensors:{ABC}\n")


def test_no_weights_have_no_hash(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        weights_sha256(tmp_path)
    assert str(caught.value) == f"{tmp_path}: has no weights in safetensors, so they cannot be compared"


def test_nothing_else_makes_a_sha256() -> None:
    using = {str(path.relative_to(SRC)) for path in SRC.rglob("*.py") if "hashlib" in path.read_text("utf-8")}
    assert using == {"hashes.py", "shapes/draw.py", "shapes/scene.py"}, "the shapes draw their noise from hashes"
