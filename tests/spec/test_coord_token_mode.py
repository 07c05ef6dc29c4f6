"""Bindings of ``openspec/specs/coord-token-mode``.

Values of the loss are shown twice: on whole logits, and from hidden states. There the head is the identity, so that
hidden states are the logits, and have their gradient.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from coordspec.config.sections import CoordSoftCeW1
from coordspec.coords import BINS, TOKENS, CoordVocab
from coordspec.losses.rows import IGNORE_INDEX, supervised_rows
from coordspec.losses.stage1 import Stage1Loss, stage1_loss
from coordspec.spec.binding import harness, scenario
from loss_reference import soft_target, stage1_loss_from_logits
from qwen_tokenizer import qwen, tiny

FIRST = 10
VOCAB = CoordVocab(tuple(range(FIRST, FIRST + BINS)))
SIZE = FIRST + BINS
TEXT = 3  # an id that is no coord token


def settings(**changes: Any) -> CoordSoftCeW1:
    """The defaults of the config, but for these."""
    return CoordSoftCeW1(**changes)


class Scored(NamedTuple):
    loss: Stage1Loss
    gradient: Tensor
    """At the logits."""


def both(
    logits: Tensor, labels: list[int], spec: CoordSoftCeW1, vocab: CoordVocab = VOCAB, **denominators: float
) -> Iterator[Scored]:
    """The loss and its gradient at the logits, on whole logits and from hidden states."""
    for fused in (False, True):
        leaf = logits.double().clone().requires_grad_()
        if fused:
            head = torch.eye(logits.shape[1], dtype=torch.float64)
            made = stage1_loss(leaf, head, torch.tensor(labels), vocab, spec, **denominators)
        else:
            made = stage1_loss_from_logits(leaf, torch.tensor(labels), vocab, spec, **denominators)
        (gradient,) = torch.autograd.grad(made.loss, leaf)
        yield Scored(made, gradient)


def slot(peak: Mapping[int, float], size: int = SIZE, first: int = FIRST) -> Tensor:
    """Logits of two rows: all 0, but for these bins in the first, which predicts the second token."""
    logits = torch.zeros(2, size, dtype=torch.float64)
    for k, value in peak.items():
        logits[0, first + k] = value
    return logits


def coordinate(k: int) -> list[int]:
    """Labels of which the second is this coordinate."""
    return [IGNORE_INDEX, VOCAB.ids[k]]


# ---------------------------------------------------------------------------------------------------- coord vocabulary


def words(*added: str, **pairs: int) -> Tokenizer:
    """A tokenizer of ten words between spaces, with these tokens added, or as words of these ids."""
    vocab = {"?": 0, **{f"word{k}": k for k in range(1, FIRST)}, **pairs}
    made = Tokenizer(models.WordLevel(vocab, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_tokens(list(added))
    return made


@scenario("coord-token-mode", "Coord vocabulary", "Bins and ids", digest="56e87c7b9e28")
def test_bins_and_ids() -> None:
    tokenizer = words(*TOKENS)
    vocab = CoordVocab.from_tokenizer(tokenizer)
    assert (vocab.ids[0], vocab.ids[999]) == (10, 1009)
    assert vocab.ids == tuple(tokenizer.token_to_id(token) for token in TOKENS)
    ids = tokenizer.encode("word1 <|coord_999|> word2 <|coord_0|><|coord_12|> word3").ids
    assert [(t, vocab.bin_of_id[i]) for t, i in enumerate(ids) if i in vocab.bin_of_id] == [(1, 999), (3, 0), (4, 12)]


@scenario("coord-token-mode", "Coord vocabulary", "A missing coord token", digest="b857f23058f0")
def test_a_missing_coord_token() -> None:
    with pytest.raises(ValueError, match=r"lacks 1 of the 1000 coord tokens, <\|coord_999\|>: "):
        CoordVocab.from_tokenizer(words(*TOKENS[:999]))


@scenario("coord-token-mode", "Coord vocabulary", "A coord token that is split", digest="e57b6576c172")
def test_a_coord_token_that_is_split() -> None:
    made = words(*(token for token in TOKENS if token != "<|coord_7|>"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    with pytest.raises(ValueError, match=r"<\|coord_7\|> is read as 11 tokens; "):
        CoordVocab.from_tokenizer(made)


@scenario("coord-token-mode", "Coord vocabulary", "Two coord tokens with one id", digest="6a057487b758")
def test_two_coord_tokens_with_one_id() -> None:
    ids = {token: FIRST + k for k, token in enumerate(TOKENS)}
    with pytest.raises(ValueError, match=r"^<\|coord_1\|> and <\|coord_2\|> have the same id 12, "):
        CoordVocab.from_tokenizer(words(**{**ids, "<|coord_1|>": 12}))


# ----------------------------------------------------------------------------------------------------- which row, what


@scenario("coord-token-mode", "Causal alignment", "The slot is predicted one step earlier", digest="089c2db333d4")
def test_the_slot_is_predicted_one_step_earlier() -> None:
    labels = [IGNORE_INDEX, TEXT, VOCAB.ids[500], 4]
    for position, value in ((1, 0.0), (2, math.log(1000))):
        logits = torch.zeros(4, SIZE)
        logits[position, VOCAB.ids[500]] = 1000.0
        for made in both(logits, labels, settings()):
            assert made.loss.coord_hard_ce.item() == pytest.approx(value, abs=5e-7)
            assert (made.gradient[3] == 0).all()


@scenario("coord-token-mode", "Base cross entropy on non-coord targets", "Which labels count", digest="06e70f0b4147")
def test_which_labels_count() -> None:
    labels = [IGNORE_INDEX, 3, VOCAB.ids[5], 4, VOCAB.ids[9], IGNORE_INDEX]
    rows = supervised_rows(torch.tensor(labels), SIZE, VOCAB)
    base = torch.full((6,), IGNORE_INDEX)
    base[rows.rows_N + 1] = rows.targets_N
    assert base.tolist() == [-100, 3, -100, 4, -100, -100]
    for made in both(torch.zeros(6, SIZE), labels, settings()):
        assert (made.loss.base_count, made.loss.coord_count) == (2, 2)


@scenario(
    "coord-token-mode", "Base cross entropy on non-coord targets", "The value of the base term", digest="2ddcfc4bbc6b"
)
def test_the_value_of_the_base_term() -> None:
    for count in (1, 2, 7):
        for made in both(torch.zeros(9, SIZE), [TEXT] * (count + 1) + [IGNORE_INDEX] * (8 - count), settings()):
            assert made.loss.base_ce.item() / made.loss.base_count == pytest.approx(6.917706, abs=5e-7)
            assert made.loss.loss.item() == pytest.approx(6.917706, abs=5e-7)
            assert made.loss.base_count == count


@scenario(
    "coord-token-mode",
    "Base cross entropy on non-coord targets",
    "A coord target adds nothing to the base term",
    digest="311492e41677",
)
def test_a_coord_target_adds_nothing_to_the_base_term() -> None:
    torch.manual_seed(0)
    none = settings(soft_ce_weight=0, w1_weight=0, ce_weight=0, gate_weight=0)
    labels = [IGNORE_INDEX, TEXT, VOCAB.ids[5], VOCAB.ids[999], 4]
    for made in both(torch.randn(5, SIZE), labels, none):
        zero = [bool((row == 0).all()) for row in made.gradient]
        assert zero == [False, True, True, False, True]


@scenario(
    "coord-token-mode",
    "Base cross entropy on non-coord targets",
    "JSON structure is learnt as before",
    digest="29e54f54a0f0",
)
def test_json_structure_is_learnt_as_before() -> None:
    coords = ", ".join(f'"{TOKENS[k]}"' for k in (1, 2, 3, 4))
    text = f'{{"object_1": {{"desc": "cat", "bbox_2d": [{coords}]}}}}<|im_end|>'
    for tokenizer in (qwen(), tiny()):
        vocab, target = CoordVocab.from_tokenizer(tokenizer), tokenizer.encode(text).ids
        labels = [IGNORE_INDEX, *target]
        rows = supervised_rows(torch.tensor(labels), tokenizer.get_vocab_size(), vocab)
        assert (rows.rows_N.tolist(), rows.targets_N.tolist()) == (
            [t for t, i in enumerate(target) if i not in vocab.bin_of_id],
            [i for i in target if i not in vocab.bin_of_id],
        )
        assert rows.bins_M.tolist() == [1, 2, 3, 4]
        assert tokenizer.id_to_token(target[-1]) == "<|im_end|>"
        assert "}" in tokenizer.decode([target[-2]])
    torch.manual_seed(0)
    logits = torch.randn(len(labels), tokenizer.get_vocab_size(), dtype=torch.float64)
    none = settings(soft_ce_weight=0, w1_weight=0, ce_weight=0, gate_weight=0)
    wanted = logits.softmax(1)
    wanted[rows.rows_N, rows.targets_N] -= 1
    wanted /= len(target) - 4  # weight 1 of so many
    wanted[[*rows.coord_rows_M.tolist(), len(target)]] = 0
    for made in both(logits, labels, none, vocab):
        assert torch.allclose(made.gradient, wanted, atol=1e-12)


# ------------------------------------------------------------------------------------------------- the coordinate terms


@harness("soft-target")
def soft_target_values(bin: int, sigma: float, truncate: float | None, values: Mapping[int, float]) -> None:  # noqa: A002
    q = soft_target(torch.tensor([bin]), target_sigma=sigma, target_truncate=truncate)[0]
    soft_alone = settings(w1_weight=0, gate_weight=0, target_sigma=sigma, target_truncate=truncate)
    found = [1 / BINS - made.gradient[0, FIRST:] for made in both(slot({}), coordinate(bin), soft_alone)]
    for target in (q, *found):
        assert {k: target[k].item() for k in values} == pytest.approx(values, abs=5e-7)
        assert target.sum().item() == pytest.approx(1)
        assert torch.nonzero(target > target.max() - 1e-9).flatten().tolist() == [bin]


@harness("coord-terms")
def coord_terms_values(
    peak: Mapping[int, float],
    temperature: float,
    bin: int,  # noqa: A002
    sigma: float,
    truncate: float | None,
    soft_ce: float,
    w1: float,
    hard_ce: float,
) -> None:
    spec = settings(temperature=temperature, target_sigma=sigma, target_truncate=truncate)
    for made in both(slot(peak), coordinate(bin), spec):
        found = [term.item() for term in (made.loss.coord_soft_ce, made.loss.coord_w1, made.loss.coord_hard_ce)]
        assert found == pytest.approx([soft_ce, w1, hard_ce], abs=5.1e-6)


@scenario("coord-token-mode", "Terms of a coordinate", "Distance between points", digest="f81957154f1b")
def test_distance_between_points() -> None:
    for at, k, distance in (
        (500, 500, 0.0),
        (501, 500, 0.001001),
        (490, 500, 0.01001),
        (400, 500, 0.1001),
        (600, 500, 0.1001),
        (0, 999, 1.0),
        (999, 0, 1.0),
    ):
        for made in both(slot({at: 1000.0}), coordinate(k), settings(target_truncate=0)):
            assert made.loss.coord_w1.item() == pytest.approx(distance, abs=5e-7)


@scenario("coord-token-mode", "Terms of a coordinate", "A term of order, not of expectation", digest="d4a6e31d06d8")
def test_a_term_of_order_not_of_expectation() -> None:
    for made in both(slot({400: 1000.0, 600: 1000.0}), coordinate(500), settings(target_truncate=0)):
        assert made.loss.coord_w1.item() == pytest.approx(100 / 999, abs=1e-12)


@scenario("coord-token-mode", "Terms of a coordinate", "A perfect distribution", digest="a52e254a92fa")
def test_a_perfect_distribution() -> None:
    perfect = {k: -((k - 500) ** 2) / (2 * 2**2) for k in range(BINS)}
    for made in both(slot(perfect), coordinate(500), settings(target_sigma=2)):
        assert made.loss.coord_w1.item() == pytest.approx(0, abs=1e-12)
        assert made.loss.coord_soft_ce.item() == pytest.approx(2.112086, abs=5e-7)


@scenario("coord-token-mode", "Terms of a coordinate", "Other logits do not enter", digest="f7dbdae7b7e1")
def test_other_logits_do_not_enter() -> None:
    torch.manual_seed(0)
    logits, labels, spec = torch.randn(2, SIZE), coordinate(321), settings(ce_weight=1, gate_weight=0)
    changed = logits.clone()
    changed[:, :FIRST] += torch.randn(2, FIRST) * 10
    for one, other in zip(both(logits, labels, spec), both(changed, labels, spec), strict=True):
        for name in ("coord_soft_ce", "coord_w1", "coord_hard_ce"):
            assert getattr(one.loss, name) == getattr(other.loss, name)
        assert (one.gradient[:, :FIRST] == 0).all()
        assert (one.gradient[0, FIRST:] != 0).all()


# ------------------------------------------------------------------------------------------------------------- the gate


@harness("coord-gate")
def coord_gate_values(vocabulary: int, other: float | None, temperature: float, gate: float, mass: float) -> None:
    first = vocabulary - BINS
    vocab = CoordVocab(tuple(range(first, vocabulary)))
    logits = torch.zeros(2, vocabulary)
    if other is not None:
        logits[0, 0] = other
    for made in both(logits, [IGNORE_INDEX, first + 5], settings(temperature=temperature), vocab):
        assert made.loss.coord_gate is not None
        assert made.loss.vocab_mass is not None
        assert made.loss.coord_gate.item() == pytest.approx(gate, abs=5e-7)
        assert made.loss.vocab_mass.item() == pytest.approx(mass, abs=5e-7)
        assert math.exp(-made.loss.coord_gate.item()) == pytest.approx(mass, abs=5e-7)


@scenario("coord-token-mode", "Coord-vocabulary gate", "The gate and full cross entropy", digest="60f653cce863")
def test_the_gate_and_full_cross_entropy() -> None:
    torch.manual_seed(0)
    for scale in (0.1, 1.0, 10.0):
        for k in (0, 123, 999):
            logits = torch.randn(2, SIZE, dtype=torch.float64) * scale
            whole = F.cross_entropy(logits[0], torch.tensor(VOCAB.ids[k]))
            for made in both(logits, coordinate(k), settings(temperature=1)):
                assert made.loss.coord_gate is not None
                assert (made.loss.coord_gate + made.loss.coord_hard_ce).item() == pytest.approx(whole.item(), rel=1e-12)


@scenario("coord-token-mode", "Coord-vocabulary gate", "The gate pulls mass to coord tokens", digest="3b46248c4d4e")
def test_the_gate_pulls_mass_to_coord_tokens() -> None:
    torch.manual_seed(0)
    start = slot({k: float(k % 3) for k in range(BINS)})  # three groups of equal logits
    start[0, TEXT] = 12.0
    gate_alone = settings(soft_ce_weight=0, w1_weight=0, gate_weight=1)
    for way in (0, 1):
        logits, masses = start.clone(), [(start[0].softmax(0)[FIRST:].sum()).item()]
        for _ in range(20):
            made = list(both(logits, coordinate(500), gate_alone))[way]
            logits = logits - 2.0 * made.gradient
            coords = logits[0].softmax(0)[FIRST:]
            masses.append(coords.sum().item())
            for group in range(3):
                assert torch.allclose(coords[group::3], coords[group].expand(len(coords[group::3])), rtol=1e-12)
        assert masses == sorted(set(masses))
        assert masses[0] < 0.03
        assert masses[-1] > 0.9


# -------------------------------------------------------------------------------------------------------- the objective

BATCH = [IGNORE_INDEX, TEXT, 4, VOCAB.ids[0]]
"""Two texts and bin 0, over logits that are all 0."""


@scenario("coord-token-mode", "Stage-1 objective", "A sum by hand", digest="e21c9b649348")
def test_a_sum_by_hand() -> None:
    for made in both(torch.zeros(4, SIZE), BATCH, settings(target_truncate=0)):
        assert made.loss.loss.item() == pytest.approx(14.335411, abs=1e-6)


@harness("stage1-weights")
def stage1_weights(soft_ce: float, w1: float, ce: float, gate: float, coord: float) -> None:
    spec = settings(soft_ce_weight=soft_ce, w1_weight=w1, ce_weight=ce, gate_weight=gate, target_truncate=0)
    for made in both(torch.zeros(4, SIZE), BATCH, spec):
        assert made.loss.loss.item() == pytest.approx(6.917706 + coord, abs=6e-6)


@scenario("coord-token-mode", "Stage-1 objective", "No coordinate in the batch", digest="16913a713644")
def test_no_coordinate_in_the_batch() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, SIZE, dtype=torch.float64)
    base = F.cross_entropy(logits[:2], torch.tensor([TEXT, 4])).item()
    for made in both(logits, [IGNORE_INDEX, TEXT, 4], settings()):
        assert made.loss.loss.item() == pytest.approx(base)
        assert torch.isfinite(made.gradient).all()
        assert (made.gradient[:2] != 0).all()


@scenario("coord-token-mode", "Stage-1 objective", "Nothing but coordinates in the batch", digest="46da32fd682b")
def test_nothing_but_coordinates_in_the_batch() -> None:
    torch.manual_seed(0)
    spec = settings(soft_ce_weight=0.5, w1_weight=3, ce_weight=0.7, gate_weight=2)
    for made in both(torch.randn(3, SIZE), [IGNORE_INDEX, VOCAB.ids[7], VOCAB.ids[70]], spec):
        loss = made.loss
        assert loss.coord_gate is not None
        terms = 0.5 * loss.coord_soft_ce + 3 * loss.coord_w1 + 0.7 * loss.coord_hard_ce + 2 * loss.coord_gate
        assert loss.loss.item() == pytest.approx(terms.item() / 2)
        assert torch.isfinite(made.gradient).all()
        assert (made.gradient[:2] != 0).all()


@scenario("coord-token-mode", "Stage-1 objective", "Numbers that are none", digest="dacbfe478938")
def test_numbers_that_are_none() -> None:
    for bad in (math.nan, math.inf, -math.inf):
        for row in (0, 2):  # predicts a text, predicts the coordinate
            for column in (0, TEXT, VOCAB.ids[0], VOCAB.ids[999]):
                logits = torch.zeros(4, SIZE)
                logits[row, column] = bad
                for made in both(logits, BATCH, settings()):
                    assert not math.isfinite(made.loss.loss.item())
    logits = torch.zeros(4, SIZE)
    logits[3] = math.nan  # predicts nothing that is supervised
    assert all(math.isfinite(made.loss.loss.item()) for made in both(logits, BATCH, settings()))


# ---------------------------------------------------------------------------------------------------- means divide once


def costing(value: float, label: int) -> Tensor:
    """A row whose cross entropy of this label is ``value``, over a vocabulary of which all others are equal."""
    row = torch.zeros(SIZE, dtype=torch.float64)
    row[label] = math.log((SIZE - 1) / math.expm1(value))
    return row


def hard(value: float, k: int) -> Tensor:
    """A row whose hard cross entropy of this bin is ``value``."""
    row = torch.zeros(SIZE, dtype=torch.float64)
    row[VOCAB.ids[k]] = math.log((BINS - 1) / math.expm1(value))
    return row


def window(*parts: tuple[list[Tensor], list[int]], **denominators: float) -> list[float]:
    """The sum of the losses of these micro-batches, both ways, each row scoring the label of the same index."""
    hard_alone = settings(soft_ce_weight=0, w1_weight=0, ce_weight=1, gate_weight=0)
    losses = []
    for rows, labels in parts:
        logits = torch.stack([*rows, torch.zeros(SIZE, dtype=torch.float64)])
        scored = both(logits, [IGNORE_INDEX, *labels], hard_alone, **denominators)
        losses.append([made.loss.loss.item() for made in scored])
    return [sum(of_one_way) for of_one_way in zip(*losses, strict=True)]


@scenario("coord-token-mode", "Means divide once", "Unequal micro-batches", digest="0816ea2d72b5")
def test_unequal_micro_batches() -> None:
    first = ([costing(4.0, TEXT)], [TEXT])
    second = ([costing(2 / 3, TEXT)] * 3, [TEXT] * 3)
    assert window(first, second, base_denominator=4) == pytest.approx([1.5, 1.5])
    assert window(first) == pytest.approx([4.0, 4.0])
    assert window(second) == pytest.approx([2 / 3, 2 / 3])


@scenario("coord-token-mode", "Means divide once", "The two means have their own counts", digest="eaf04b220b9e")
def test_the_two_means_have_their_own_counts() -> None:
    texts = ([costing(2.0, TEXT)] * 6, [TEXT] * 6)
    coords = ([hard(1.5, 7), hard(3.5, 8)], [VOCAB.ids[7], VOCAB.ids[8]])
    together = (texts[0] + coords[0], texts[1] + coords[1])
    assert window(together) == pytest.approx([4.5, 4.5])
    assert window(texts, coords, base_denominator=6, coord_denominator=2) == pytest.approx([4.5, 4.5])
