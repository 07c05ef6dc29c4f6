"""The token table: bytes of ids, and encoding that keeps every byte."""

from __future__ import annotations

import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from coordspec.errors import InputError
from coordspec.record import DetObject
from coordspec.rollout.tokens import TokenTable, token_table
from coordspec.target import ground_truth_target
from qwen_tokenizer import TOKENIZERS, ids_of, table

NAMES = pytest.mark.parametrize("name", TOKENIZERS)


@NAMES
@given(st.text())
def test_encoding_keeps_every_byte(name: str, text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    assert table(name).join(table(name).encode_bytes(data)) == data


@NAMES
@given(st.binary())
def test_bytes_that_are_no_text_are_kept_too(name: str, data: bytes) -> None:
    assert table(name).join(table(name).encode_bytes(data)) == data


@NAMES
def test_text_of_added_tokens_stays_text(name: str) -> None:
    tables = table(name)
    ids = tables.encode("a <|im_end|> <|coord_5|>")
    assert tables.end_id not in ids
    assert tables.coords.ids[5] not in ids


@NAMES
def test_ids_are_those_of_the_tokenizer(name: str) -> None:
    text = '{"object_1": {"desc": "café 碗 🐈", "bbox_2d": ["<|coord_1|>", "<|coord_20|>"]}}<|im_end|>'
    assert ids_of(text, name) == TOKENIZERS[name]().encode(text, add_special_tokens=False).ids


def test_known_ids_of_qwen() -> None:
    tables = table("qwen")
    assert tables.end_id == 151645
    assert tables.bytes_of[3417] == b"}}"
    assert tables.lengths[3417] == 2
    assert tables.bin_of[tables.coords.ids[999]] == 999
    assert (tables.bin_of >= 0).sum() == 1000


def test_qwen_composes_characters() -> None:
    assert table("qwen").normalise("cafe\u0301") == "café"
    assert table("tiny").normalise("cafe\u0301") == "cafe\u0301"
    encoded = table("qwen").encode("e\u0301")
    assert table("qwen").text(encoded) == "e\u0301"


@NAMES
def test_what_is_no_character_is_shown_by_its_code(name: str) -> None:
    assert table(name).text(table(name).encode_bytes("碗".encode()[:2])) == "\\xe7\\xa2"


def test_a_table_may_go_to_another_process() -> None:
    copied = pickle.loads(pickle.dumps(table("tiny")))
    assert copied.fingerprint == table("tiny").fingerprint != table("fused").fingerprint
    assert copied.encode("black cat") == table("tiny").encode("black cat")


def test_a_tokenizer_of_transformers_is_taken_too() -> None:
    fast = PreTrainedTokenizerFast(tokenizer_object=TOKENIZERS["tiny"]())
    objects = [DetObject("cat", bbox_2d=(1, 2, 3, 4))]
    assert ground_truth_target(objects, fast) == ground_truth_target(objects, table("tiny"))
    assert token_table(table("tiny")) is table("tiny")


def test_the_memory_of_encoded_pieces_is_bounded() -> None:
    tables = TokenTable(TOKENIZERS["tiny"]())
    for number in range(5000):
        tables.encode(str(number))
    assert len(tables._pieces) <= 1 << 12


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([5, 151_900_000], "token 1: the id 151900000 is none of this tokenizer, which has "),
        ([-1], "token 0: the id -1 is none of this tokenizer"),
    ],
)
def test_unknown_ids(ids: list[int], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        table("tiny").check(ids)


@pytest.mark.parametrize("ids", [[1.5], [[1]], ["a"], [True]])
def test_what_is_no_ids(ids: list[object]) -> None:
    with pytest.raises(ValueError, match="token ids are a flat sequence of integers"):
        table("tiny").check(ids)  # type: ignore[arg-type]
