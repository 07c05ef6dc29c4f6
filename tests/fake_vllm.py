"""A server with the interface of vLLM that the trainer uses, and a tiny model behind it."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from PIL import Image

from answer_samples import table
from coordspec.config.sections import Template
from coordspec.config.training import Decoding, Termination
from coordspec.generate import Answer, ModelGenerator, Request
from coordspec.generate.vllm.generator import logprobs_of
from coordspec.model.checkpoint import Processor, load_model, load_processor
from coordspec.model.lora import load_adapter
from coordspec.samples.prompt import Prompter

FREE = Termination(max_objects=None, max_repeats=None)
Reply = tuple[int, Any]
"""A status and a body: bytes as they are, anything else as JSON."""


class FakeVllm:
    """Serves one checkpoint folder and the adapters that it is told to load, as vLLM 0.33 does.

    script      ids that are written instead of what the model would write
    twist       changes a reply: it takes the path, the status and the body
    before      is called with the path before anything is done
    updates     whether adapters can be loaded at all
    asked       every path and body, in their order
    """

    def __init__(self, folder: Path, name: str = "tiny", root: str | None = None) -> None:
        self.folder = folder
        self.name = name
        self.root = str(folder) if root is None else root
        self.script: tuple[int, ...] | None = None
        self.twist: Callable[[str, int, Any], Reply] = lambda path, status, body: (status, body)
        self.before: Callable[[str], object] = lambda path: None
        self.updates = True
        self.asked: list[tuple[str, Any]] = []
        self.adapters: dict[str, tuple[str, Any]] = {}
        self.processor = _processor(folder)
        self.url = ""
        self._lock = threading.Lock()

    def bodies(self, path: str) -> list[Any]:
        return [body for asked, body in self.asked if asked == path]

    def reply(self, path: str, body: Any) -> Reply:
        self.before(path)
        with self._lock:
            self.asked.append((path, body))
            return self.twist(path, *self._reply(path.removeprefix("/v1"), body))

    def _reply(self, path: str, body: Any) -> Reply:
        match path:
            case "/models":
                return 200, {"object": "list", "data": self._cards()}
            case "/chat/completions":
                return self._complete(body)
            case "/load_lora_adapter" if self.updates:
                return self._load(body["lora_name"], body["lora_path"])
            case "/unload_lora_adapter" if self.updates:
                return self._unload(body["lora_name"])
        return 404, {"detail": "Not Found"}

    def _cards(self) -> list[dict[str, Any]]:
        base = {"id": self.name, "object": "model", "owned_by": "vllm", "root": self.root, "parent": None}
        return [
            base,
            *({**base, "id": name, "root": path, "parent": self.name} for name, (path, _) in self.adapters.items()),
        ]

    def _load(self, name: str, path: str) -> Reply:
        if name in self.adapters:
            return _refused(400, f"The lora adapter '{name}' has already been loaded.")
        if not Path(path).is_dir():
            return _refused(404, f"Loading lora {name} failed: No adapter found for {path}")
        self.adapters[name] = path, load_adapter(load_model(self.folder), Path(path)).eval()
        return 200, f"Success: LoRA adapter '{name}' added successfully.".encode()

    def _unload(self, name: str) -> Reply:
        if name not in self.adapters:
            return _refused(404, f"The lora adapter '{name}' cannot be found.")
        del self.adapters[name]
        return 200, f"Success: LoRA adapter '{name}' removed successfully.".encode()

    def _complete(self, body: Any) -> Reply:
        if body["model"] not in self.adapters:
            return _refused(404, f"The model `{body['model']}` does not exist.")
        model = self.adapters[body["model"]][1]
        *systems, user = body["messages"]
        *images, text = user["content"]
        template = Template(
            system_prompt=systems[0]["content"][0]["text"] if systems else None, user_prompt=text["text"]
        )
        prompt = Prompter(self.processor, model.config.image_token_id, template).encode(list(map(_image, images)))
        draws = body["temperature"] > 0
        decoding = Decoding(
            do_sample=draws,
            temperature=body["temperature"] if draws else 1.0,
            top_p=body["top_p"],
            top_k=body["top_k"],
            repetition_penalty=body["repetition_penalty"],
            max_new_tokens=body["max_tokens"],
        )
        if self.script is not None:
            ids = self.script[: body["max_tokens"]]
            logprobs = logprobs_of(model, prompt, ids)
        else:
            writer = ModelGenerator(model, table(), decoding, termination=FREE)
            (answer,) = writer.answers([Request(prompt, (body.get("seed", 0),))])
            ids, logprobs = answer.ids, list(answer.logprobs)
        return 200, completion(prompt.ids_T.tolist(), ids, logprobs, body["stop_token_ids"])


@cache
def _processor(folder: Path) -> Processor:
    return load_processor(folder)


def completion(prompt: list[int], ids: Any, logprobs: Any, stops: list[int]) -> dict[str, Any]:
    ended = ids[-1] in stops
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": table().text(ids)},
        "logprobs": {"content": [{"token": "", "logprob": one, "top_logprobs": []} for one in logprobs]},
        "finish_reason": "stop" if ended else "length",
        "stop_reason": ids[-1] if ended else None,
        "token_ids": list(ids),
    }
    return {"object": "chat.completion", "choices": [choice], "prompt_token_ids": prompt}


def _image(part: Any) -> Image.Image:
    head, data = part["image_url"]["url"].split(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")


def _refused(status: int, message: str) -> Reply:
    return status, {"error": {"message": message, "type": "BadRequestError", "code": status}}


@contextmanager
def serving(fake: FakeVllm) -> Iterator[FakeVllm]:
    """The server in a thread, on a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, body: Any) -> None:
            status, value = fake.reply(self.path, body)
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            if 300 <= status < 400:
                self.send_header("Location", "http://elsewhere.example/v1/models")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        fake.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()


__all__ = ["FREE", "Answer", "FakeVllm", "completion", "serving"]
