"""``CoordVocab``: the coord tokens of a tokenizer, and the tokenizers that are refused."""

from __future__ import annotations

import pickle

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from coordspec.coords import BINS, TOKENS, CoordVocab
from qwen_tokenizer import qwen

ADD = "add the coord tokens with `coordspec expand-vocab`"
REPLACE = "start from a tokenizer without coord tokens and add them with `coordspec expand-vocab`"


def bytes_only(vocab=()):
    """A BPE tokenizer whose first ids are the 256 bytes, then ``vocab``, with nothing merged."""
    words = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *vocab]
    made = Tokenizer(models.BPE(vocab={word: k for k, word in enumerate(words)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made


def with_tokens(*tokens):
    made = bytes_only()
    made.add_tokens(list(tokens))
    return made


def words(pairs):
    """A tokenizer that reads a whole text as one word of these."""
    return Tokenizer(models.WordLevel({"?": BINS, **pairs}, unk_token="?"))


# --------------------------------------------------------------------------------------------------------- accepted


def test_ids_may_stand_anywhere_and_in_any_order():
    others = [f"<|other_{k}|>" for k in range(BINS)]
    mixed = [token for pair in zip(reversed(TOKENS), others, strict=True) for token in pair]
    vocab = CoordVocab.from_tokenizer(with_tokens(*mixed))
    assert vocab.ids == tuple(256 + 2 * (999 - k) for k in range(BINS))
    assert vocab.bin_of_id[256] == 999


@pytest.mark.parametrize("kind", ["tokens", "special_tokens"])
def test_special_or_not(kind):
    made = bytes_only()
    made.add_special_tokens(list(TOKENS)) if kind == "special_tokens" else made.add_tokens(list(TOKENS))
    assert CoordVocab.from_tokenizer(made).ids[5] == 261


def test_a_fast_tokenizer_of_transformers():
    inner = with_tokens(*TOKENS)
    assert CoordVocab.from_tokenizer(PreTrainedTokenizerFast(tokenizer_object=inner)) == CoordVocab.from_tokenizer(
        inner
    )


def test_normalised_text():
    made = bytes_only()
    made.normalizer = normalizers.NFC()
    made.add_tokens(list(TOKENS))
    assert CoordVocab.from_tokenizer(made).ids[0] == 256


def test_the_real_vocabulary_of_qwen():
    vocab = CoordVocab.from_tokenizer(qwen())
    first = vocab.ids[0]
    assert first > 151_643
    assert vocab.ids == tuple(range(first, first + BINS))
    coords = '["<|coord_0|>", "<|coord_42|>", "<|coord_7|>", "<|coord_999|>"]'
    ids = qwen().encode(f'{{"object_1": {{"desc": "Kätzchen 🐈", "bbox_2d": {coords}}}}}').ids
    assert [vocab.bin_of_id[i] for i in ids if i in vocab.bin_of_id] == [0, 42, 7, 999]


def test_a_value_like_any_other():
    first, second = CoordVocab(tuple(range(10, 1010))), CoordVocab(tuple(range(10, 1010)))
    assert first == second
    assert hash(first) == hash(second)
    assert first != CoordVocab(tuple(range(1000)))
    assert pickle.loads(pickle.dumps(first)).bin_of_id == first.bin_of_id
    assert (first.bin_of_id[10], first.bin_of_id[1009], first.bin_of_id.get(9)) == (0, 999, None)


# ---------------------------------------------------------------------------------------------------------- refused

REFUSED = [
    (
        "many are missing",
        with_tokens(*TOKENS[:5], *TOKENS[105:]),
        "the vocabulary lacks 100 of the 1000 coord tokens, <|coord_5|>, <|coord_6|>, <|coord_7|>, …: "
        f"<|coord_5|> is read as 11 tokens; {ADD}",
    ),
    (
        "missing, with a token for what is unknown",
        words({token: k for k, token in enumerate(TOKENS[1:], 1)}),
        f"the vocabulary lacks 1 of the 1000 coord tokens, <|coord_0|>: <|coord_0|> is read as 1 token; {ADD}",
    ),
    (
        "zero-padded names are others",
        with_tokens(*(f"<|coord_{k:03}|>" for k in range(BINS))),
        "the vocabulary lacks 100 of the 1000 coord tokens, <|coord_0|>, <|coord_1|>, <|coord_2|>, …: "
        f"<|coord_0|> is read as 11 tokens; {ADD}",
    ),
    (
        "split: in the vocabulary, but no added tokens",
        bytes_only(TOKENS),
        "the vocabulary has all 1000 coord tokens, but 1000 of them not as added tokens, "
        f"<|coord_0|>, <|coord_1|>, <|coord_2|>, …: <|coord_0|> is read as 11 tokens; {ADD}",
    ),
    (
        "two with one id",
        words({token: 2 if k == 1 else k + 1 if k == 0 else k for k, token in enumerate(TOKENS)}),
        "<|coord_1|> and <|coord_2|> have the same id 2, so that their bins cannot be told apart; " + REPLACE,
    ),
]


@pytest.mark.parametrize(("tokenizer", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refused(tokenizer, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole text is compared)
        CoordVocab.from_tokenizer(tokenizer)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("odd", "where"),
    [
        (AddedToken("<|coord_3|>", lstrip=True, normalized=False), "'a <|coord_3|>aa'"),
        (AddedToken("<|coord_3|>", rstrip=True, normalized=False), "'aa<|coord_3|> a'"),
        (AddedToken("<|coord_3|>", single_word=True, normalized=False), "'a <|coord_3|>aa'"),
        (AddedToken("<|coord_3|>"), """'["<|coord_3|>",'"""),
    ],
    ids=["lstrip", "rstrip", "single_word", "inside another"],
)
def test_a_token_that_depends_on_what_stands_beside_it(odd, where):
    made = bytes_only()
    made.add_tokens([odd if token == odd.content else token for token in TOKENS])
    if '"' in where:
        made.add_tokens(['"<|coord_3|>"'])
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        CoordVocab.from_tokenizer(made)
    assert str(caught.value) == (
        f"<|coord_3|> is one token when it stands alone, but not in {where}: coord tokens are added without lstrip, "
        f"rstrip and single_word, and no other added token may contain one; {REPLACE}"
    )


def test_an_id_that_decodes_to_something_else():
    made = with_tokens(*TOKENS)
    made.decoder = decoders.Replace("<|coord_3|>", "cat")
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        CoordVocab.from_tokenizer(made)
    assert str(caught.value) == f"<|coord_3|> has the id 259, which decodes to 'cat'; {REPLACE}"


def test_what_is_no_fast_tokenizer():
    with pytest.raises(ValueError, match=r"^str has no Rust tokenizer behind it; "):
        CoordVocab.from_tokenizer("Qwen/Qwen3-VL-2B-Instruct")


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (range(999), "a coord vocabulary has 1000 ids, one for each bin, not 999"),
        (range(1001), "a coord vocabulary has 1000 ids, one for each bin, not 1001"),
        (range(-1, 999), "<|coord_0|> has the id -1; ids count from 0"),
        (
            [7, *range(999)],
            f"<|coord_0|> and <|coord_8|> have the same id 7, so that their bins cannot be told apart; {REPLACE}",
        ),
    ],
)
def test_ids_by_hand(ids, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        CoordVocab(tuple(ids))
    assert str(caught.value) == message
