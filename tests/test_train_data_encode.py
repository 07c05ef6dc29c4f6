"""Prompts and samples: the ids are those of the model's own processor, and lengths are known without an image."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import Qwen3VLProcessor

import train_samples
from coordspec.config.sections import Template
from coordspec.errors import ContractError, InputError
from coordspec.model.checkpoint import Processor
from coordspec.record import DetObject
from coordspec.samples.encode import Encoder
from coordspec.samples.prompt import Prompter

IMAGE_PAD = train_samples.qwen3().config.image_token_id


class Reference(Qwen3VLProcessor):
    """The processor of transformers, without the video processor that it would ask torchvision for."""

    def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> None:
        """Any will do."""


@pytest.fixture(scope="module")
def reference() -> Reference:
    own = train_samples.processor()
    template = own.tokenizer.chat_template
    return Reference(own.image_processor, own.tokenizer, None, chat_template=template)


def messages(template: Template, images: int) -> list[dict[str, Any]]:
    user = [*[{"type": "image"}] * images, {"type": "text", "text": template.user_prompt}]
    system = [{"role": "system", "content": template.system_prompt}] if template.system_prompt else []
    return [*system, {"role": "user", "content": user}]


@pytest.mark.parametrize("system", [None, "You detect objects: 猫, café, 😀."])
@pytest.mark.parametrize("sizes", [[(64, 64)], [(96, 40)], [(64, 64), (200, 90)]])
def test_a_prompt_is_that_of_the_processor(
    reference: Reference, system: str | None, sizes: list[tuple[int, int]]
) -> None:
    template = Template(system_prompt=system, user_prompt="Find  all\nof it.")
    images = [Image.effect_noise(size, 60).convert("RGB") for size in sizes]
    text = reference.apply_chat_template(messages(template, len(images)), tokenize=False, add_generation_prompt=True)
    expected = reference(text=[text], images=images, return_tensors="pt")
    prompt = Prompter(train_samples.processor(), IMAGE_PAD, template).encode(images)
    found = prompt.model_inputs()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def test_a_prompt_goes_into_generate() -> None:
    prompt = Prompter(train_samples.processor(), IMAGE_PAD, Template()).encode([Image.new("RGB", (64, 64))])
    model = train_samples.qwen3()
    written = model.generate(**prompt.model_inputs(), max_new_tokens=2, do_sample=False)
    assert torch.equal(written[0, : len(prompt.ids_T)], prompt.ids_T)


def test_the_prompt_of_training_is_that_of_generation() -> None:
    item = train_samples.record(96, 64, 2)
    sample = train_samples.encoder(user_prompt="Look.").sample(item, train_samples.pictures(item))
    prompt = Prompter(train_samples.processor(), IMAGE_PAD, Template(user_prompt="Look.")).encode(
        train_samples.pictures(item)
    )
    assert torch.equal(sample.ids_T[: sample.answer], prompt.ids_T)
    assert torch.equal(sample.types_T[: sample.answer], prompt.types_T)
    assert torch.equal(sample.pixels_ND, prompt.pixels_ND)
    tokenizer = train_samples.processor().tokenizer
    assert tokenizer.decode(sample.ids_T[sample.answer :]) == item.payload() + "<|im_end|>"


@settings(max_examples=60)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 4), st.integers(1, 3))
def test_lengths_without_a_look_at_images(width: int, height: int, objects: int, images: int) -> None:
    encoder = train_samples.encoder()
    item = train_samples.record(width, height, objects, images)
    try:
        expected = encoder.count_tokens(item)
    except ContractError:
        assert max(width, height) / min(width, height) > 200
        return
    sample = encoder.sample(item, train_samples.pictures(item))
    assert len(sample) == expected
    assert int(sample.types_T.sum()) == int((sample.grid_I3.prod(-1) // 4).sum())


def test_a_sample_that_is_too_long() -> None:
    item = train_samples.record(64, 64, 3, line=7)
    encoder = train_samples.encoder()
    length = encoder.count_tokens(item)
    answer = length - encoder.sample(item, train_samples.pictures(item)).answer
    assert train_samples.encoder(max_length=length).count_tokens(item) == length
    short = train_samples.encoder(max_length=length - 1)
    for call in (short.count_tokens, lambda item: short.sample(item, train_samples.pictures(item))):
        with pytest.raises(ContractError) as raised:
            call(item)
        assert str(raised.value) == (
            f"train.jsonl:7: the sample has {length} tokens, {length - answer} of prompt and images and {answer} of "
            f"answer, and template.max_length is {length - 1} (MSK050)"
        )


def test_an_image_that_no_processor_takes() -> None:
    with pytest.raises(ContractError) as raised:
        train_samples.encoder().count_tokens(train_samples.record(999, 1, 0, line=3))
    reason = "absolute aspect ratio must be smaller than 200, got 999.0"
    assert str(raised.value) == f'train.jsonl:3: images[0]: the image "0.png" cannot be read: {reason} (IMG002)'


def test_a_processor_that_does_not_do_what_it_says() -> None:
    own = train_samples.processor()
    odd = Processor(own.tokenizer, pickle.loads(pickle.dumps(own.image_processor)))
    odd.image_processor.do_resize = False
    encoder = Encoder(odd, train_samples.qwen3().config, Template())
    place = 'train.jsonl:1: images[0]: the image "0.png" cannot be read: '
    small, uneven = train_samples.record(16, 16, 0), train_samples.record(70, 70, 0)
    with pytest.raises(ContractError, match=r"cannot reshape array"):
        encoder.sample(uneven, train_samples.pictures(uneven))
    with pytest.raises(ContractError) as raised:
        encoder.sample(small, train_samples.pictures(small))
    expected = Prompter(own, IMAGE_PAD, Template()).count_tokens(1, 16, 16)
    reason = f"the image processor makes {expected - 3} prompt tokens and not {expected}, as it says"
    assert str(raised.value) == f"{place}{reason} (IMG002)"


def test_an_object_that_breaks_a_rule() -> None:
    item = replace(train_samples.record(64, 64, 0), objects=(DetObject("cat", bbox_2d=(5, 2, 3, 4)),))
    with pytest.raises(ContractError, match=r"\(GEO007\)$"):
        train_samples.encoder().sample(item, train_samples.pictures(item))


def test_descriptions_are_text() -> None:
    """Whatever a desc says is never read as a special token; what would be one is refused before."""
    item = replace(train_samples.record(64, 64, 0), objects=(DetObject("a | <b>, 猫 😀 é", bbox_2d=(1, 2, 3, 4)),))
    sample = train_samples.encoder().sample(item, train_samples.pictures(item))
    tokenizer = train_samples.processor().tokenizer
    assert tokenizer.decode(sample.ids_T[sample.answer :]) == item.payload() + "<|im_end|>"
    item = replace(item, objects=(DetObject("x<|image_pad|>", bbox_2d=(1, 2, 3, 4)),))
    with pytest.raises(ContractError, match=r"\(OBJ003\)$"):
        train_samples.encoder().count_tokens(item)


def test_a_chat_template_without_images() -> None:
    own = train_samples.processor()
    tokenizer = pickle.loads(pickle.dumps(own.tokenizer))
    tokenizer.chat_template = "{{ messages[0]['role'] }}"
    prompter = Prompter(Processor(tokenizer, own.image_processor), IMAGE_PAD, Template())
    with pytest.raises(InputError) as raised:
        prompter.count_tokens(1, 64, 64)
    reason = "writes 0 image tokens for 1 images; take the template of a Qwen-VL processor"
    assert str(raised.value) == f"chat template: {reason}"


def test_a_processor_with_other_limits() -> None:
    with pytest.raises(ValueError, match=r"^template\.max_pixels is 4096, the processor has 65536$"):
        Prompter(train_samples.processor(), IMAGE_PAD, Template(max_pixels=4096))
    Prompter(train_samples.processor(), IMAGE_PAD, Template(min_pixels=1024, max_pixels=65536))


def test_an_encoder_goes_to_other_processes() -> None:
    item = train_samples.record(64, 64, 1)
    again = pickle.loads(pickle.dumps(train_samples.encoder()))
    assert torch.equal(again.sample(item, train_samples.pictures(item)).ids_T, train_samples.four()[0].ids_T)


def test_the_rows_of_channel_a() -> None:
    """Coordinates have a box loss there and no label."""
    item = train_samples.record(64, 64, 1)
    encoder = Encoder(train_samples.processor(), train_samples.qwen3().config, Template(), rows="channel_a")
    sample = encoder.sample(item, train_samples.pictures(item))
    coords = sample.kinds_T == 3
    assert coords.sum() == 4
    assert (sample.labels_T[coords] == -100).all()
    assert (sample.labels_T[sample.answer :] != -100).sum() == len(sample) - sample.answer - 4
