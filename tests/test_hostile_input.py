"""Hostile input: whatever the bytes, the paths and the surroundings, no crash, no hang, no pass."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from conftest import Done
from coordspec.findings.formats import FORMATS
from limits import CPU_S, HANG_S, limit_cpu, until

Run = Callable[..., Done]
Start = Callable[..., "subprocess.Popen[bytes]"]

HEAD = b'{"images": ["a.png"], "width": 640, "height": 480, '
GOOD = HEAD + b'"objects": [{"desc": "cat", "bbox_2d": [1, 2, 3, 4]}]}'


def boxed(box: bytes) -> bytes:
    return HEAD + b'"objects": [{"desc": "cat", "bbox_2d": [' + box + b"]}]}"


def meta(value: bytes) -> bytes:
    return HEAD + b'"objects": [], "metadata": {"a": ' + value + b"}}"


HUGE = b"7" * 5_000
LONG = b"7" * 400
"""An integer that Python's json reads and that no float can hold."""

LINES: dict[str, tuple[bytes, set[str]]] = {
    # a line, and the rules that it breaks
    "nested 100,000 deep": (meta(b"[" * 100_000 + b"]" * 100_000), {"too-deep"}),
    "nested 100,000 deep and open": (b"[" * 100_000, {"too-deep"}),
    "objects nested 100,000 deep": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, {"too-deep"}),
    "huge width": (GOOD.replace(b"640", HUGE), {"huge-number"}),
    "huge negative height": (GOOD.replace(b"480", b"-" + HUGE), {"huge-number"}),
    "huge coordinate": (boxed(b"1, 2, " + HUGE + b", 4"), {"huge-number"}),
    "huge integer in metadata": (meta(HUGE), {"huge-number"}),
    "long coordinate": (boxed(b"1, 2, " + LONG + b", 4"), {"coord-range"}),
    "long coordinate beside a float": (boxed(LONG + b", 2, 0.5, 4"), {"coord-range", "coord-type", "inverted-box"}),
    "long size and a float": (
        boxed(b"0.5, 0.5, 1.5, 1.5").replace(b"640", LONG).replace(b"480", LONG),
        {"coord-type"},
    ),
    "NaN in metadata": (meta(b"NaN"), {"non-finite-number"}),
    "-Infinity in metadata": (meta(b"-Infinity"), {"non-finite-number"}),
    "1e999 in metadata": (meta(b"1e999"), {"non-finite-number"}),
    "NaN as a coordinate": (boxed(b"1, 2, NaN, 4"), {"non-finite-number"}),
    "a key repeated through an escape": (GOOD.replace(b'"width"', b'"width": 1, "w\\u0069dth"'), {"duplicate-key"}),
    "a desc repeated through an escape": (GOOD.replace(b'"desc"', b'"\\u0064esc": "dog", "desc"'), {"duplicate-key"}),
    "a key repeated deep in metadata": (meta(b'[{"b": [{"c": 1, "c": 2}]}]'), {"duplicate-key"}),
    "a boolean coordinate": (boxed(b"1, 2, true, 4"), {"coord-type"}),
    "a boolean width": (GOOD.replace(b"640", b"true"), {"wrong-type"}),
    "a float that is whole": (boxed(b"1, 2, 12.0, 4"), {"coord-type"}),
    "a float with an exponent": (boxed(b"1, 2, 1e1, 4"), {"coord-type"}),
    "a number as a string": (boxed(b'"1", "2", "3", "4"'), {"coord-token-malformed"}),
    "Arabic digits in a token": (
        boxed('"<|coord_1|>", "<|coord_2|>", "<|coord_٣|>", "<|coord_4|>"'.encode()),
        {"coord-token-malformed"},
    ),
    "a line feed behind a token": (
        boxed(b'"<|coord_1|>", "<|coord_2|>", "<|coord_3|>\\n", "<|coord_4|>"'),
        {"coord-token-malformed"},
    ),
    "a line feed in a token": (
        boxed(b'"<|coord_1|>", "<|coord_2|>", "<|coord_3\\n|>", "<|coord_4|>"'),
        {"coord-token-malformed"},
    ),
    "a token of 5,000 digits": (
        boxed(b'"<|coord_1|>", "<|coord_2|>", "<|coord_' + HUGE + b'|>", "<|coord_4|>"'),
        {"coord-range"},
    ),
    "superscript digits in a token": (
        boxed('"<|coord_1|>", "<|coord_2|>", "<|coord_³|>", "<|coord_4|>"'.encode()),
        {"coord-token-malformed"},
    ),
    "NUL bytes": (b"\x00" * 100, {"invalid-json"}),
    "an overlong UTF-8 form": (GOOD.replace(b"cat", b"c\xc1\xa1t"), {"invalid-utf8"}),
    "a surrogate in UTF-8": (GOOD.replace(b"cat", b"c\xed\xa0\x80t"), {"invalid-utf8"}),
    "beyond Unicode": (GOOD.replace(b"cat", b"c\xf4\x90\x80\x80t"), {"invalid-utf8"}),
    "UTF-16": (GOOD.decode().encode("utf-16"), {"invalid-utf8"}),
    "UTF-16 without BOM": (GOOD.decode().encode("utf-16-le"), {"invalid-json"}),
    "two records": (GOOD + GOOD, {"invalid-json"}),
    "CR as line end": (GOOD + b"\r" + GOOD, {"invalid-json"}),
    "single quotes": (GOOD.replace(b'"', b"'"), {"invalid-json"}),
    "a comment": (GOOD + b" // ok", {"invalid-json"}),
    "a leading plus": (boxed(b"+1, 2, 3, 4"), {"invalid-json"}),
    "a leading zero": (boxed(b"01, 2, 3, 4"), {"invalid-json"}),
    "an escape cut off": (GOOD.replace(b"cat", b"\\u12"), {"invalid-json"}),
    "a desc of zero-width characters": (GOOD.replace(b"cat", "\u200b\u200d\ufeff".encode()), {"blank-desc"}),
    "a special token through escapes": (GOOD.replace(b"cat", b"\\u003c|im_end|\\u003e"), {"special-token-desc"}),
    "a key of a megabyte": (GOOD[:-1] + b', "' + b"k" * (1 << 20) + b'": 1}', {"unknown-field"}),
    "a pointer's own characters": (GOOD[:-1] + b', "a/b~c": 1, "": 2}', {"unknown-field"}),
}


@pytest.mark.parametrize("strict", [[], ["--strict"]], ids=["plain", "strict"])
@pytest.mark.parametrize("case", LINES.values(), ids=LINES)
def test_a_hostile_line(case: tuple[bytes, set[str]], strict: list[str], coordspec: Run, tmp_path: Path) -> None:
    line, rules = case
    path = tmp_path / "a.jsonl"
    for data in (line, GOOD + b"\n" + line + b"\n" + GOOD + b"\n"):
        path.write_bytes(data)
        done = coordspec("validate", "a.jsonl", "--format", "json", *strict)
        summary = json.loads(done.out)["summary"]
        assert set(summary["by_rule"]) == rules
        assert summary["records"] == data.count(b"\n") or summary["records"] == 1
        warning_only = rules <= {"unknown-field"} and not strict
        assert done.status == (0 if warning_only else 1)


@pytest.mark.parametrize("case", LINES.values(), ids=LINES)
def test_a_hostile_line_as_text(case: tuple[bytes, set[str]], coordspec: Run, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(case[0])
    done = coordspec("validate", "a.jsonl", "--strict")
    assert (done.status, done.err) == (1, "")
    assert len(done.out) < 10_000
    assert "✗" in done.out


FILES: dict[str, tuple[str, bytes]] = {
    "random bytes": ("a.jsonl", random.Random(0).randbytes(100_000)),
    "random bytes without line feeds": ("a.jsonl", random.Random(1).randbytes(100_000).replace(b"\n", b"")),
    "ELF": ("a.jsonl", b"\x7fELF\x02\x01\x01" + bytes(9) + random.Random(2).randbytes(5_000)),
    "a gzip file by another name": ("a.jsonl", gzip.compress(GOOD * 100)),
    "UTF-16": ("a.jsonl", (GOOD.decode() + "\n").encode("utf-16") * 3),
    "UTF-32": ("a.jsonl", (GOOD.decode() + "\n").encode("utf-32")),
    "an empty file": ("a.jsonl", b""),
    "line feeds alone": ("a.jsonl", b"\n" * 1000),
    "one JSON array": ("a.jsonl", b"[" + GOOD + b",\n" + GOOD + b"]\n"),
    "pretty-printed JSON": ("a.jsonl", json.dumps(json.loads(GOOD), indent=2).encode()),
    "an HTML page": ("a.jsonl", b"<!DOCTYPE html>\n<html>\n<body>404</body>\n</html>\n"),
    "a file of Git LFS": ("a.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"),
}


@pytest.mark.parametrize("case", FILES.values(), ids=FILES)
def test_a_file_that_is_something_else(case: tuple[str, bytes], spawn: Run, tmp_path: Path) -> None:
    name, data = case
    (tmp_path / name).write_bytes(data)
    done = spawn("validate", name)
    assert (done.status, done.err) == (1, "")
    assert "✗" in done.out


# -------------------------------------------------------------------------------------------------- compressed files

LINES_OF_128 = b"".join(
    (HEAD + b'"objects": [], "summary": "%020d"' % (number * 7919)).ljust(126) + b"}\n" for number in range(20_000)
)
"""Sound lines that end where a block of any usual size ends."""

PACKED: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "gzip cut in the middle": ("a.jsonl.gz", lambda: half(gzip.compress(LINES_OF_128)), "broken gzip data: "),
    "gzip without its checksum": ("a.jsonl.gz", lambda: gzip.compress(LINES_OF_128)[:-8], "broken gzip data: "),
    "gzip with a wrong checksum": (
        "a.jsonl.gz",
        lambda: gzip.compress(LINES_OF_128)[:-8] + b"\0" * 8,
        "CRC check failed",
    ),
    "gzip with damage inside": ("a.jsonl.gz", lambda: damaged(gzip.compress(LINES_OF_128)), ""),
    "gzip with rubbish behind": ("a.jsonl.gz", lambda: gzip.compress(LINES_OF_128) + b"rubbish", "Not a gzipped file"),
    "no gzip": ("a.jsonl.gz", lambda: GOOD, "Not a gzipped file"),
    "zstd cut in the middle": ("a.jsonl.zst", lambda: half(zstandard.compress(LINES_OF_128)), "broken zstd data: "),
    "zstd cut at its end": ("a.jsonl.zst", lambda: zstandard.compress(LINES_OF_128)[:-1], "broken zstd data: "),
    "zstd cut in its header": ("a.jsonl.zst", lambda: zstandard.compress(LINES_OF_128)[:5], "broken zstd data: "),
    "zstd cut in its second frame": (
        "a.jsonl.zst",
        lambda: zstandard.compress(LINES_OF_128) + half(zstandard.compress(LINES_OF_128)),
        "broken zstd data: ",
    ),
    "zstd with damage inside": (
        "a.jsonl.zst",
        lambda: damaged(zstandard.ZstdCompressor(write_checksum=True).compress(LINES_OF_128)),
        "broken zstd data: ",
    ),
    "no zstd": ("a.jsonl.zst", lambda: GOOD, "broken zstd data: "),
    "an empty zstd file": ("a.jsonl.zst", lambda: b"", ""),
    "an empty gzip file": ("a.jsonl.gz", lambda: b"", ""),
}


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def damaged(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


def test_the_lines_are_sound(coordspec: Run, tmp_path: Path) -> None:
    assert {len(line) for line in LINES_OF_128.splitlines(keepends=True)} == {128}
    (tmp_path / "a.jsonl").write_bytes(LINES_OF_128)
    assert coordspec("validate", "a.jsonl").status == 0


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("case", PACKED.values(), ids=PACKED)
def test_a_broken_archive_is_unreadable(
    case: tuple[str, Callable[[], bytes], str], jobs: int, coordspec: Run, tmp_path: Path
) -> None:
    """Even if the lines up to the break are sound, and end with a whole one."""
    name, build, reason = case
    data = build()
    (tmp_path / name).write_bytes(data)
    (tmp_path / "good.jsonl").write_bytes(GOOD)
    done = coordspec("validate", name, "good.jsonl", "--format", "json", "--jobs", jobs)
    if not data:  # nothing is no archive, but also no records: either answer will do, and silence will not
        assert done.status in (1, 2)
        return
    assert (done.status, done.err) == (2, "")
    ((path, said),) = [(item["path"], item["reason"]) for item in json.loads(done.out)["unreadable"]]
    assert (path, said.startswith(reason)) == (name, True), said
    sampled = coordspec("validate", name, "--sample", 5)
    assert sampled.status == 2


# ---------------------------------------------------------------------------------------------------------- resources

PEAK = """
import resource, subprocess, sys
status = subprocess.run([sys.executable, "-m", "coordspec_cli", *sys.argv[1:]], stdout=subprocess.DEVNULL).returncode
print(status, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_mib(tmp_path: Path, *args: str) -> tuple[int, float]:
    """Exit status and peak memory of a command, in MiB."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *args], cwd=tmp_path, capture_output=True, check=True, timeout=HANG_S
    )
    status, kilobytes = map(int, done.stdout.split())
    return status, kilobytes / 1024


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_one_line_of_50_megabytes_takes_little_memory(name: str, tmp_path: Path) -> None:
    data = meta(b'"' + b"x" * 50_000_000 + b'"') + b"\n" + GOOD
    pack = {"a.jsonl": bytes, "a.jsonl.gz": lambda b: gzip.compress(b, 1), "a.jsonl.zst": zstandard.compress}[name]
    (tmp_path / name).write_bytes(pack(data))
    status, peak = peak_mib(tmp_path, "validate", name, "--jobs", "2")
    assert status == 1
    assert peak < 200


def test_a_file_of_many_lines_takes_little_memory(tmp_path: Path) -> None:
    with (tmp_path / "a.jsonl").open("wb") as stream:
        for _ in range(20):
            stream.write((GOOD + b"\n") * 20_000)
    status, peak = peak_mib(tmp_path, "validate", "a.jsonl", "--jobs", "1")
    assert status == 0
    assert peak < 120


SLOW: dict[str, bytes] = {
    "300,000 bad numbers": meta(b"[" + b",".join([b"NaN"] * 300_000) + b"]"),
    "100,000 repeated keys": meta(b"{" + b",".join([b'"a": 1'] * 100_000) + b"}"),
    "200,000 lone surrogates": meta(b'"' + b"\\ud800" * 200_000 + b'"'),
    "10,000 empty objects": HEAD + b'"objects": [' + b",".join([b"{}"] * 10_000) + b"]}",
    "10,000 bad boxes": HEAD
    + b'"objects": ['
    + b",".join(b'{"desc": "x%d", "bbox_2d": [1000, 1000, 1001, 1001]}' % i for i in range(10_000))
    + b"]}",
    "one polygon of 50,000 bad coordinates": HEAD
    + b'"objects": [{"desc": "x", "poly": ['
    + b",".join([b"1000"] * 49_999)
    + b", 1]}]}",
    "10,000 unknown fields": HEAD + b'"objects": [], ' + b",".join(b'"key%d": 1' % i for i in range(10_000)) + b"}",
    "one string of 2,000,000 escapes": meta(b'"' + b"\\u0041" * 2_000_000 + b'"'),
    "1,000,000 brackets in a string": GOOD.replace(b"cat", b"[{" * 500_000),
}


@pytest.mark.parametrize("line", SLOW.values(), ids=SLOW)
def test_no_line_takes_for_ever(line: bytes, start: Start, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(line)
    """A line has at most 12 MB; a reader that takes time in the square of its length has its processor time end."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    child = start("validate", "a.jsonl", "--max-errors", "10", "--jobs", "1", preexec_fn=limit_cpu, **streams)
    out, err = child.communicate(timeout=HANG_S)
    assert child.returncode != -signal.SIGXCPU, f"a line of {len(line) / 1e6:.1f} MB took more than {CPU_S} s"
    assert (child.returncode in (0, 1), err) == (True, b"")
    assert "record" in out.decode()


# -------------------------------------------------------------------------------------------------------------- paths


def unreadable_file(path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads every file")
    path.write_bytes(GOOD)
    path.chmod(0)


def folder(path: Path) -> None:
    path.mkdir()


def dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def looping_link(path: Path) -> None:
    path.symlink_to(path.name)


def own_memory(path: Path) -> None:
    if not Path("/proc/self/mem").exists():
        pytest.skip("this system has no /proc/self/mem")
    path.symlink_to("/proc/self/mem")


@pytest.mark.parametrize("make", [unreadable_file, folder, dangling_link, looping_link, own_memory])
@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "x.jsonl.zst"])
def test_a_path_that_cannot_be_read(name: str, make: Callable[[Path], None], coordspec: Run, tmp_path: Path) -> None:
    make(tmp_path / name)
    (tmp_path / "good.jsonl").write_bytes(GOOD)
    for options in ([], ["--sample", "3"], ["--jobs", "2"]):
        done = coordspec("validate", name, "good.jsonl", *options)
        assert done.status in (1, 2), done
        assert name in done.out + done.err


def test_a_folder_without_contract_files(spawn: Run, tmp_path: Path) -> None:
    (tmp_path / "folder/deep").mkdir(parents=True)
    (tmp_path / "folder/deep/a.json").write_bytes(GOOD)
    message = "error: folder: no .jsonl, .jsonl.gz, .jsonl.zst file in this folder\n"
    assert spawn("validate", "folder") == Done(2, "", message)


def test_a_file_name_that_is_no_text(spawn: Run, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9\x1b[31m.jsonl")
    (tmp_path / name).write_bytes(boxed(b"1, 2, 1000, 4"))
    for form in FORMATS:
        done = spawn("validate", name, "--format", form)
        assert (done.status, done.err) == (1, "")
        assert "\x1b" not in done.out


# ------------------------------------------------------------------------------------------------------------ streams

MANY = (boxed(b"1, 2, 1000, 4") + b"\n") * 2_000


@pytest.mark.terminal
@pytest.mark.parametrize("form", list(FORMATS))
def test_a_reader_that_hangs_up(form: str, start: Start, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_bytes(MANY)
    reading, writing = os.pipe()
    os.close(reading)
    child = start("validate", "bad.jsonl", "--format", form, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    _, err = child.communicate(timeout=HANG_S)
    assert (child.returncode, err) == (1, b"")


@pytest.mark.terminal
def test_head_takes_one_line(start: Start, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_bytes(MANY)
    child = start("validate", "bad.jsonl", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stderr is not None
    assert child.stdout.readline().startswith(b"bad.jsonl:1:")
    child.stdout.close()
    err = child.stderr.read()
    child.stderr.close()
    assert (child.wait(timeout=HANG_S), err) == (1, b"")


def shell(line: str, cwd: Path) -> Done:
    done = subprocess.run(
        ["sh", "-c", line.replace("coordspec", f"{shlex.quote(sys.executable)} -m coordspec_cli")],
        cwd=cwd,
        capture_output=True,
        timeout=HANG_S,
        check=False,
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


STREAMS = [
    ("coordspec validate bad.jsonl >&-", (1, 2)),
    ("coordspec validate bad.jsonl 2>&- >&-", (1, 2)),
    ("coordspec validate nothing.jsonl 2>&-", (2,)),
    ("coordspec validate - <&-", (2,)),
    ("coordspec validate bad.jsonl > /dev/full", (1, 2)),
    ("coordspec validate good.jsonl > /dev/full", (2,)),
    ("coordspec validate good.jsonl --format json > /dev/full", (2,)),
    ("coordspec validate bad.jsonl | true", (0,)),
]


@pytest.mark.terminal
@pytest.mark.parametrize(("line", "statuses"), STREAMS)
def test_streams_that_are_closed_or_full(line: str, statuses: tuple[int, ...], tmp_path: Path) -> None:
    if "/dev/full" in line and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    (tmp_path / "bad.jsonl").write_bytes(MANY)
    (tmp_path / "good.jsonl").write_bytes(GOOD)
    done = shell(line, tmp_path)
    assert done.status in statuses, done
    assert "Traceback" not in done.err
    assert "Exception ignored" not in done.err


def in_group(group: int) -> list[int]:
    """The processes of a group that are not waited for."""
    members = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.getpgid(int(entry.name)) == group:
                members.append(int(entry.name))
        except ProcessLookupError:
            continue
    return members


def reads(group: int, file: Path) -> bool:
    """Whether a process of the group has the file open."""
    for pid in in_group(group):
        with contextlib.suppress(OSError):  # a process that ends while it is looked at
            if any(handle.samefile(file) for handle in Path(f"/proc/{pid}/fd").iterdir() if handle.exists()):
                return True
    return False


@pytest.fixture(scope="module")
def long_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lines that take their time, in more parts than one."""
    path = tmp_path_factory.mktemp("long") / "long.jsonl"
    with path.open("wb") as stream:
        for _ in range(6):
            stream.write((boxed(b"1, 2, 1000, 4")[:-1] + b', "x": 1}\n') * 30_000)
    return path


@pytest.mark.signal
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are found through /proc")
@pytest.mark.parametrize(("jobs", "times"), [(1, 1), (2, 1), (2, 20)])
def test_an_interrupt_ends_the_run(jobs: int, times: int, start: Start, long_file: Path) -> None:
    """A person who sees nothing happen presses Ctrl-C again; and nothing may go on in the background."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    child = start("validate", long_file, "--jobs", jobs, start_new_session=True, **streams)
    until(lambda: reads(child.pid, long_file), "the run reads its file")  # so it is past the start of the interpreter
    for _ in range(times):
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGINT)
            time.sleep(0.05)
    out, err = child.communicate(timeout=HANG_S)
    assert child.returncode == 130, err
    assert (out, err.strip()) == (b"", b"interrupted")
    assert in_group(child.pid) == []


# Workers that take their time before they ignore interrupts.
SLOW_WORKERS = """
import sys, time
from coordspec.validate import run
from coordspec_cli.main import main
ignore = run._ignore_interrupts
run._ignore_interrupts = lambda: (time.sleep(1), ignore())
main()
"""


@pytest.mark.signal
@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")
def test_an_interrupt_that_finds_a_worker_in_its_first_moment(long_file: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", SLOW_WORKERS, "validate", str(long_file), "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    until(lambda: len(in_group(child.pid)) > 1, "there is a worker")
    os.killpg(child.pid, signal.SIGINT)
    out, err = child.communicate(timeout=HANG_S)
    assert (child.returncode, out, err.strip()) == (130, b"", b"interrupted")


# ------------------------------------------------------------------------------------------------------ text of others

SURROGATES = [
    GOOD.replace(b"cat", b"\\ud83d cat"),
    GOOD.replace(b"cat", b" \\ud83d\\u0007"),
    GOOD[:-1] + b', "\\udc00key": 1}',
    GOOD.replace(b"a.png", b"\\udfff/../../a.png"),
    GOOD.replace(b"3, 4", b'"\\ud800", 4'),
    GOOD.replace(b'"desc"', b'"\\ud800": 1, "desc"'),
    meta(b'{"\\ud800": 1, "\\ud800": NaN}'),
    GOOD[:-1] + b', "summary": "\\ud800\\n"}',
]


@pytest.mark.parametrize("form", list(FORMATS))
def test_lone_surrogates_reach_every_report(form: str, coordspec: Run, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(SURROGATES))
    assert coordspec("validate", "a.jsonl", "--format", form, "-o", "report") == Done(1, "", "")
    assert (tmp_path / "report").read_text(encoding="utf-8")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
@pytest.mark.parametrize("form", ["text", "json", "github", "junit"])
def test_lone_surrogates_reach_every_terminal(form: str, encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(SURROGATES))
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    printed = subprocess.run(
        [sys.executable, "-m", "coordspec_cli", "validate", "a.jsonl", "--format", form],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=False,
    )
    assert (printed.returncode, printed.stderr) == (1, b"")
    printed.stdout.decode(encoding)


ESCAPES = "\x1b[31m\x1b]0;title\x07\x9b1m\x7f\u202e\u2066\u2028\x08\r"


@pytest.mark.parametrize("form", list(FORMATS))
def test_control_characters_never_reach_the_terminal(form: str, coordspec: Run, tmp_path: Path) -> None:
    def record(**fields: Any) -> str:
        good = {"images": ["a.png"], "width": 640, "height": 480, "objects": []}
        return json.dumps({**good, **fields}, ensure_ascii=False)

    lines = [
        record(objects=[{"desc": f"cat{ESCAPES}", "bbox_2d": [1, 2, 1000, 4]}]),
        record(images=[f"{ESCAPES}.png"]),
        record(images=[f"/{ESCAPES[5:]}.png", "../\u202e"]),
        record(summary=ESCAPES),
        record(**{ESCAPES: 1}),
        record(objects=[{ESCAPES: 1, "desc": ESCAPES, "bbox_2d": [ESCAPES, 1, 2, 3]}]),
        record(width=ESCAPES),
        "\x1b[31m",
        record().replace("480", f"480{ESCAPES}"),
        record(metadata={}).replace("{}", '{"\\u001b[31m": 1, "\\u001b[31m": NaN}'),
    ]
    raw = ("\n".join(lines)).encode()
    (tmp_path / "a.jsonl").write_bytes(raw)
    (tmp_path / "escaped.jsonl").write_bytes(b"\n".join(json.dumps(json.loads(line)).encode() for line in lines[:7]))
    for name in ("a.jsonl", "escaped.jsonl"):
        done = coordspec("validate", name, "--format", form)
        assert done.status == 1
        shown = done.out + done.err
        assert not [character for character in set(shown) if character != "\n" and not character.isprintable()]


def test_the_limit_of_the_address_space_is_respected(start: Start, tmp_path: Path) -> None:
    """A line just under the limit is read with memory to spare."""
    (tmp_path / "a.jsonl").write_bytes(meta(b'"' + b"x" * ((16 << 20) - 200) + b'"'))
    limit = 2 << 30
    child = start(
        "validate",
        "a.jsonl",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    out, err = child.communicate(timeout=HANG_S)
    assert (child.returncode, err) == (0, b""), out
