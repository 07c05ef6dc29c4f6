"""Batches: how samples lie in them, how a loader hands them out, and every rule that they are held to."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import train_samples
from coordspec.contracts import rule_book
from coordspec.coords import BIN_OF_TOKEN
from coordspec.errors import ContractError, CoordspecError, InputError
from coordspec.losses.rows import IGNORE_INDEX
from coordspec.samples.batch import Batch, BatchGuard, collate
from coordspec.samples.dataset import Batches, Samples, checked
from coordspec.samples.encode import PROMPT
from coordspec.samples.images import ImageLimits
from coordspec.samples.records import Records

LIMITS = ImageLimits(10_000, 100_000)


def packed() -> Batch:
    """Two rows, the first of two samples and the second of one with two images; padding behind the second."""
    first, second, _, fourth = train_samples.four()
    return collate([[first, second], [fourth]], train_samples.PAD)


# ------------------------------------------------------------------------------------------------------------ collate


def test_where_samples_lie() -> None:
    first, second, _, fourth = train_samples.four()
    batch = packed()
    ends = [len(first), len(first) + len(second), len(fourth)]
    assert [(s.row, s.start, s.answer, s.end, s.images) for s in batch.spans] == [
        (0, 0, first.answer, ends[0], 1),
        (0, ends[0], ends[0] + second.answer, ends[1], 1),
        (1, 0, fourth.answer, ends[2], 2),
    ]
    assert [span.place.line for span in batch.spans] == [1, 2, 4]
    for span, sample in zip(batch.spans, (first, second, fourth), strict=True):
        here = (span.row, slice(span.start, span.end))
        for name in ("ids", "labels", "weights", "kinds", "types"):
            assert torch.equal(getattr(batch, f"{name}_BT")[here], getattr(sample, f"{name}_T")), name
        assert torch.equal(batch.positions_4BT[1:][:, *here], sample.positions_3T)
        assert batch.positions_4BT[0][here].tolist() == list(range(len(sample)))
    padding = (1, slice(ends[2], None))
    assert batch.ids_BT[padding].unique().tolist() == [train_samples.PAD]
    assert batch.labels_BT[padding].unique().tolist() == [IGNORE_INDEX]
    assert batch.kinds_BT[padding].unique().tolist() == [PROMPT]
    assert batch.weights_BT[padding].unique().tolist() == [0]
    assert batch.positions_4BT[0, 1].tolist() == list(range(batch.ids_BT.shape[1]))
    assert torch.equal(batch.pixels_ND, torch.cat([s.pixels_ND for s in (first, second, fourth)]))
    assert len(batch.grid_I3) == 4


def test_a_batch_moves_whole() -> None:
    moved = packed().to("meta")
    assert {value.device.type for _, value in moved._tensors()} == {"meta"}
    assert len(list(moved._tensors())) == 8
    assert moved.spans == packed().spans


@pytest.mark.parametrize("rows", [[], [[]]])
def test_nothing_to_collate(rows: list[list[Any]]) -> None:
    with pytest.raises(ValueError, match=r"^a batch has rows, and a row has samples$"):
        collate(rows, 0)


# ------------------------------------------------------------------------------------------------------------- loader


def write(folder: Path, *objects: Sequence[object]) -> str:
    """A file of records about one image of 64 × 64 pixels, with these objects."""
    Image.effect_noise((64, 64), 90).convert("RGB").save(folder / "a.png")
    lines = [{"images": ["a.png"], "width": 64, "height": 64, "objects": found} for found in objects]
    (folder / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(folder / "train.jsonl")


CAT = {"desc": "cat", "bbox_2d": [1, 2, 3, 4]}


def samples_of(path: str, image_root: Path | None = None) -> Samples:
    return Samples(Records.of_files([path], 1 << 20), image_root, LIMITS, train_samples.encoder())


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_hands_out_batches_in_order(tmp_path: Path, workers: int) -> None:
    path = write(tmp_path, [], [CAT], [CAT, {**CAT, "desc": "dog"}])
    rows = [[[2], [0, 1]], [[1]]]
    batches = Batches(samples_of(path), 0)
    loader = DataLoader(batches, batch_size=None, sampler=rows, num_workers=workers)
    found = list(checked(loader))
    assert [[span.place.line for span in batch.spans] for batch in found] == [[3, 1, 2], [2]]
    again = list(checked(loader))
    assert all(torch.equal(a.ids_BT, b.ids_BT) for a, b in zip(found, again, strict=True))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_refused_record_stops_the_loader(tmp_path: Path, workers: int) -> None:
    path = write(tmp_path, [CAT], [{"desc": "cat"}])
    loader = DataLoader(Batches(samples_of(path), 0), batch_size=None, sampler=[[[0]], [[1]]], num_workers=workers)
    batches = checked(loader)
    assert next(batches).spans[0].place.line == 1
    with pytest.raises(ContractError) as raised:
        next(batches)
    assert str(raised.value) == f"{path}:2: objects[0]: the object has no geometry (OBJ004)"


def test_a_file_that_is_gone_stops_the_loader(tmp_path: Path) -> None:
    samples = samples_of(write(tmp_path, [CAT]))
    Path(samples.records.files[0].lines.path).unlink()
    with pytest.raises(InputError, match=r"train\.jsonl: No such file or directory$"):
        list(checked([Batches(samples, 0)[[[0]]]]))


def test_images_are_relative_to_the_file_or_to_a_root(tmp_path: Path) -> None:
    path = write(tmp_path, [CAT])
    assert len(samples_of(path)) == 1
    other = tmp_path / "images"
    other.mkdir()
    with pytest.raises(ContractError, match=r"\(IMG001\)$"):
        samples_of(path, other)[0]
    Image.new("RGB", (64, 64), "red").save(other / "a.png")
    assert not torch.equal(samples_of(path, other)[0].pixels_ND, samples_of(path)[0].pixels_ND)


# -------------------------------------------------------------------------------------------------------------- guard


@pytest.fixture(scope="module")
def guard() -> BatchGuard:
    config = train_samples.qwen3().config
    vocab_size = config.text_config.vocab_size
    merge_size = config.vision_config.spatial_merge_size
    return BatchGuard(train_samples.processor().coords, vocab_size, config.image_token_id, merge_size)


def changed(batch: Batch, name: str, at: tuple[Any, ...], value: object) -> Batch:
    tensor = getattr(batch, name).clone()
    tensor[at] = value
    return replace(batch, **{name: tensor})


def test_sound_batches_pass(guard: BatchGuard) -> None:
    guard.check(packed())
    for sample in train_samples.four():
        guard.check(collate([[sample]], 0))
    samples = train_samples.four()
    guard.check(collate([samples], 0))
    guard.check(collate([[sample] for sample in samples], 0))


SECOND = len(train_samples.four()[0])
"""Where the second sample of the first row starts."""
ANSWER = SECOND + train_samples.four()[1].answer
COORD = train_samples.processor().coords.ids[0]
VOCAB = train_samples.qwen3().config.text_config.vocab_size
FIRST_COORD = int((train_samples.four()[1].kinds_T == 3).nonzero()[0])
FIRST_IMAGE = int(train_samples.four()[1].types_T.nonzero()[0])

Break = Callable[[Batch], Batch]
BREAKS: dict[str, tuple[Break, str]] = {
    "an id that the model has not": (
        lambda b: changed(b, "ids_BT", (0, SECOND + 2), VOCAB),
        f"train.jsonl:2: token 2 has the id {VOCAB}, and the model has {VOCAB} rows (MSK051)",
    ),
    "a negative id": (
        lambda b: changed(b, "ids_BT", (0, 1), -1),
        f"train.jsonl:1: token 1 has the id -1, and the model has {VOCAB} rows (MSK051)",
    ),
    "a label that the model has not": (
        lambda b: changed(b, "labels_BT", (0, ANSWER), VOCAB + 4),
        f"train.jsonl:2: token {ANSWER - SECOND} has the label {VOCAB + 4}, and the model has {VOCAB} rows (MSK051)",
    ),
    "nothing is supervised": (
        lambda b: changed(b, "labels_BT", (), IGNORE_INDEX),
        "train.jsonl:1: no token of the batch that starts with this sample is supervised (MSK052)",
    ),
    "a label on the prompt": (
        lambda b: changed(b, "labels_BT", (0, ANSWER - 1), b.ids_BT[0, ANSWER - 1]),
        f"train.jsonl:2: token {ANSWER - SECOND - 1} of the sample is supervised, and its answer starts at token "
        f"{ANSWER - SECOND} (MSK053)",
    ),
    "a label on padding": (
        lambda b: changed(b, "labels_BT", (1, -1), train_samples.PAD),
        f"train.jsonl:4: token {len(train_samples.four()[0]) + len(train_samples.four()[1]) - 1} of the sample is "
        f"supervised, and its answer starts at token {train_samples.four()[3].answer} (MSK053)",
    ),
    "a label at the start of a sample that is all answer": (
        lambda b: replace(
            changed(b, "labels_BT", (0, SECOND), b.ids_BT[0, SECOND]),
            spans=(b.spans[0], b.spans[1]._replace(answer=SECOND), b.spans[2]),
        ),
        "train.jsonl:2: token 0 of the sample is supervised, and its answer starts at token 0 (MSK053)",
    ),
    "another label": (
        lambda b: changed(b, "labels_BT", (0, ANSWER), 5),
        f"train.jsonl:2: token {ANSWER - SECOND} of the sample has the label 5 and the id "
        f"{int(train_samples.four()[1].ids_T[ANSWER - SECOND])} (MSK054)",
    ),
    "a coordinate whose label is none": (
        lambda b: changed(b, "labels_BT", (0, SECOND + FIRST_COORD), 5),
        f"train.jsonl:2: token {FIRST_COORD} of the sample is supervised as coord, and its label 5 is no coord token "
        "(MSK055)",
    ),
    "a coordinate whose id is none": (
        lambda b: changed(b, "ids_BT", (0, SECOND + FIRST_COORD), 5),
        f"train.jsonl:2: token {FIRST_COORD} of the sample is supervised as coord, and its id 5 is no coord token "
        "(MSK055)",
    ),
    "a coord token as text": (
        lambda b: changed(changed(b, "ids_BT", (0, ANSWER), COORD), "labels_BT", (0, ANSWER), COORD),
        f"train.jsonl:2: token {ANSWER - SECOND} of the sample is supervised as open, and its id {COORD} is a coord "
        "token (MSK055)",
    ),
    "an image token less": (
        lambda b: changed(changed(b, "ids_BT", (0, SECOND + FIRST_IMAGE), 5), "types_BT", (0, SECOND + FIRST_IMAGE), 0),
        "train.jsonl:2: 23 image tokens, and the images of the sample make 24 (MSK056)",
    ),
    "patches that belong to no image": (
        lambda b: replace(b, pixels_ND=b.pixels_ND[:-1]),
        f"train.jsonl:1: {len(packed().pixels_ND) - 1} patches in the batch, and the images of all its samples make "
        f"{len(packed().pixels_ND)} (MSK056)",
    ),
    "an image token of type text": (
        lambda b: changed(b, "types_BT", (0, SECOND + FIRST_IMAGE), 0),
        f"train.jsonl:2: token {FIRST_IMAGE} of the sample is an image token of type text (MSK057)",
    ),
    "text of type image": (
        lambda b: changed(b, "types_BT", (0, 0), 1),
        "train.jsonl:1: token 0 of the sample is of type image and no image token (MSK057)",
    ),
    "positions that go on": (
        lambda b: changed(b, "positions_4BT", (0, 0), torch.arange(b.ids_BT.shape[1])),
        f"train.jsonl:2: token 0 of the sample has the positions [{SECOND}, 0, 0, 0] (own, t, h, w); the first has to "
        "be 0, and no other is negative or above it (MSK058)",
    ),
    "a rope position that goes on": (
        lambda b: changed(b, "positions_4BT", (2, 0, SECOND), 7),
        "train.jsonl:2: token 0 of the sample has the positions [0, 0, 7, 0] (own, t, h, w); the first has to be 0, "
        "and no other is negative or above it (MSK058)",
    ),
    "a negative position": (
        lambda b: changed(b, "positions_4BT", (3, 1, 5), -1),
        "train.jsonl:4: token 5 of the sample has the positions [5, 4, 4, -1] (own, t, h, w); the first has to be 5, "
        "and no other is negative or above it (MSK058)",
    ),
}


@pytest.mark.parametrize("what", BREAKS)
def test_every_rule_is_seen_failing(guard: BatchGuard, what: str) -> None:
    broken, message = BREAKS[what]
    with pytest.raises(ContractError) as raised:
        guard.check(broken(packed()))
    assert str(raised.value) == message
    assert isinstance(raised.value, CoordspecError)


def test_no_rule_is_left_out() -> None:
    found = {message.rsplit("(", 1)[1][:-1] for _, message in BREAKS.values()}
    names = {rule.code for rule in rule_book().by_name.values() if rule.spec == "training data, batches"}
    assert found == names


def test_several_rules_at_once(guard: BatchGuard) -> None:
    broken = replace(changed(packed(), "labels_BT", (0, 0), 5), pixels_ND=packed().pixels_ND[:-1])
    with pytest.raises(ContractError) as raised:
        guard.check(broken)
    assert [issue.code for issue in raised.value.issues] == ["MSK053", "MSK054", "MSK056"]


def test_a_coordinate_may_be_corrected(guard: BatchGuard) -> None:
    """What the model wrote itself stands in the ids, the ground truth in the labels."""
    guard.check(changed(packed(), "labels_BT", (0, SECOND + FIRST_COORD), COORD + 17))


def test_labels_of_a_sample() -> None:
    """All of the answer is supervised in Stage-1, coordinates without cross entropy."""
    tokenizer = train_samples.processor().tokenizer
    for sample in train_samples.four():
        assert (sample.labels_T[: sample.answer] == IGNORE_INDEX).all()
        assert torch.equal(sample.labels_T[sample.answer :], sample.ids_T[sample.answer :])
        tokens = tokenizer.convert_ids_to_tokens(sample.ids_T.tolist())
        coords = [token in BIN_OF_TOKEN for token in tokens]
        assert (sample.kinds_T == 3).tolist() == coords
        assert sample.weights_T.tolist() == [
            float(number >= sample.answer and not coord) for number, coord in enumerate(coords)
        ]
