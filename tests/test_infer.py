"""Prediction files of a checkpoint: what is in them, what is refused, and how a run goes on."""

from __future__ import annotations

import fcntl
import json
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from answer_samples import Told, entry, ids_of, payload, table
from coordspec.config.sections import Template
from coordspec.config.training import Decoding
from coordspec.coords import TOKENS
from coordspec.errors import ContractError, InputError
from coordspec.generate import Answer, CoordStat, Ended
from coordspec.infer.answers import RecordAnswers, predict, records_of
from coordspec.infer.checkpoint import Checkpoint, open_checkpoint
from coordspec.infer.options import PROMPT_SETTINGS, InferOptions, Opening, RecordSource
from coordspec.infer.run import PredictionOutput, infer, open_output
from coordspec.model.checkpoint import PREPROCESS
from coordspec.model.tiny import write_tiny_model
from coordspec.outcomes import AnswerCounts
from coordspec.predictions.files import read_predictions
from coordspec.predictions.run import Run, read_run, run_path
from coordspec.record import Record
from coordspec.samples.fingerprint import fingerprint
from coordspec.shapes.dataset import DatasetSpec, write_dataset

MAX_LINE = 1 << 20
RECORDS = 7
KNOWN = Opening({})
UNKNOWN = Opening({}, unknown_preprocessing=True)
ANSWER = payload(entry(1))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with its fingerprint, ``model``, one without, ``bare``, and ``data/val.jsonl`` with images."""
    folder = tmp_path_factory.mktemp("infer")
    write_tiny_model(folder / "bare")
    write_dataset(folder / "data", DatasetSpec({"val": RECORDS}))
    shutil.copytree(folder / "bare", folder / "model")
    write_fingerprint(folder / "model")
    return folder


def write_fingerprint(model: Path, **other: Any) -> None:
    """Give a checkpoint the fingerprint that it has, with these facts instead."""
    opened = open_checkpoint(model, UNKNOWN)
    saved = {**fingerprint(opened.processor, opened.template), **other}
    (model / PREPROCESS).write_text(json.dumps(saved))


@pytest.fixture(scope="module")
def checkpoint(home: Path) -> Checkpoint:
    return open_checkpoint(home / "model", Opening({}))


@pytest.fixture
def source(home: Path) -> RecordSource:
    return RecordSource(str(home / "data/val.jsonl"), MAX_LINE)


def texts(*special: str) -> list[str]:
    return [*special, *[ANSWER] * (RECORDS - len(special))]


OPTIONS = InferOptions(batch_size=2)


# ------------------------------------------------------------------------------------------------------- what is in it


def test_a_line_for_each_record(checkpoint: Checkpoint, source: RecordSource, tmp_path: Path) -> None:
    broken = [
        ANSWER.replace('"cat"', '" "'),  # an entry that is dropped
        ANSWER[:-10],  # it breaks off
        "no JSON",
        "{}",
    ]
    generator = Told(texts(*broken))
    heard: list[tuple[str, int, int | None]] = []
    out = tmp_path / "preds.jsonl"
    summary = infer(checkpoint, source, out, OPTIONS, lambda *told: heard.append(told), generator=generator)
    file = read_predictions(str(out), MAX_LINE)
    found = sorted(file.predictions, key=lambda item: item.index)
    assert [item.index for item in found] == list(range(RECORDS))
    assert [item.text for item in found] == generator.texts
    assert [len(item.objects) for item in found] == [0, 0, 0, 0, 1, 1, 1]
    assert [[entry.reason for entry in item.dropped] for item in found][:2] == [["missing_desc"], []]
    assert [item.truncated for item in found] == [False, True, False, False, False, False, False]
    assert [item.fallback for item in found][2:4] == ["no_opening_brace", None]
    assert [item.tokens for item in found] == [len(ids_of(text)) for text in generator.texts]
    assert file.run is not None
    assert {item.run for item in found} == {file.run.id}
    assert heard == [("answering", done, RECORDS) for done in (0, 0, 2, 4, 6, 7)]
    assert summary.counts == AnswerCounts(answers=7, parsed=6, whole=4, truncated=1, valid=3, dropped=1)
    assert summary.ended == {Ended.END: RECORDS}


def test_a_line_names_its_record(checkpoint: Checkpoint, source: RecordSource, tmp_path: Path) -> None:
    infer(checkpoint, source, tmp_path / "p.jsonl", OPTIONS, generator=Told(texts()))
    records = records_of(source)
    for item in read_predictions(str(tmp_path / "p.jsonl"), MAX_LINE).predictions:
        record = records[item.index]
        assert (item.images, item.width, item.height) == (record.images, record.width, record.height)


def score_of(text: str, logprobs: dict[str, float]) -> Any:
    """The prediction of an answer whose tokens that spell these texts have these log-probabilities, all others -9."""
    ids = ids_of(text)
    given = {ids_of(key, end=False)[0]: value for key, value in logprobs.items()}
    values = tuple(given.get(token, -9.0) for token in ids)
    coords = {at: CoordStat(float(at), 1.0, (0, 1, 2, 3, 4, 5)) for at, i in enumerate(ids) if table().bin_of[i] >= 0}
    answer = Answer(ids, Ended.END, values, coords)
    return predict(0, Record(("a.png",), 8, 8), answer, table(), "run").objects


def test_confidence_is_the_geometric_mean_of_its_parts() -> None:
    coords = {TOKENS[k]: -0.1 * k for k in (1, 2, 3, 4)}
    (item,) = score_of(ANSWER.replace("cat", "é"), coords)
    assert item.score_coord == pytest.approx(math.exp(-0.25))
    assert item.score_desc == pytest.approx(math.exp(-9))
    assert item.score == pytest.approx(math.sqrt(item.score_coord * item.score_desc))


def test_only_tokens_of_the_desc_make_its_confidence() -> None:
    text = ANSWER.replace("cat", "QZ")
    ids = ids_of(text)
    spelt = [table().bytes_of[token] for token in ids]
    at = next(i for i in range(len(spelt)) if b"Q" in spelt[i])
    last = next(i for i in range(len(spelt)) if b"Z" in spelt[i])
    values = tuple(-0.5 if at <= i <= last else -7.0 for i in range(len(ids)))
    item = predict(0, Record(("a.png",), 8, 8), Answer(ids, Ended.END, values), table(), "run").objects[0]
    assert item.score_desc == pytest.approx(math.exp(-0.5))
    assert item.score_coord == pytest.approx(math.exp(-7))
    assert item.coords is None


def test_every_coordinate_has_its_distribution() -> None:
    (item,) = score_of(ANSWER, {})
    positions = [i for i, token in enumerate(ids_of(ANSWER)) if table().bin_of[token] >= 0]
    assert item.coords.expected == tuple(map(float, positions))
    assert item.coords.quantiles == ((0, 1, 2, 3, 4, 5),) * 4


# --------------------------------------------------------------------------------------------------- the model answers


def test_the_same_seed_writes_the_same_file(checkpoint: Checkpoint, source: RecordSource, tmp_path: Path) -> None:
    drawn = replace(OPTIONS, decoding=Decoding(do_sample=True, max_new_tokens=5))
    for name, options in (
        ("a", drawn),
        ("b", drawn),
        ("c", replace(drawn, seed=1)),
        ("d", replace(drawn, batch_size=7)),
    ):
        infer(checkpoint, source, tmp_path / f"{name}.jsonl", options)
    a, b, c = ((tmp_path / f"{name}.jsonl").read_bytes() for name in "abc")
    assert a == b
    assert [json.loads(line)["text"] for line in a.splitlines()] != [
        json.loads(line)["text"] for line in c.splitlines()
    ]
    by_index = [
        {item.index: item.text for item in read_predictions(str(tmp_path / f"{name}.jsonl"), MAX_LINE).predictions}
        for name in "ad"
    ]
    assert by_index[0] == by_index[1], "what is drawn for a record does not depend on its batch"


def test_records_of_similar_length_are_answered_together(checkpoint: Checkpoint, tmp_path: Path) -> None:
    sides = [32, 96, 32, 96, 32]
    lines = []
    for i, side in enumerate(sides):
        Image.new("RGB", (side, side)).save(tmp_path / f"{i}.png")
        lines.append(json.dumps({"images": [f"{i}.png"], "width": side, "height": side, "objects": []}))
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    answers = RecordAnswers(checkpoint, RecordSource(str(tmp_path / "a.jsonl"), MAX_LINE), OPTIONS)
    assert list(answers.batches()) == [[0, 2], [4, 1], [3]]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('{"images": ["x.png"], "width": 9, "height": 9}', "REC"),
        ('{"images": ["missing.png"], "width": 64, "height": 64, "objects": []}', "IMG"),
        ('{"images": ["x.png"], "width": 9000, "height": 1, "objects": []}', "IMG"),
    ],
)
def test_data_is_held_to_its_rules(checkpoint: Checkpoint, tmp_path: Path, line: str, code: str) -> None:
    (tmp_path / "a.jsonl").write_text(line + "\n")
    with pytest.raises(ContractError) as caught:
        infer(checkpoint, RecordSource(str(tmp_path / "a.jsonl"), MAX_LINE), tmp_path / "p.jsonl", OPTIONS)
    assert caught.value.issues[0].code.startswith(code)
    assert caught.value.issues[0].place.line == 1


def test_every_record_is_checked_before_the_first_answer(checkpoint: Checkpoint, home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "data", tmp_path / "data")
    with (tmp_path / "data/val.jsonl").open("a") as stream:
        stream.write("{}\n")
    generator = Told(texts())
    with pytest.raises(ContractError):
        infer(
            checkpoint,
            RecordSource(str(tmp_path / "data/val.jsonl"), MAX_LINE),
            tmp_path / "p.jsonl",
            OPTIONS,
            generator=generator,
        )
    assert generator.asked == []
    assert not (tmp_path / "p.jsonl").exists()


# ------------------------------------------------------------------------------------------------------------ resuming


def test_an_interrupted_run_ends_as_an_unbroken_one(
    checkpoint: Checkpoint, source: RecordSource, tmp_path: Path
) -> None:
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    infer(checkpoint, source, whole, OPTIONS, generator=Told(texts()))
    with pytest.raises(KeyboardInterrupt):
        infer(checkpoint, source, out, OPTIONS, generator=Told(texts(), stop_after=4))
    assert len(out.read_bytes().splitlines()) == 4
    again = Told(texts())
    summary = infer(checkpoint, source, out, OPTIONS, generator=again)
    assert (summary.before, summary.counts.valid, again.asked) == (4, 3, [4, 5, 6])
    assert out.read_bytes() == whole.read_bytes()
    assert infer(checkpoint, source, out, OPTIONS, generator=Told([])).before == RECORDS
    assert out.read_bytes() == whole.read_bytes()


def test_killed_at_any_byte(checkpoint: Checkpoint, source: RecordSource, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    infer(checkpoint, source, out, OPTIONS, generator=Told(texts()))
    whole = out.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for size in (0, 1, ends[0] - 1, ends[0], ends[0] + 1, ends[2] - 5, ends[3], len(whole) - 1):
        out.write_bytes(whole[:size])
        summary = infer(checkpoint, source, out, OPTIONS, generator=Told(texts()))
        assert out.read_bytes() == whole
        assert summary.cut_bytes == size - max([0, *(end for end in ends if end <= size)])


def test_a_batch_that_was_written_in_part_is_generated_as_a_whole(
    checkpoint: Checkpoint, source: RecordSource, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    infer(checkpoint, source, out, OPTIONS, generator=Told(texts()))
    lines = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(b"".join(lines[:3]))
    again = Told(texts())
    infer(checkpoint, source, out, OPTIONS, generator=again)
    assert again.asked == [2, 3, 4, 5, 6]
    assert out.read_bytes() == b"".join(lines)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 3}, "seed was 0 and is 3"),
        ({"decoding": Decoding(temperature=2)}, "decoding.temperature was 1.0 and is 2.0"),
    ],
    ids=str,
)
def test_a_file_of_another_run_is_refused(
    checkpoint: Checkpoint, source: RecordSource, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    out = tmp_path / "out.jsonl"
    infer(checkpoint, source, out, OPTIONS, generator=Told(texts()))
    before = out.read_bytes()
    other = replace(OPTIONS, **change)
    with pytest.raises(InputError) as caught:
        infer(checkpoint, source, out, other, generator=Told(texts()))
    assert caught.value.reason == (
        f"is of another run: {message}; name another output, or pass --overwrite to start over"
    )
    assert out.read_bytes() == before
    infer(checkpoint, source, out, other, generator=Told(texts()), overwrite=True)
    assert len(read_predictions(str(out), MAX_LINE).predictions) == RECORDS


def test_what_makes_another_run(checkpoint: Checkpoint, source: RecordSource, home: Path, tmp_path: Path) -> None:
    from coordspec.infer.run import describe

    first = describe(checkpoint, source, OPTIONS)
    assert describe(checkpoint, source, replace(OPTIONS, batch_size=5)).id == first.id
    assert describe(checkpoint, replace(source, max_records=3), OPTIONS).id != first.id
    shutil.copytree(home / "data", tmp_path / "data")
    moved = replace(source, path=str(tmp_path / "data/val.jsonl"))
    assert describe(checkpoint, moved, OPTIONS).id == first.id
    with (tmp_path / "data/val.jsonl").open("a") as stream:
        stream.write("\n")
    assert describe(checkpoint, moved, OPTIONS).settings["data_sha256"] != first.settings["data_sha256"]
    shutil.copytree(home / "model", tmp_path / "model")
    same = replace(checkpoint, path=tmp_path / "model")
    assert describe(same, source, OPTIONS).settings == first.settings
    weights = tmp_path / "model/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert describe(same, source, OPTIONS).settings["weights_sha256"] != first.settings["weights_sha256"]


def test_a_checkpoint_that_was_moved_goes_on(
    checkpoint: Checkpoint, source: RecordSource, home: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        infer(checkpoint, source, out, OPTIONS, generator=Told(texts(), stop_after=2))
    shutil.copytree(home / "model", tmp_path / "moved")
    infer(replace(checkpoint, path=tmp_path / "moved"), source, out, OPTIONS, generator=Told(texts()))
    assert len(read_predictions(str(out), MAX_LINE).predictions) == RECORDS


RUN = Run("c", "f", 0, {})


def opened(out: Path, *, overwrite: bool = False, sources: Sequence[str] = ()) -> Any:
    return open_output(out, RUN, overwrite=overwrite, sources=sources, max_line_bytes=MAX_LINE)


@pytest.fixture
def began(tmp_path: Path) -> Iterator[tuple[Path, PredictionOutput]]:
    with opened(tmp_path / "out.jsonl") as output:
        yield tmp_path / "out.jsonl", output


def test_two_processes_do_not_share_a_file(began: tuple[Path, PredictionOutput]) -> None:
    with pytest.raises(InputError, match="is being written by another process"), opened(began[0]):
        pass


def test_the_lock_goes_with_its_process(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with opened(out):
        pass
    with out.open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("name", ["-", "p.jsonl.gz", "p.jsonl.zst"])
def test_outputs_that_could_not_be_continued(name: str) -> None:
    with pytest.raises(InputError, match=r"name a \.jsonl file"), opened(Path(name)):
        pass


def test_a_file_of_nobody_is_not_touched(tmp_path: Path) -> None:
    out = tmp_path / "mine.jsonl"
    out.write_text("mine")
    with pytest.raises(InputError, match="exists already"), opened(out):
        pass
    assert out.read_text() == "mine"
    assert not run_path(str(out)).exists()
    with pytest.raises(InputError, match="is being read"), opened(out, overwrite=True, sources=[str(out)]):
        pass
    assert out.read_text() == "mine"
    with opened(out, overwrite=True):
        assert out.read_bytes() == b""
    assert read_run(str(out)) == RUN


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([(0, "other")], ":1: is of the run other; somebody else has written to this file"),
        ([(0, None), (1, None), (0, None)], ":3: predicts record 0 again; somebody else has written to this file"),
    ],
)
def test_lines_of_somebody_else(tmp_path: Path, lines: list[tuple[int, str | None]], message: str) -> None:
    out = tmp_path / "out.jsonl"
    with opened(out) as output:
        one = predict(0, Record(("a.png",), 8, 8), Answer(ids_of("{}"), Ended.END, (-1.0,) * 2), table(), "x")
        output.write([replace(one, index=index, run=name or RUN.id) for index, name in lines])
    with pytest.raises(InputError) as caught, opened(out):
        pass
    assert str(caught.value).removeprefix(str(out)) == message


def test_a_broken_line_before_the_last(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with opened(out):
        pass
    out.write_text('{"half\n{}\n')
    with pytest.raises(ContractError), opened(out):
        pass


def test_a_broken_run_file(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    run_path(str(out)).write_text("{}")
    with pytest.raises(InputError, match="pass --overwrite to start over"), opened(out):
        pass


# --------------------------------------------------------------------------------------------------------- checkpoints


def refused(path: Path, opening: Opening = KNOWN) -> str:
    with pytest.raises(InputError) as caught:
        open_checkpoint(path, opening)
    return str(caught.value).removeprefix(f"{path}: ")


def test_a_checkpoint_that_would_see_something_else(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "bare", tmp_path / "m")
    write_fingerprint(tmp_path / "m", resample=2, chat_template_sha256="0")
    message = refused(tmp_path / "m")
    assert message.startswith("would not be shown what it was trained on: ")
    assert "resample was 2 and is 3" in message
    assert 'chat_template_sha256 was "0" and is' in message
    assert "coord_ids" not in message


def test_settings_of_prompts_are_in_the_fingerprint_under_their_own_names(checkpoint: Checkpoint) -> None:
    assert set(PROMPT_SETTINGS) == {*Template.model_fields} - {"max_length"}
    assert {*PROMPT_SETTINGS} <= checkpoint.preprocess.keys()


def test_prompts_and_limits_are_those_of_the_training(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "bare", tmp_path / "m")
    given = {"system_prompt": "Be exact.", "user_prompt": "Boxes?", "max_pixels": 4096}
    write_fingerprint(tmp_path / "m", **given)
    found = open_checkpoint(tmp_path / "m", Opening({}))
    assert (found.template.system_prompt, found.template.user_prompt) == ("Be exact.", "Boxes?")
    assert found.processor.image_processor.size["longest_edge"] == 4096
    assert found.preprocess == json.loads((tmp_path / "m" / PREPROCESS).read_text())


def test_another_prompt_is_refused(home: Path) -> None:
    assert 'user_prompt was "Detect' in refused(home / "model", Opening({"user_prompt": "Boxes?"}))


def test_a_checkpoint_that_says_nothing(home: Path) -> None:
    assert refused(home / "bare") == (
        "has no preprocess.json, so nobody can tell if images and prompts would be those that it was trained on; pass "
        "--unknown-preprocessing to take it as it is"
    )
    found = open_checkpoint(home / "bare", replace(UNKNOWN, template={"user_prompt": "Boxes?", "max_pixels": 4096}))
    assert (found.template.user_prompt, found.preprocess["max_pixels"]) == ("Boxes?", 4096)


def test_the_option_forgives_nothing_that_is_known(home: Path) -> None:
    opening = replace(UNKNOWN, template={"user_prompt": "Boxes?"})
    assert "user_prompt was" in refused(home / "model", opening)


@pytest.mark.parametrize("text", ["[]", "{", '{"user_prompt": 3}', '{"user_prompt": ""}'])
def test_a_broken_fingerprint(home: Path, tmp_path: Path, text: str) -> None:
    shutil.copytree(home / "bare", tmp_path / "m")
    (tmp_path / "m" / PREPROCESS).write_text(text)
    refused(tmp_path / "m")
    refused(tmp_path / "m", UNKNOWN)


def test_folders_that_are_none(home: Path, tmp_path: Path) -> None:
    assert "is no folder" in refused(tmp_path / "nothing", UNKNOWN)
    (tmp_path / "adapter_config.json").write_text("{}")
    assert refused(tmp_path) == "holds an adapter and no whole model; merge it first, with `coordspec merge-lora`"
    with pytest.raises(InputError, match=r"^abacus: is no device that can be used here"):
        open_checkpoint(home / "model", Opening({}, device="abacus"))


# ------------------------------------------------------------------------------------------------------------ commands


def test_the_command(home: Path, tmp_path: Path, coordspec: Callable[..., Any]) -> None:
    out = tmp_path / "p.jsonl"
    words = ["infer", home / "model", home / "data/val.jsonl", "-o", out, "--max-new-tokens", 3, "--max-records", 3]
    done = coordspec(*words)
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        f"{out}: 3 records",
        "  0 objects, 0 entries dropped",
        "  0 truncated, 3 unreadable; ended by: max_new_tokens 3",
    ]
    assert coordspec(*words).out == f"{out}: 3 records, 3 of them from before\n"
    refused = coordspec(*words, "--do-sample", "--top-k", 5, "--top-p", 0.9)
    assert refused.status == 2
    for change in ("decoding.do_sample was false and is true", "decoding.top_p was 1.0 and is 0.9"):
        assert change in refused.err
    out.write_bytes(out.read_bytes()[:-1])
    note, first, *_ = coordspec(*words).out.splitlines()
    assert note.startswith("note: the last line was only half there and was cut off (")
    assert first == f"{out}: 3 records, 2 of them from before"


def test_the_command_refuses_names_before_it_loads_anything(coordspec: Callable[..., Any]) -> None:
    assert coordspec("infer", "nothing", "nothing", "-o", "a.jsonl.gz") == (
        2,
        "",
        "error: a.jsonl.gz: is a compressed file, which an interrupted run could not continue; name a .jsonl file\n",
    )
