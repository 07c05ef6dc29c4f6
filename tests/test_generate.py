"""Answers of a model: against transformers, batched against one by one, drawn, ended early."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from copy import copy, deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from answer_samples import SAME, THREE, Scripted, entry, ids_of, payload, prompts, requests, table
from coordspec.config.training import Decoding, GenerateBatch, Termination
from coordspec.coords import TOKENS
from coordspec.generate import Answer, Ended, ModelGenerator
from coordspec.generate.answer import Watch
from coordspec.generate.decode import draw, filters_of, pad_left
from coordspec.predictions.coord_stats import coord_stats
from coordspec.rollout.parse import parse_rollout
from coordspec.samples.prompt import RopePositions
from train_samples import qwen2_5, qwen3

NEW_TOKENS = 8
FREE = Termination(max_repeats=None)
MODELS = pytest.mark.parametrize("model", [qwen3, qwen2_5], ids=["qwen3", "qwen2.5"])


def generator(model: Any, batch: int = 4, *, termination: Termination = FREE, **decoding: Any) -> ModelGenerator:
    settings = Decoding(**{"max_new_tokens": NEW_TOKENS, **decoding})
    return ModelGenerator(
        model, table(), settings, batch=GenerateBatch(size=batch), termination=termination, with_coords=True
    )


# ------------------------------------------------------------------------------------------------ against transformers


@MODELS
@pytest.mark.parametrize("penalty", [1.0, 1.7])
def test_greedy_is_that_of_transformers(model: Any, penalty: float) -> None:
    model = model()
    suppressed = [model.config.image_token_id, model.config.video_token_id]
    answers = generator(model, repetition_penalty=penalty).answers(requests())
    for prompt, answer in zip(prompts(), answers, strict=True):
        expected = model.generate(
            **prompt.model_inputs(),
            do_sample=False,
            repetition_penalty=penalty,
            max_new_tokens=NEW_TOKENS,
            suppress_tokens=suppressed,
            eos_token_id=table().end_id,
            pad_token_id=0,
        )
        assert answer.ids == tuple(expected[0, len(prompt.ids_T) :].tolist())


def test_nothing_comes_from_the_generation_config_of_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    before = generator(qwen3()).answers(requests(1))
    for name, value in (("max_new_tokens", 3), ("repetition_penalty", 9.0), ("do_sample", True)):
        monkeypatch.setattr(qwen3().generation_config, name, value)
    assert generator(qwen3()).answers(requests(1)) == before


SEEN = torch.tensor([[1, 4, 4]] * 6)
"""Ids that stand in a prompt."""


@pytest.mark.parametrize(
    ("decoding", "processors"),
    [
        ({"temperature": 0.7}, [TemperatureLogitsWarper(0.7)]),
        ({"top_k": 5}, [TopKLogitsWarper(5)]),
        ({"top_p": 0.6}, [TopPLogitsWarper(0.6)]),
        (
            {"temperature": 1.5, "top_k": 9, "top_p": 0.8},
            [TemperatureLogitsWarper(1.5), TopKLogitsWarper(9), TopPLogitsWarper(0.8)],
        ),
        ({"repetition_penalty": 1.3, "top_k": 5}, [RepetitionPenaltyLogitsProcessor(1.3), TopKLogitsWarper(5)]),
    ],
    ids=["temperature", "top_k", "top_p", "all", "penalty"],
)
def test_filters_are_those_of_transformers(decoding: dict[str, Any], processors: list[Any]) -> None:
    scores = torch.randn(6, 40, generator=torch.Generator().manual_seed(0)) * 3
    scores[:, 7] = scores[:, 11]  # equal ones stay or go together with top_k
    expected = scores
    for processor in processors:
        expected = processor(SEEN, expected)
    found: Any = filters_of(Decoding(do_sample=True, **decoding))(SEEN, scores)
    torch.testing.assert_close(found, expected)


def test_greedy_answers_go_through_the_penalty_alone() -> None:
    scores = torch.randn(6, 40, generator=torch.Generator().manual_seed(0))
    settings: dict[str, Any] = {"temperature": 3.0, "top_k": 2, "top_p": 0.1}
    assert not filters_of(Decoding(**settings))
    found: Any = filters_of(Decoding(repetition_penalty=1.3, **settings))(SEEN, scores)
    torch.testing.assert_close(found, RepetitionPenaltyLogitsProcessor(1.3)(SEEN, scores))


def plain(scores: list[float], temperature: float, top_k: int, top_p: float) -> set[int]:
    """What may be drawn: of the ``top_k`` likeliest the fewest that hold the mass ``top_p``; as vLLM documents them."""
    order = sorted(range(len(scores)), key=lambda token: -scores[token])[: top_k or len(scores)]
    mass = [math.exp(scores[token] / temperature) for token in order]
    held = list(itertools.accumulate(mass))
    return {token for token, before in zip(order, [0.0, *held], strict=False) if before < top_p * held[-1]}


@given(
    st.lists(st.floats(-4, 4), min_size=2, max_size=12, unique=True),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.integers(0, 14),
    st.sampled_from([0.05, 0.31, 0.77, 1.0]),
)
def test_what_may_be_drawn(scores: list[float], temperature: float, top_k: int, top_p: float) -> None:
    decoding = Decoding(do_sample=True, temperature=temperature, top_k=top_k, top_p=top_p)
    found: Any = filters_of(decoding)(SEEN[:1], torch.tensor([scores], dtype=torch.float64))
    assert set(found[0].isfinite().nonzero().flatten().tolist()) == plain(scores, temperature, top_k, top_p)


def test_rows_are_penalised_for_their_own_tokens_alone() -> None:
    """Shorter prompts are padded: the token of the padding is not penalised where it does not stand in a prompt."""
    padded = pad_left(prompts(), RopePositions(qwen3().config), table().end_id, torch.device("cpu"))
    assert [set(row) for row in padded.seen_BT.tolist()] == [set(prompt.ids_T.tolist()) for prompt in prompts()]


def test_what_stands_in_the_prompt_or_was_written_is_penalised() -> None:
    asked, *others = prompts()[0].ids_T[0].item(), *ids_of("QZ", end=False)

    class Constant(Scripted):
        """It likes a token of the prompt best, then two others."""

        def forward(self, input_ids: torch.Tensor, past_key_values: Any = None, **_: Any) -> Any:
            output = super().forward(input_ids, past_key_values)
            for token, score in zip((asked, *others), (4.0, 3.0, 2.9), strict=True):
                output.logits[..., token] = score
            return output

    script = ids_of("{{{", end=False)
    (answer,) = generator(Constant([script], p=0.001), repetition_penalty=2.0, max_new_tokens=3).answers(requests(1))
    assert answer.ids == (others[0], others[1], asked)


# ---------------------------------------------------------------------------------------------------- rows of a batch


def together_and_alone(model: Any, **decoding: Any) -> list[tuple[Answer, Answer]]:
    return list(
        zip(
            generator(model, 4, **decoding).answers(requests()),
            generator(model, 1, **decoding).answers(requests()),
            strict=True,
        )
    )


@MODELS
@pytest.mark.parametrize("decoding", [{}, {"do_sample": True}], ids=["greedy", "drawn"])
def test_a_batch_of_different_lengths_gives_what_one_by_one_gives(model: Any, decoding: dict[str, Any]) -> None:
    assert len({len(prompt.ids_T) for prompt in prompts()}) == 4
    precise = deepcopy(model()).double()  # in float32 a draw may lie within rounding of the border of a token
    for batched, alone in together_and_alone(precise, **decoding):
        assert (batched.ids, batched.ended) == (alone.ids, alone.ended)
        np.testing.assert_allclose(batched.logprobs, alone.logprobs, rtol=0, atol=1e-4)
        assert batched.coords.keys() == alone.coords.keys()
        for position, stat in batched.coords.items():
            np.testing.assert_allclose(stat.expected, alone.coords[position].expected, rtol=0, atol=1e-2)


@pytest.mark.parametrize("bucket", [True, False])
def test_answers_come_in_the_order_of_the_requests(bucket: bool) -> None:
    batch = GenerateBatch(size=2, bucket_by_length=bucket)
    backwards = requests()[::-1]
    answers = ModelGenerator(qwen3(), table(), Decoding(max_new_tokens=4), batch=batch).answers(backwards)
    assert [a.ids for a in answers] == [a.ids for a in generator(qwen3(), 1, max_new_tokens=4).answers(backwards)]


def test_rows_that_are_done_leave_the_batch() -> None:
    scripts = [ids_of("a"), ids_of("{ }"), ids_of(payload(entry(1)))]
    model = Scripted(scripts)
    answers = generator(model, termination=FREE, max_new_tokens=99).answers(requests(3))
    # the shortest prompt is row 0: prompts are put in order of their length
    order = sorted(range(3), key=lambda i: len(prompts()[i].ids_T))
    assert [answers[number].ids for number in order] == scripts
    assert model.seen == [list(script[:-1]) for script in scripts]
    assert {answer.ended for answer in answers} == {Ended.END}


@MODELS
def test_rows_that_stay_are_not_disturbed_by_those_that_leave(model: Any) -> None:
    free = generator(model(), do_sample=True).answers(requests())
    order = sorted(range(4), key=lambda i: len(prompts()[i].ids_T))
    ending = copy(table())
    ending.end_id = free[order[0]].ids[1]  # type: ignore[misc]  # the first row of the batch writes it as its second
    writer = ModelGenerator(
        model(),
        ending,
        Decoding(do_sample=True, max_new_tokens=NEW_TOKENS),
        batch=GenerateBatch(size=4),
        termination=FREE,
    )
    answers = writer.answers(requests())
    assert answers[order[0]].ids == free[order[0]].ids[:2]
    for answer, unbroken in zip(answers, free, strict=True):
        assert answer.ids == unbroken.ids[: len(answer.ids)]
        np.testing.assert_allclose(answer.logprobs, unbroken.logprobs[: len(answer.ids)], rtol=0, atol=1e-4)
    assert max(len(answer.ids) for answer in answers) == NEW_TOKENS


def test_no_request_no_answer() -> None:
    assert generator(qwen3()).answers([]) == []


# ------------------------------------------------------------------------------------------------- what an answer says


def test_log_probabilities_are_those_of_the_model_itself() -> None:
    model, prompt = qwen3(), prompts()[1]
    (answer,) = generator(model, repetition_penalty=1.4, do_sample=True, temperature=0.5, top_k=20).answers(
        [requests()[1]]
    )
    inputs = prompt.model_inputs()
    ids = torch.cat([prompt.ids_T, torch.tensor(answer.ids)])[None]
    inputs |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    inputs["mm_token_type_ids"] = torch.cat([prompt.types_T, torch.zeros(len(answer.ids), dtype=torch.int64)])[None]
    with torch.no_grad():
        logits = model(**inputs).logits[0, len(prompt.ids_T) - 1 : -1].double()
    expected = logits.log_softmax(-1).gather(-1, torch.tensor(answer.ids)[:, None])[:, 0]
    np.testing.assert_allclose(answer.logprobs, expected, rtol=0, atol=1e-4)


def test_coord_tokens_have_their_distribution() -> None:
    text = payload(entry(1, first=500))
    (answer,) = generator(Scripted([ids_of(text)], p=0.25), max_new_tokens=99).answers(requests(1))
    rollout = parse_rollout(answer.ids, table())
    assert tuple(answer.coords) == rollout.predictions[0].positions
    p = np.full(1000, 0.75 / (len(table().lengths) - 1))
    for i, stat in enumerate(answer.coords.values()):
        p_i = p.copy()
        p_i[500 + i] = 0.25
        expected = coord_stats(p_i[None])
        np.testing.assert_allclose(stat.expected, expected.expected[0], atol=1e-3)
        np.testing.assert_allclose(stat.std, expected.std[0], atol=1e-3)
        assert stat.quantiles == expected.quantiles[0]


def test_nobody_asked_for_distributions() -> None:
    model = Scripted([ids_of(payload(entry(1)))])
    (answer,) = ModelGenerator(model, table(), Decoding(max_new_tokens=99)).answers(requests(1))
    assert answer.coords == {}


def test_ids_that_are_no_text_are_never_written() -> None:
    class Wide(Scripted):
        """Its head has more rows than the tokenizer has tokens, and it likes those and images best."""

        def forward(self, input_ids: torch.Tensor, past_key_values: Any = None, **_: Any) -> Any:
            output = super().forward(input_ids, past_key_values)
            wide = torch.cat([output.logits, torch.full((len(input_ids), 1, 8), 99.0)], dim=-1)
            wide[..., [self.config.image_token_id, self.config.video_token_id]] = 98.0
            output.logits = wide
            return output

    script = ids_of("{}")
    (answer,) = generator(Wide([script])).answers(requests(1))
    assert answer.ids == script
    assert max(answer.logprobs) < -90, "probabilities are those of the model all the same"


def test_the_model_is_left_as_it_was() -> None:
    model = qwen3()
    model.train()
    model.model.visual.eval()
    try:
        modes = [module.training for module in model.modules()]
        generator(model, max_new_tokens=2).answers(requests(1))
        assert [module.training for module in model.modules()] == modes
        assert torch.is_grad_enabled()
    finally:
        model.eval()


# ------------------------------------------------------------------------------------------------------------- drawing


def test_seeds_decide_what_is_drawn() -> None:
    drawn = generator(qwen3(), do_sample=True)
    first = drawn.answers(requests(4, seed=1))
    torch.manual_seed(99)  # no other random numbers take part
    assert drawn.answers(requests(4, seed=1)) == first
    assert drawn.answers(requests(4, seed=2)) != first
    assert drawn.answers(requests(4, seed=1, step=1)) != first
    assert drawn.answers(requests(2, seed=1)[1:])[0].ids == first[1].ids


def test_uniform_numbers_draw_from_the_softmax() -> None:
    scores = torch.tensor([0.5, -1.0, float("-inf"), 2.0, 0.0])
    uniform = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    counts = Counter(draw(scores.expand(len(uniform), -1), uniform).tolist())
    shares = [counts[i] / len(uniform) for i in range(5)]
    np.testing.assert_allclose(shares, scores.softmax(0), rtol=0, atol=1e-4)


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_a_token_without_mass_is_never_drawn(uniform: float) -> None:
    low = float("-inf")
    scores = torch.tensor([[low, 1.0, 1.0, low], [low, low, 3.0, low]])
    drawn = draw(scores, torch.full((2,), uniform, dtype=torch.float64)).tolist()
    assert drawn == ([1, 2] if uniform == 0 else [2, 2])


# --------------------------------------------------------------------------------------------------- ending an answer


def test_an_answer_that_is_too_long() -> None:
    (answer,) = generator(Scripted([ids_of("a" * 50)]), max_new_tokens=3).answers(requests(1))
    assert (len(answer.ids), len(answer.logprobs), answer.ended) == (3, 3, Ended.LENGTH)


def test_the_last_token_that_is_allowed_may_be_the_end() -> None:
    script = ids_of("{}")
    (answer,) = generator(Scripted([script]), max_new_tokens=len(script)).answers(requests(1))
    assert answer.ended is Ended.END


def watch(text: str, **limits: Any) -> tuple[Ended | None, str, int]:
    """Why a text ends, what there was of it by then, and how many entries had begun."""
    watched = Watch(Termination(**{"max_repeats": None, **limits}))
    data = text.encode()
    for at in range(len(data)):
        ended = watched.feed(data[at : at + 1])
        if ended is not None:
            return ended, data[: at + 1].decode(), watched.entries
    return None, text, watched.entries


TRICKY = r'} , { \" \\" [ ' + "é🐈"


@pytest.mark.parametrize(
    ("text", "limits", "expected"),
    [
        (THREE, {"max_objects": 3}, None),
        (THREE, {"max_objects": 2}, (Ended.OBJECTS, THREE[: THREE.index("object_3")])),
        (THREE, {"max_repeats": 1}, None),
        (payload(*SAME), {"max_repeats": 8}, None),
        (payload(*SAME), {"max_repeats": 3}, (Ended.REPEATS, payload(*SAME[:4])[:-1] + ",")),
        (payload(*SAME[:4]), {"max_repeats": 3}, None),  # it ends itself
        (payload(SAME[0], entry(2, first=5), SAME[2], entry(4, first=5)), {"max_repeats": 1}, None),
        (payload(SAME[0], SAME[1].replace(", ", ",\n  "), SAME[2]), {"max_repeats": 1}, (Ended.REPEATS, None)),
        (payload(entry(1, "a b"), entry(2, "ab"), entry(3, "a  b")), {"max_repeats": 1}, None),
        (payload(*(entry(i, TRICKY.replace('"', r"\"")) for i in (1, 2, 3))), {"max_objects": 3}, None),
        ('{"a": 1, "b": 1, "c": 1}', {"max_repeats": 1}, (Ended.REPEATS, '{"a": 1, "b": 1,')),
        (" \n{}" + THREE, {"max_objects": 1}, None),  # behind the end
        ("no " + THREE, {"max_objects": 1}, None),  # no answer at all
        ("[" + THREE, {"max_objects": 1}, None),
    ],
)
def test_when_an_answer_is_ended(text: str, limits: dict[str, Any], expected: tuple[Ended, str | None] | None) -> None:
    ended, written, _ = watch(text, **limits)
    assert ended is (None if expected is None else expected[0])
    if expected is not None and expected[1] is not None:
        assert written == expected[1]


@given(
    st.lists(st.tuples(st.text(max_size=5), st.integers(0, 3)), max_size=6),
    st.sampled_from([(", ", ": "), (",", ":"), ("\n,", " :\t")]),
    st.integers(1, 3),
)
@settings(max_examples=150)
def test_entries_are_those_of_the_parser(
    objects: list[tuple[str, int]], separators: tuple[str, str], most: int
) -> None:
    import json

    values = [{"desc": f"x{desc}", "bbox_2d": [TOKENS[first + i] for i in range(4)]} for desc, first in objects]
    text = json.dumps({f"object_{i}": value for i, value in enumerate(values, 1)}, separators=separators)
    assert watch(text)[2] == len(parse_rollout(ids_of(text), table()).entries) == len(objects)
    runs = [len(list(group)) for _, group in itertools.groupby(values)]
    before_last = runs[:-1] + [runs[-1] - 1] if runs else []  # an entry that the answer ends with is not ended by us
    expected = Ended.REPEATS if any(run > most for run in before_last) else None
    assert watch(text, max_repeats=most)[0] is expected


def test_the_watch_ends_answers_of_a_model() -> None:
    scripts = [ids_of(THREE), ids_of(payload(*SAME))]
    limits = Termination(max_objects=2, max_repeats=1)
    model = Scripted(scripts)
    answers = generator(model, termination=limits, max_new_tokens=999).answers(requests(2))
    order = sorted(range(2), key=lambda i: len(prompts()[i].ids_T))
    assert [answers[i].ended for i in order] == [Ended.OBJECTS, Ended.REPEATS]
    for number, script in zip(order, scripts, strict=True):
        ids = answers[number].ids
        assert ids == script[: len(ids)]
        assert len(parse_rollout(ids, table()).predictions) == 2
