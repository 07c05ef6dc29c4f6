"""Answers of a vLLM server: those of the model in training, or the run stops and says why.

The server is ``fake_vllm``, with a tiny model behind it.
"""

from __future__ import annotations

import atexit
import json
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import PeftModel
from PIL import Image

from answer_samples import SAME, THREE, Scripted, Told, ids_of, noise, payload, prompter, table
from coordspec.config.model import Config
from coordspec.config.sections import USER_PROMPT, Model
from coordspec.config.training import Lora, Termination
from coordspec.errors import CoordspecError, InputError
from coordspec.generate import Ended, ModelGenerator, Request
from coordspec.generate.vllm import VllmGenerator, chat, generator
from coordspec.generate.vllm.chat import banned_ids, seed_of
from coordspec.generate.vllm.client import Client
from coordspec.generate.vllm.generator import logprobs_of
from coordspec.generate.vllm.server import serve_command, served_name
from coordspec.hashes import weights_sha256
from coordspec.infer.checkpoint import open_checkpoint
from coordspec.infer.options import InferOptions, Opening, RecordSource
from coordspec.infer.run import infer
from coordspec.model.checkpoint import load_model, load_processor, save_checkpoint
from coordspec.model.lora import add_lora
from coordspec.ranks import RankError
from coordspec.shapes.dataset import DatasetSpec, write_dataset
from coordspec.spec.binding import scenario
from fake_vllm import FREE, FakeVllm, Reply, completion, serving
from limits import HANG_S
from train_samples import processor
from training_runs import ran, smallest_model

COMPLETIONS, LOAD, UNLOAD, MODELS = (
    f"/v1/{name}" for name in ("chat/completions", "load_lora_adapter", "unload_lora_adapter", "models")
)
FROZEN = Model(path="model", freeze_vision=True, freeze_projector=True, head="frozen")
IMAGES = ((noise(64, 64),), (noise(96, 64, 1),), (noise(64, 32, 2), noise(32, 64, 3)))
NEW_TOKENS = 6


@cache
def folder() -> Path:
    """A checkpoint that every test only reads."""
    path = Path(mkdtemp(prefix="coordspec-tests-"))
    atexit.register(shutil.rmtree, path)
    save_checkpoint(smallest_model(tied=False), processor(), path, source=path)
    return path


@pytest.fixture
def fake() -> Iterator[FakeVllm]:
    with serving(FakeVllm(folder())) as made:
        yield made


def adapted(seed: int = 0, dropout: float = 0.0) -> PeftModel:
    """The tiny model with adapters that change it."""
    spec = Lora(r=2, lora_alpha=4.0, lora_dropout=dropout, target_modules=("q_proj", "down_proj"))
    made = add_lora(load_model(folder()), spec, FROZEN, processor().coords)
    change(made, seed)
    return made.eval()


def change(model: PeftModel, seed: int) -> None:
    numbers = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.copy_(torch.randn(weight.shape, generator=numbers))


@pytest.fixture(scope="module")
def shared() -> PeftModel:
    """A model that no test changes."""
    return adapted()


def config(run_dir: Path, url: str, **changes: Any) -> Config:
    """A config; ``changes`` are those of ``rollout_matching``, but for ``vllm``, ``template`` and ``model``."""
    server = {"base_url": url, **changes.pop("vllm", {})}
    template, model = changes.pop("template", {}), changes.pop("model", {})
    rollouts = {"decoding": {"max_new_tokens": NEW_TOKENS}, "batch": {"size": 4}, **changes}
    return Config.model_validate(
        {
            "model": {
                "path": str(folder()),
                "freeze_vision": True,
                "freeze_projector": True,
                "head": "frozen",
                **model,
            },
            "data": {"train": ["train.jsonl"]},
            "template": template,
            "training": {"output_dir": str(run_dir)},
            "lora": {"enabled": True, "r": 2},
            "rollout_matching": {"backend": "vllm", "vllm": server, **rollouts},
        }
    )


def requests(count: int = 3, seed: int = 0) -> list[Request]:
    images = [IMAGES[number % 3] for number in range(count)]
    return [Request(prompter().encode(one), (seed, 0, i), one) for i, one in enumerate(images)]


def ready(fake: FakeVllm, tmp_path: Path, model: PeftModel, **changes: Any) -> VllmGenerator:
    made = VllmGenerator(config(tmp_path / "run", fake.url, **changes), model, table())
    made.handshake()
    made.refresh(0)
    return made


def stopped(work: Callable[[], Any], url: str) -> str:
    """The reason of the InputError that names the server."""
    with pytest.raises(InputError) as error:
        work()
    assert error.value.subject == url
    return error.value.reason


# ------------------------------------------------------------------------------------- as the model in training


@pytest.mark.parametrize("penalty", [1.0, 1.7])
def test_greedy_answers_are_those_of_the_model(
    fake: FakeVllm, tmp_path: Path, shared: PeftModel, penalty: float
) -> None:
    decoding = {"max_new_tokens": NEW_TOKENS, "repetition_penalty": penalty}
    answers = ready(fake, tmp_path, shared, decoding=decoding).answers(requests())
    settings = config(tmp_path, fake.url, decoding=decoding).rollout_matching.decoding
    own = ModelGenerator(shared, table(), settings).answers(requests())
    for answer, expected in zip(answers, own, strict=True):
        assert (answer.ids, answer.ended, answer.coords) == (expected.ids, expected.ended, {})
        np.testing.assert_allclose(answer.logprobs, expected.logprobs, rtol=0, atol=1e-4)
    base = ModelGenerator(load_model(folder()), table(), settings).answers(requests())
    assert [one.ids for one in base] != [one.ids for one in own], "the adapter changes what is written"


def test_drawn_answers_follow_one_seed_for_each_request(fake: FakeVllm, tmp_path: Path, shared: PeftModel) -> None:
    decoding = {"max_new_tokens": NEW_TOKENS, "do_sample": True, "temperature": 0.8, "top_p": 0.9, "top_k": 50}
    server = ready(fake, tmp_path, shared, decoding=decoding)
    answers = server.answers(requests(seed=7))
    assert server.answers(requests(seed=7)) == answers
    assert server.answers(requests(seed=7)[1:]) == answers[1:]
    assert server.answers(requests(seed=8)) != answers
    settings = config(tmp_path, fake.url, decoding=decoding).rollout_matching.decoding
    seeded = [Request(one.prompt, (seed_of(one.seeds),)) for one in requests(seed=7)]
    assert [one.ids for one in ModelGenerator(shared, table(), settings).answers(seeded)] == [a.ids for a in answers]
    body = fake.bodies(COMPLETIONS)[0]
    assert {name: body[name] for name in ("temperature", "top_p", "top_k")} == {
        "temperature": 0.8,
        "top_p": 0.9,
        "top_k": 50,
    }


def test_seeds_are_the_same_everywhere() -> None:
    assert seed_of((0, 0, 0)) == 7896617691693857887
    assert seed_of((0, 0, 1)) != seed_of((0, 1, 0))


@given(st.lists(st.integers(0, 2**64), max_size=4))
def test_seeds_are_numbers_that_the_server_takes(seeds: list[int]) -> None:
    assert 0 <= seed_of(seeds) < 2**63


def test_a_request_says_all_that_decides_an_answer(fake: FakeVllm, tmp_path: Path, shared: PeftModel) -> None:
    template = {"system_prompt": "Be brief.", "user_prompt": "Where?"}
    server = VllmGenerator(config(tmp_path, fake.url, template=template), shared, table())
    (body,) = [server._chat.body("adapter-x", requests(3, seed=1)[2])]
    *_, user = messages = body.pop("messages")
    assert messages[0] == {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}
    assert [part["type"] for part in user["content"]] == ["image_url", "image_url", "text"]
    assert user["content"][2]["text"] == "Where?"
    assert body == {
        "model": "adapter-x",
        "n": 1,
        "stream": False,
        "max_tokens": NEW_TOKENS,
        "temperature": 0.0,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "logit_bias": {str(shared.config.image_token_id): -100.0, str(shared.config.video_token_id): -100.0},
        "ignore_eos": True,
        "stop_token_ids": [table().end_id],
        "include_stop_str_in_output": True,
        "skip_special_tokens": False,
        "spaces_between_special_tokens": False,
        "logprobs": True,
        "top_logprobs": 0,
        "return_token_ids": True,
    }


def test_ids_that_no_answer_has() -> None:
    rows = len(table().lengths)
    assert banned_ids(table(), rows + 3, (7, 6)) == [6, 7, rows, rows + 1, rows + 2]


def test_every_pixel_arrives() -> None:
    import base64
    import io

    image = noise(33, 17, 5)
    data = base64.b64decode(chat.png_url(image).removeprefix("data:image/png;base64,"))
    assert Image.open(io.BytesIO(data)).tobytes() == image.tobytes()


@pytest.mark.parametrize(
    ("text", "limits", "most", "ended"),
    [
        (THREE, {}, 200, Ended.END),
        (THREE, {"max_objects": 2}, 200, Ended.OBJECTS),
        (THREE, {}, 20, Ended.LENGTH),
        (payload(*SAME), {"max_repeats": 2}, 200, Ended.REPEATS),
        (THREE, {}, len(ids_of(THREE)), Ended.END),
    ],
    ids=lambda value: str(value) if isinstance(value, Ended) else "",
)
def test_an_answer_is_cut_where_the_trainer_would_end_it(
    fake: FakeVllm, tmp_path: Path, shared: PeftModel, text: str, limits: dict[str, int], most: int, ended: Ended
) -> None:
    fake.script = ids_of(text)
    rules = {"termination": limits, "decoding": {"max_new_tokens": most}}
    (answer,) = ready(fake, tmp_path, shared, **rules).answers(requests(1))
    settings = config(tmp_path, fake.url, **rules).rollout_matching
    own = ModelGenerator(Scripted([ids_of(text)]), table(), settings.decoding, termination=Termination(**limits))
    (expected,) = own.answers(requests(1))
    assert (answer.ids, answer.ended) == (expected.ids, expected.ended)
    assert answer.ended is ended
    assert len(answer.logprobs) == len(answer.ids)


def test_log_probabilities_of_an_answer_in_one_forward() -> None:
    model = adapted(dropout=0.5)
    settings = config(Path(), "http://x").rollout_matching.decoding
    (answer, *_) = ModelGenerator(model, table(), settings, termination=FREE).answers(requests(1))
    model.train()
    found = logprobs_of(model, requests(1)[0].prompt, answer.ids)
    assert model.training
    np.testing.assert_allclose(found, answer.logprobs, rtol=0, atol=1e-4)


def test_as_many_requests_at_once_as_the_config_says(fake: FakeVllm, tmp_path: Path, shared: PeftModel) -> None:
    together = threading.Barrier(3)

    def wait(path: str) -> None:
        if path == COMPLETIONS:
            together.wait(timeout=HANG_S)  # breaks where fewer than three come

    server = ready(fake, tmp_path, shared, batch={"size": 3})
    alone = server.answers(requests(3))
    fake.before = wait
    assert server.answers(requests(3)) == alone


def test_no_request_no_answer(fake: FakeVllm, tmp_path: Path, shared: PeftModel) -> None:
    assert ready(fake, tmp_path, shared).answers([]) == []
    assert fake.bodies(COMPLETIONS) == []


def test_no_proxy_is_used(fake: FakeVllm, tmp_path: Path, shared: PeftModel, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert len(ready(fake, tmp_path, shared).answers(requests(1))) == 1


# ------------------------------------------------------------------------------------------------------- adapters


def adapters(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "run/vllm").iterdir())


@scenario("stage2-runs", "Rollouts of a server", "New weights", digest="e10b7a39251f")
def test_new_weights_reach_the_server(fake: FakeVllm, tmp_path: Path) -> None:
    model = adapted()
    server = ready(fake, tmp_path, model)
    before, (first,) = server.answers(requests()), list(fake.adapters)
    change(model, 1)
    server.refresh(1)
    after, (second,) = server.answers(requests()), list(fake.adapters)
    assert first != second
    assert [one.ids for one in after] != [one.ids for one in before]
    settings = config(tmp_path, fake.url).rollout_matching.decoding
    assert [one.ids for one in after] == [
        one.ids for one in ModelGenerator(model, table(), settings).answers(requests())
    ]
    assert adapters(tmp_path) == [second]
    assert fake.adapters[second][0] == str(tmp_path / "run/vllm" / second)
    assert sorted(path.name for path in (tmp_path / "run/vllm" / second).iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    server.close()
    assert fake.adapters == {}
    assert not (tmp_path / "run").exists(), "nothing else was in it"


def test_equal_weights_are_loaded_once(fake: FakeVllm, tmp_path: Path, shared: PeftModel) -> None:
    server = ready(fake, tmp_path, shared)
    server.refresh(1)
    server.answers(requests(1))
    assert len(fake.bodies(LOAD)) == 1
    assert adapters(tmp_path) == list(fake.adapters)


def test_the_server_is_brought_up_to_date_once_in_sync_steps(fake: FakeVllm, tmp_path: Path) -> None:
    model = adapted()
    server = ready(fake, tmp_path, model, vllm={"sync_steps": 3})
    loaded = []
    for step in (1, 2, 3, 5, 8, 9):
        change(model, step)
        server.refresh(step)
        loaded.append(len(fake.bodies(LOAD)))
    assert loaded == [1, 1, 2, 2, 3, 4]


def test_what_a_killed_run_left_is_taken_away_and_what_others_have_stays(
    fake: FakeVllm, tmp_path: Path, shared: PeftModel
) -> None:
    ready(fake, tmp_path, shared)  # and killed
    (same,) = fake.adapters
    for name, run in (("adapter-old", "run"), ("adapter-other", "another")):
        shutil.copytree(tmp_path / "run/vllm" / same, tmp_path / run / "vllm" / name)
        fake.adapters[name] = str(tmp_path / run / "vllm" / name), shared
    (tmp_path / "run/vllm/.writing").mkdir()
    (tmp_path / "run/checkpoint-4").mkdir()
    server = ready(fake, tmp_path, shared)
    assert sorted(fake.adapters) == sorted([same, "adapter-other"])
    assert adapters(tmp_path) == [same]
    assert len(server.answers(requests(1))) == 1
    server.close()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["checkpoint-4"]


def test_two_runs_have_adapters_of_their_own(fake: FakeVllm, tmp_path: Path, shared: PeftModel) -> None:
    ready(fake, tmp_path / "a", shared)
    ready(fake, tmp_path / "b", shared)
    assert len(fake.adapters) == 2


def test_a_handshake_that_fails_leaves_nothing(fake: FakeVllm, tmp_path: Path, shared: PeftModel) -> None:
    fake.updates = False
    server = VllmGenerator(config(tmp_path / "run", fake.url), shared, table())
    assert stopped(server.handshake, fake.url) == (
        "has no /load_lora_adapter: start vLLM with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True and --enable-lora, and let "
        "base_url end with /v1"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_folder_that_cannot_be_written(fake: FakeVllm, tmp_path: Path, shared: PeftModel) -> None:
    (tmp_path / "run").write_text("")
    server = VllmGenerator(config(tmp_path / "run", fake.url), shared, table())
    with pytest.raises(InputError, match=re.escape(f"{tmp_path / 'run/vllm'}: Not a directory")):
        server.handshake()


# ---------------------------------------------------------------------------------------------------- base weights


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The checkpoint in another place."""
    return shutil.copytree(folder(), tmp_path / "copy")


def name_of(path: Path) -> str:
    return served_name(weights_sha256(path))


def changed(path: Path) -> None:
    """Other weights: one bit of them."""
    file = path / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def base(name: str, root: str | None, tmp_path: Path, shared: PeftModel) -> str | None:
    """What a handshake says about a server of this name and folder."""
    with serving(FakeVllm(folder(), name, root)) as fake:
        server = VllmGenerator(config(tmp_path / "run", fake.url), shared, table())
        with suppress(InputError):
            server.handshake()
            return None
        reason = stopped(server.handshake, fake.url)
        assert not fake.adapters
        return reason


def command(tmp_path: Path) -> str:
    return serve_command(config(tmp_path / "run", "http://x"), name_of(folder()))


def test_the_same_weights_in_another_folder(tmp_path: Path, shared: PeftModel, copied: Path) -> None:
    assert base("tiny", str(copied), tmp_path, shared) is None


@scenario("stage2-runs", "Rollouts of a server", "Other weights", digest="17e7d645a36c")
def test_other_weights_in_another_folder(tmp_path: Path, shared: PeftModel, copied: Path) -> None:
    changed(copied)
    assert base("tiny", str(copied), tmp_path, shared) == (
        f"serves the weights of {copied} ({weights_sha256(copied)[:12]}), and those of {folder()} are trained "
        f"({weights_sha256(folder())[:12]}); serve these: {command(tmp_path)}"
    )


@pytest.mark.parametrize("root", ["Qwen/Qwen3-VL-4B-Instruct", "/not/here", "."])
def test_weights_that_nobody_can_compare(tmp_path: Path, shared: PeftModel, root: str) -> None:
    assert base("tiny", root, tmp_path, shared) == (
        f"serves {root}, which is no folder here, so nothing tells that it has the weights of {folder()}; if it has, "
        f"say so by the name that it is served as: {command(tmp_path)}"
    )


def test_weights_that_the_name_states(tmp_path: Path, shared: PeftModel) -> None:
    assert base(name_of(folder()), "/not/here", tmp_path, shared) is None
    assert base("coordspec-123456789abc", "/not/here", tmp_path, shared) == (
        f"serves coordspec-123456789abc, and the weights of {folder()} are {name_of(folder())}; serve these: "
        f"{command(tmp_path)}"
    )
    assert base("coordspec-123456789abc", str(folder()), tmp_path, shared) is not None, "a name must be true"


@scenario("stage2-runs", "Rollouts of a server", "The prediction file of what is served", digest="ab3a1f2d165a")
def test_a_served_model_has_the_hash_of_its_prediction_file(tmp_path: Path, shared: PeftModel, copied: Path) -> None:
    write_dataset(tmp_path / "data", DatasetSpec({"val": 1}))
    source, out = RecordSource(str(tmp_path / "data/val.jsonl"), 1 << 20), tmp_path / "preds.jsonl"

    def stated(checkpoint: Path) -> str:
        opened = open_checkpoint(checkpoint, Opening({}, unknown_preprocessing=True))
        infer(opened, source, out, InferOptions(), generator=Told(["{}"]), overwrite=True)
        run = json.loads((tmp_path / "preds.jsonl.run.json").read_text())
        return "coordspec-" + run["settings"]["weights_sha256"][:12]

    assert base(stated(copied), "/not/here", tmp_path, shared) is None
    changed(copied)
    other = stated(copied)
    reason = base(other, "/not/here", tmp_path, shared)
    assert reason is not None
    assert reason.startswith(f"serves {other}, and the weights of {folder()} are {name_of(folder())}; serve these: ")


def test_the_command_that_starts_a_server(tmp_path: Path) -> None:
    start = f"VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve {folder()} --served-model-name x --enable-lora "
    plain = config(tmp_path, "http://x", template={"max_length": 512}, decoding={"max_new_tokens": 100})
    assert serve_command(plain, "x") == f"{start}--max-lora-rank 8 --max-model-len 612"
    limits = {"max_length": 512, "max_pixels": 1024, "min_pixels": 64}
    more = config(tmp_path, "http://x", template=limits, model={"freeze_projector": False})
    assert serve_command(more, "x") == (
        f"{start}--max-lora-rank 8 --max-model-len {512 + NEW_TOKENS} --mm-processor-kwargs "
        """'{"min_pixels": 64, "max_pixels": 1024}' --enable-tower-connector-lora"""
    )


# ---------------------------------------------------------------------------------------------------------- probe


@scenario("stage2-runs", "Rollouts of a server", "Another model", digest="76296ffff763")
def test_a_server_with_another_adapter(fake: FakeVllm, tmp_path: Path, shared: PeftModel) -> None:
    server = ready(fake, tmp_path, shared)
    (name,) = fake.adapters
    fake.adapters[name] = fake.adapters[name][0], adapted(5)
    reason = stopped(lambda: server.answers(requests()), fake.url)
    assert re.fullmatch(
        rf"answers as another model does: over {NEW_TOKENS} tokens, its log-probabilities are [0-9.]+ from the "
        rf"trainer's on average, and 0\.1 is allowed; look at the served weights, the adapter in {name}, "
        "--logprobs-mode raw_logprobs, and quantization",
        reason,
    )


@pytest.mark.parametrize(("shift", "passes"), [(0.09, True), (0.11, False), (-0.11, False)])
def test_how_far_a_server_may_be_off(
    fake: FakeVllm, tmp_path: Path, shared: PeftModel, shift: float, passes: bool
) -> None:
    def shifted(path: str, status: int, body: Any) -> Reply:
        if path == COMPLETIONS:
            for one in body["choices"][0]["logprobs"]["content"]:
                one["logprob"] += shift
        return status, body

    server = ready(fake, tmp_path, shared)
    fake.twist = shifted
    if passes:
        server.answers(requests(1))
    else:
        assert "another model" in stopped(lambda: server.answers(requests(1)), fake.url)


def test_one_answer_behind_each_new_adapter_is_compared(
    fake: FakeVllm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[int] = []

    def counting(model: Any, prompt: Any, ids: Any) -> list[float]:
        scored.append(len(ids))
        return logprobs_of(model, prompt, ids)

    monkeypatch.setattr(generator, "logprobs_of", counting)
    monkeypatch.setattr(generator, "PROBED", 4)
    model = adapted()
    server = ready(fake, tmp_path, model)
    for step in range(3):
        if step == 2:
            change(model, 1)
        server.refresh(step)
        server.answers(requests(2))
        server.answers(requests(2))
    assert scored == [4, 4]


# --------------------------------------------------------------------------------------------------------- guards


def after(fake: FakeVllm, tmp_path: Path, model: PeftModel, alter: Callable[[Any], Any]) -> str:
    """Why the run stops when the server's completions are altered."""
    server = ready(fake, tmp_path, model)
    fake.twist = lambda path, status, body: (status, alter(body)) if path == COMPLETIONS else (status, body)
    return stopped(lambda: server.answers(requests(1)), fake.url)


def choice(**changes: Any) -> Callable[[Any], Any]:
    return lambda body: {**body, "choices": [{**body["choices"][0], **changes}]}


WITHOUT_IDS = "/chat/completions was answered without token ids; vLLM gives them from version 0.10.2 on"
WITHOUT_LOGPROBS = (
    "/chat/completions was answered without one log-probability for each token; start vLLM without a reasoning "
    "parser, and with --logprobs-mode raw_logprobs"
)
OTHERWISE = "/chat/completions was answered otherwise than vLLM does: "


@pytest.mark.parametrize(
    ("alter", "reason"),
    [
        (lambda body: {**body, "prompt_token_ids": None}, WITHOUT_IDS),
        (choice(token_ids=None), WITHOUT_IDS),
        (choice(token_ids=[]), WITHOUT_IDS),
        (choice(token_ids=["5"] * NEW_TOKENS), WITHOUT_IDS),
        (choice(token_ids=[-5] * NEW_TOKENS), WITHOUT_IDS),
        (choice(logprobs=None), WITHOUT_LOGPROBS),
        (choice(logprobs={"content": [{"logprob": -1.0}]}), WITHOUT_LOGPROBS),
        (choice(logprobs={"content": [{"logprob": float("nan")}] * NEW_TOKENS}), WITHOUT_LOGPROBS),
        (choice(logprobs={"content": [{"logprob": float("-inf")}] * NEW_TOKENS}), WITHOUT_LOGPROBS),
        (choice(logprobs={"content": [{"logprob": 0.5}] * NEW_TOKENS}), WITHOUT_LOGPROBS),
        (choice(logprobs={"content": [{}]}), OTHERWISE + "'logprob' is missing"),
        (choice(finish_reason=None, token_ids=[5], logprobs={"content": [{"logprob": -1.0}]}), None),
        (lambda body: {**body, "choices": []}, OTHERWISE + "not enough values to unpack (expected 1, got 0)"),
        (lambda body: [], OTHERWISE + "list indices must be integers or slices, not str"),
        (
            lambda body: b"<html>",
            "/chat/completions was answered with no JSON: Expecting value: line 1 column 1 (char 0)",
        ),
        (lambda body: b"[" * 100_000, None),
    ],
)
def test_an_answer_that_is_none(
    fake: FakeVllm, tmp_path: Path, shared: PeftModel, alter: Callable[[Any], Any], reason: str | None
) -> None:
    found = after(fake, tmp_path, shared, alter)
    assert reason is None or found == reason


@pytest.mark.parametrize("token", ["image", "beyond"])
def test_an_id_that_is_no_text(fake: FakeVllm, tmp_path: Path, shared: PeftModel, token: str) -> None:
    number = shared.config.image_token_id if token == "image" else len(table().lengths) + 10
    alter = choice(token_ids=[5, number], logprobs={"content": [{"logprob": -1.0}] * 2})
    assert after(fake, tmp_path, shared, alter) == (
        f"has written the id {number} as token 1, which is no text and was banned by logit_bias"
    )


def test_an_answer_that_ends_too_early(
    fake: FakeVllm, tmp_path: Path, shared: PeftModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator, "TOLERANCE", 99.0)
    alter = choice(token_ids=[5, 6], logprobs={"content": [{"logprob": -1.0}] * 2}, finish_reason="stop")
    assert after(fake, tmp_path, shared, alter) == (
        "has ended an answer behind 2 tokens with finish_reason stop, and neither with <|im_end|> nor at "
        f"max_new_tokens: {NEW_TOKENS}; start vLLM as `coordspec docs vllm` says"
    )


@scenario("stage2-runs", "Rollouts of a server", "Another prompt", digest="8d6c0671c64c")
def test_another_prompt(fake: FakeVllm, tmp_path: Path, shared: PeftModel) -> None:
    server = ready(fake, tmp_path, shared, template={"user_prompt": "What?"})
    found = stopped(lambda: server.answers(requests(1)), fake.url)
    ours = requests(1)[0].prompt.ids_T.tolist()
    at = len(ids_of("<|im_start|>user\n", end=False)) + 16 + 2  # behind the image
    first = ids_of("What?", end=False)[0]
    length = len(ours) - len(ids_of(USER_PROMPT, end=False)) + len(ids_of("What?", end=False))
    assert found == (
        f'reads another prompt than the trainer: token {at} is {first} ("W") there and {ours[at]} ("De") here '
        f"({length} and {len(ours)} tokens); tokenizer, chat template and pixel limits must be those of model.path and "
        "template"
    )


def test_a_shorter_prompt(fake: FakeVllm, tmp_path: Path, shared: PeftModel) -> None:
    ours = requests(1)[0].prompt.ids_T.tolist()
    reason = after(fake, tmp_path, shared, lambda body: {**body, "prompt_token_ids": ours[:-1]})
    assert f"token {len(ours) - 1} is missing there and {ours[-1]} (" in reason


def test_other_pixel_limits(fake: FakeVllm, tmp_path: Path, shared: PeftModel) -> None:
    fake.processor = load_processor(folder(), max_pixels=32 * 32)
    server = ready(fake, tmp_path, shared)
    assert "reads another prompt than the trainer" in stopped(lambda: server.answers(requests(1)), fake.url)


@pytest.mark.parametrize(
    ("path", "reply", "reason"),
    [
        (MODELS, (401, {"error": "Unauthorized"}), '/models was answered with status 401: {"error": "Unauthorized"}'),
        (MODELS, (500, b""), "/models was answered with status 500"),
        (MODELS, (502, b"<b>" + b"x" * 999), f"/models was answered with status 502: <b>{'x' * 296}…"),
        (MODELS, (500, b"a\x1b[31m\n b"), r"/models was answered with status 500: a\x1b[31m b"),
        (
            MODELS,
            (307, b""),
            "/models is redirected to http://elsewhere.example/v1/models, and no redirect is followed; name that "
            "address itself",
        ),
        (MODELS, (200, {"data": []}), "/models lists no model that is no adapter"),
        (
            MODELS,
            (200, {"data": [{"id": "a", "root": "/a", "parent": "tiny"}]}),
            "/models lists no model that is no adapter",
        ),
        (
            MODELS,
            (200, {"data": [5]}),
            "/models lists no models as vLLM does; name its OpenAI-compatible interface",
        ),
        (
            MODELS,
            (200, {"models": []}),
            "/models lists no models as vLLM does; name its OpenAI-compatible interface",
        ),
    ],
)
def test_a_server_that_refuses(
    fake: FakeVllm, tmp_path: Path, shared: PeftModel, path: str, reply: Reply, reason: str
) -> None:
    fake.twist = lambda asked, status, body: reply if asked == path else (status, body)
    server = VllmGenerator(config(tmp_path / "run", fake.url), shared, table())
    assert stopped(server.handshake, fake.url) == reason


def test_an_adapter_that_the_server_refuses(fake: FakeVllm, tmp_path: Path, shared: PeftModel) -> None:
    said = {"error": {"message": "LoRA rank 64 is greater than max_lora_rank 16.", "code": 500}}
    fake.twist = lambda path, status, body: (500, said) if path == LOAD else (status, body)
    server = VllmGenerator(config(tmp_path / "run", fake.url), shared, table())
    assert re.fullmatch(
        rf"does not load {tmp_path}/run/vllm/adapter-[0-9a-f]{{12}}, a folder that it must see under this path: "
        r"/load_lora_adapter was answered with status 500: LoRA rank 64 is greater than max_lora_rank 16\.",
        stopped(server.handshake, fake.url),
    )


def test_an_adapter_that_is_not_listed(fake: FakeVllm, tmp_path: Path, shared: PeftModel) -> None:
    def hide(path: str, status: int, body: Any) -> Reply:
        return (status, {"data": body["data"][:1]}) if path == MODELS else (status, body)

    fake.twist = hide
    server = VllmGenerator(config(tmp_path / "run", fake.url), shared, table())
    assert re.fullmatch(
        "has loaded adapter-[0-9a-f]{12}, and /models does not list it; with several API servers each has its own "
        "list, so start vLLM with --api-server-count 1",
        stopped(server.handshake, fake.url),
    )


def test_an_adapter_that_cannot_be_unloaded(fake: FakeVllm, tmp_path: Path) -> None:
    model = adapted()
    server = ready(fake, tmp_path, model)
    fake.twist = lambda path, status, body: (500, b"no") if path == UNLOAD else (status, body)
    change(model, 1)
    assert stopped(lambda: server.refresh(1), fake.url) == "/unload_lora_adapter was answered with status 500: no"


def test_an_adapter_that_someone_else_unloads(fake: FakeVllm, tmp_path: Path, shared: PeftModel) -> None:
    server = ready(fake, tmp_path, shared)
    (name,) = fake.adapters
    fake.adapters.clear()
    assert stopped(lambda: server.answers(requests()), fake.url) == (
        f"/chat/completions was answered with status 404: The model `{name}` does not exist."
    )


def test_a_server_that_is_not_there(tmp_path: Path, shared: PeftModel) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound and not listening: nothing answers, and nobody else can
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        server = VllmGenerator(config(tmp_path / "run", url), shared, table())
        reason = stopped(server.handshake, url)
    assert reason == "cannot be reached: [Errno 111] Connection refused; is the vLLM server running there?"


@contextmanager
def speaking(data: bytes, *, hold: bool = False) -> Iterator[str]:
    """A server that says these bytes to whoever comes first; with ``hold`` 99 blanks follow, one now and then."""
    done = threading.Event()

    def speak() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(data)
            with suppress(OSError):  # whoever it was is gone
                for _ in range(99 * hold):
                    if not done.wait(0.02):
                        connection.sendall(b" ")

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=speak)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            done.set()
            thread.join()


def test_a_server_that_is_too_slow() -> None:
    with speaking(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", hold=True) as url:
        client = Client(url, 0.2)
        reason = stopped(lambda: client.get("/models"), url)
    assert reason == "/models was not answered within 0.2 s (rollout_matching.vllm.timeout_s)"


def test_a_server_that_says_nothing(fake: FakeVllm) -> None:
    done = threading.Event()
    fake.before = lambda path: done.wait(20)
    client = Client(fake.url, 0.2)
    try:
        reason = stopped(lambda: client.get("/models"), fake.url)
    finally:
        done.set()
    assert reason == "/models was not answered within 0.2 s (rollout_matching.vllm.timeout_s)"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            b"",
            "cannot be reached: Remote end closed connection without response; is the vLLM server running there?",
        ),
        (b"no HTTP\r\n\r\n", "/models was answered with broken HTTP: no HTTP"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",
            "/models was answered with broken HTTP: IncompleteRead(2 bytes read, 97 more expected)",
        ),
    ],
)
def test_a_server_that_breaks_off(data: bytes, said: str) -> None:
    with speaking(data) as url:
        client = Client(url, 20)
        reason = stopped(lambda: client.get("/models"), url)
    assert reason == said


def test_a_server_that_says_too_much(fake: FakeVllm) -> None:
    fake.twist = lambda path, status, body: (200, b" " * ((1 << 20) + 1))
    client = Client(fake.url, 20, max_bytes=1 << 20)
    assert stopped(lambda: client.get("/models"), fake.url) == "/models was answered with more than 1 MiB"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://host", "is no address; write one such as http://127.0.0.1:8000/v1"),
        ("http://", "is no address; write one such as http://127.0.0.1:8000/v1"),
        ("http://host:port/v1", "is no address: Port could not be cast to integer value as 'port'"),
        ("http://[::1/v1", "is no address: Invalid IPv6 URL"),
        ("http://me:secret@host/v1", "has more than host, port and path in it, and no server is sent any of that"),
        ("http://host/v1?key=1", "has more than host, port and path in it, and no server is sent any of that"),
    ],
)
def test_an_address_that_is_none(url: str, reason: str) -> None:
    assert stopped(lambda: Client(url, 1), url) == reason


def test_a_slash_at_the_end_of_the_address(fake: FakeVllm) -> None:
    assert Client(f"{fake.url}/", 20).get("/models")["data"][0]["id"] == "tiny"


@pytest.mark.parametrize("temperature", [0.001, 2.5])
def test_a_temperature_that_vllm_does_not_draw_at(tmp_path: Path, shared: PeftModel, temperature: float) -> None:
    hot = {"do_sample": True, "temperature": temperature}
    with pytest.raises(InputError) as error:
        VllmGenerator(config(tmp_path, "http://x", decoding=hot), shared, table())
    expected = f"rollout_matching.decoding.temperature: is {temperature:g}, and vLLM draws at 0.01 to 2"
    assert str(error.value) == expected
    VllmGenerator(config(tmp_path, "http://x", decoding={**hot, "do_sample": False}), shared, table())


def test_calls_that_are_wrong(fake: FakeVllm, tmp_path: Path, shared: PeftModel) -> None:
    server = VllmGenerator(config(tmp_path / "run", fake.url), shared, table())
    with pytest.raises(ValueError, match="refresh comes before the first answers"):
        server.answers(requests())
    server.refresh(0)
    with pytest.raises(ValueError, match="0 images for a prompt about 1"):
        server.answers([Request(requests(1)[0].prompt, (0,))])
    without = config(tmp_path, fake.url).model_dump() | {"rollout_matching": {}}
    with pytest.raises(ValueError, match=re.escape("rollout_matching.vllm is not there")):
        VllmGenerator(Config.model_validate(without), shared, table())


# ---------------------------------------------------------------------------------------------------------- ranks


class Ranks:
    """Two ranks as threads of this process: what ``coordspec.ranks`` does over a network."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._own = threading.local()
        self._met = threading.Barrier(2)
        self._said: list[Any] = [None, None]
        monkeypatch.setattr("coordspec.ranks.gather", self.gather)
        monkeypatch.setattr(generator, "gather", self.gather)
        monkeypatch.setattr(generator, "rank", lambda: self._own.rank)

    def gather(self, value: Any) -> list[Any]:
        self._said[self._own.rank] = value
        self._met.wait(20)
        found = list(self._said)
        self._met.wait(20)
        return found

    def run(self, work: Callable[[int], Any]) -> list[Any]:
        """What the work of each rank gives, or the error that it ends with."""
        found: list[Any] = [None, None]

        def one(rank: int) -> None:
            self._own.rank = rank
            try:
                found[rank] = work(rank)
            except CoordspecError as error:
                found[rank] = error

        threads = [threading.Thread(target=one, args=(rank,)) for rank in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found


def test_the_first_rank_loads_and_every_rank_asks(
    fake: FakeVllm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [adapted(), adapted()]

    def work(rank: int) -> Any:
        server = VllmGenerator(config(tmp_path / "run", fake.url), models[rank], table())
        server.handshake()
        server.refresh(0)
        return server.answers(requests()[rank : rank + 1])

    found = Ranks(monkeypatch).run(work)
    assert len(fake.bodies(LOAD)) == 1
    settings = config(tmp_path, fake.url).rollout_matching.decoding
    own = ModelGenerator(models[0], table(), settings).answers(requests(2))
    assert [answers[0].ids for answers in found] == [answer.ids for answer in own]


def test_a_server_that_refuses_stops_every_rank(
    fake: FakeVllm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: PeftModel
) -> None:
    fake.twist = lambda path, status, body: (500, b"no") if path == LOAD else (status, body)

    def work(rank: int) -> None:
        VllmGenerator(config(tmp_path / "run", fake.url), shared, table()).refresh(0)

    first, second = Ranks(monkeypatch).run(work)
    assert isinstance(first, InputError)
    assert isinstance(second, RankError)
    assert str(second) == f"rank 0: {first}"


def test_the_fake_tells_stops_from_lengths() -> None:
    end = table().end_id
    assert completion([1], [5, end], [-1.0, -1.0], [end])["choices"][0]["finish_reason"] == "stop"
    assert json.loads(json.dumps(completion([1], [5], [-1.0], [end])))["choices"][0]["finish_reason"] == "length"


# ------------------------------------------------------------------------------------------------------- a whole run

RUN: dict[str, Any] = {
    "lora": {"enabled": True, "r": 2, "target_modules": ["q_proj", "down_proj"]},
    "model": {"head": "frozen", "freeze_vision": True, "freeze_projector": True},
    "custom": {"trainer_variant": "stage2_ab"},
    "stage2_ab": {"schedule": {"b_ratio": 0.5}},
    "rollout_matching": {
        "decoding": {"max_new_tokens": 12},
        "runaway": {"max_predictions_per_gt": None, "max_truncation_rate": None},
    },
}


@scenario("stage2-runs", "Rollouts of a server", "A run", digest="cd0b4cd6cb9e")
def test_a_run_with_a_server_is_a_run_without_one(fake: FakeVllm, tmp_path: Path) -> None:
    model = {"model": {"path": str(folder())}}
    expected = ran(tmp_path / "hf", RUN, model, learning_rate=0.05)
    server = {"rollout_matching": {"backend": "vllm", "vllm": {"base_url": fake.url}}}
    assert ran(tmp_path / "vllm", RUN, model, server, learning_rate=0.05) == expected
    assert len(fake.bodies(COMPLETIONS)) == 8, "two steps of Channel-B, of four samples each"
    assert len(fake.bodies(LOAD)) >= 2, "the weights of the first step, and those behind it"
    assert fake.adapters == {}
    assert not (tmp_path / "vllm/run/vllm").exists()
