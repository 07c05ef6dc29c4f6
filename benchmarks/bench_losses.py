"""Time, memory and accuracy of the fused loss against the loss written the obvious way, in one run.

    python benchmarks/bench_losses.py [--quick] [--rounds 3] [--long] [--out results.json]

Every measurement is a process of its own with one thread; eager and fused take turns, and the least disturbed of the
rounds counts. The load is that of Stage-1: a vocabulary of 152,670, 4,096 tokens, 35 % of them coordinates, all
supervised unless said otherwise, loss and gradient of hidden states and head. ``--quick`` has 512 tokens and one round,
to look whether it runs. ``--long`` adds 16,384 tokens, fused only.

Time is CPU time, user and system, of forward and backward: with one thread it is the wall time of a machine that does
nothing else, and it stays meaningful on one that does. Memory is peak resident memory above that before the call (the
kernel's VmHWM, reset before), so it has all there is: buffers of MKL and oneDNN, which no allocator of torch knows, and
what the allocator holds on to. Where a row says so, the gradients themselves are taken off.

What no loss can do without, in floating-point operations with T rows, V words and d dimensions: 2 T V d for the logits
and 4 T V d for the two gradients. A frozen head saves 2 T V d; with the gate off, rows of coordinates cost
6 T 1000 d. Eager pays for the same products, so time is won only on what is around them; the run prints both rates.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (its usual name)

from coordspec.config.sections import CoordSoftCeW1
from coordspec.coords import BINS, CoordVocab
from coordspec.losses.coord import coord_terms
from coordspec.losses.stage1 import stage1_loss

VOCAB = 152_670
TOKENS = 4096
COORDS = 0.35
IDS = torch.arange(VOCAB - BINS, VOCAB)
GATE_ON = CoordSoftCeW1(
    soft_ce_weight=1.0,
    w1_weight=1.0,
    ce_weight=0.0,
    gate_weight=1.0,
    temperature=1.0,
    target_sigma=2.0,
    target_truncate=None,
)
GATE_OFF = CoordSoftCeW1(
    soft_ce_weight=1.0,
    w1_weight=1.0,
    ce_weight=1.0,
    gate_weight=0.0,
    temperature=1.0,
    target_sigma=2.0,
    target_truncate=None,
)


# ---------------------------------------------------------------- the obvious way


def eager_coord_terms(z: Tensor, bins: Tensor, spec: CoordSoftCeW1) -> tuple[Tensor, Tensor, Tensor]:
    distance = torch.arange(z.shape[1]) - bins[:, None]
    q = torch.softmax(-(distance**2) / (2 * spec.target_sigma**2), dim=-1)
    log_p = torch.log_softmax(z, dim=-1)
    soft_ce = -(q * log_p).sum(-1)
    w1 = (log_p.exp().cumsum(-1) - q.cumsum(-1)).abs().sum(-1) / (z.shape[1] - 1)
    hard_ce = -log_p.gather(-1, bins[:, None]).squeeze(-1)
    return soft_ce, w1, hard_ce


def eager_loss(hidden: Tensor, head: Tensor, labels: Tensor, ids: Tensor, spec: CoordSoftCeW1) -> Tensor:
    logits = hidden[:-1] @ head.T
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    targets = labels[1:]
    is_coord = torch.isin(targets, ids)
    loss = logits.new_zeros(())
    if not bool(is_coord.all()):
        loss = loss + F.cross_entropy(logits, targets.masked_fill(is_coord, -100))
    scaled = logits[is_coord] / spec.temperature
    z = scaled[:, ids]
    soft_ce, w1, hard_ce = eager_coord_terms(z, targets[is_coord] - ids[0], spec)
    coord = spec.soft_ce_weight * soft_ce + spec.w1_weight * w1 + spec.ce_weight * hard_ce
    if spec.gate_weight:
        coord = coord + spec.gate_weight * (scaled.logsumexp(-1) - z.logsumexp(-1))
    return loss + coord.mean()


def fused_loss(
    hidden: Tensor, head: Tensor, labels: Tensor, ids: Tensor, spec: CoordSoftCeW1, *, rows: Tensor | None = None
) -> Tensor:
    vocab = CoordVocab(tuple(ids.tolist()))
    return stage1_loss(hidden, head, labels, vocab, spec, coord_rows_KD=rows).loss


# ---------------------------------------------------------------- one measurement, in a process of its own


def inputs(
    tokens: int, dim: int, dtype: torch.dtype, *, supervised: float = 1.0, coords: float = COORDS, vocab: int = VOCAB
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hidden states, head, labels and ids of coord tokens. Logits have a standard deviation of about 2."""
    torch.manual_seed(0)
    ids = torch.arange(vocab - BINS, vocab)
    hidden = torch.randn(tokens, dim, dtype=dtype)
    head = torch.randn(vocab, dim, dtype=dtype).mul_(2 * dim**-0.5)
    labels = torch.randint(0, vocab - BINS, (tokens,))
    order = torch.randperm(tokens - 1)[: round(supervised * (tokens - 1))] + 1
    coord_at = order[: round(coords * len(order))]
    labels[coord_at] = ids[torch.randint(0, BINS, (len(coord_at),))]
    kept = torch.zeros(tokens, dtype=torch.bool)
    kept[order] = True
    return hidden, head, labels.masked_fill(~kept, -100), ids


def status(field: str) -> int:
    """A memory figure of this process in bytes."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def measured(call: Callable[[], None]) -> dict[str, float]:
    """Seconds of CPU and of the clock, and the peak of memory above what is in use now."""
    Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM to VmRSS
    before, wall, cpu = status("VmRSS"), time.perf_counter(), time.process_time()
    call()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {"cpu_s": cpu, "wall_s": wall, "peak": float(status("VmHWM") - before)}


def measure_loss(
    *, which: str, dim: int, dtype: str, tokens: int, head: str, supervised: float, medium: bool, coord_only: bool
) -> dict[str, float]:
    spec = GATE_OFF if coord_only else GATE_ON
    loss_of: Callable[..., Tensor] = {"eager": eager_loss, "fused": fused_loss}[which]
    share = {"supervised": COORDS, "coords": 1.0} if coord_only else {"supervised": supervised}
    hidden, weight, labels, ids = inputs(tokens, dim, getattr(torch, dtype), **share)
    if coord_only and which == "eager":  # it too takes the rows that it needs, and no others
        hidden = hidden[torch.cat([(labels[1:] >= 0).nonzero().squeeze(1), torch.tensor([0])])]
        labels = torch.cat([torch.tensor([-100]), labels[labels >= 0]])
    small = inputs(32, 64, getattr(torch, dtype), vocab=2048)
    loss_of(*(x.requires_grad_() for x in small[:2]), *small[2:], spec).backward()  # loads the libraries' kernels
    hidden.requires_grad_()
    grads = [hidden]
    more: dict[str, Tensor] = {}
    if head == "full":
        grads.append(weight.requires_grad_())
    if head == "rows":
        rows = weight[ids].clone().requires_grad_()
        grads.append(rows)
        if which == "fused":
            more["rows"] = rows

    def call() -> None:
        used = weight.index_copy(0, ids, rows) if head == "rows" and which == "eager" else weight
        loss_of(hidden, used, labels, ids, spec, **more).backward()

    torch.set_float32_matmul_precision("medium" if medium else "highest")  # this process measures nothing else
    result = measured(call)
    assert all(grad.grad is not None for grad in grads)
    result["gradients"] = float(sum(grad.nbytes for grad in grads))
    return result


def measure_terms(which: str, rows: int) -> dict[str, float]:
    """The terms of given coord logits, float32: the best of 20 calls in this process."""
    torch.manual_seed(0)
    z, bins = (3 * torch.randn(rows, BINS)).requires_grad_(), torch.randint(0, BINS, (rows,))
    results = []
    for _ in range(20):
        z.grad = None
        start = time.process_time()
        terms = coord_terms(z, bins, target_sigma=2.0) if which == "fused" else eager_coord_terms(z, bins, GATE_ON)
        sum(term.sum() for term in terms).backward()  # type: ignore[union-attr]
        results.append(time.process_time() - start)
    return {"cpu_s": min(results), "wall_s": min(results), "peak": 0.0}


def measure_error(tokens: int, dim: int) -> dict[str, float]:
    """Error of the gradients of eager and fused against float64: norm of the difference over norm."""
    hidden, head, labels, ids = inputs(tokens, dim, torch.float32)
    found: dict[str, list[Tensor]] = {}
    for which, loss_of in (("exact", eager_loss), ("eager", eager_loss), ("fused", fused_loss)):
        dtype = torch.float64 if which == "exact" else torch.float32
        leaves = [x.detach().to(dtype).requires_grad_() for x in (hidden, head)]
        loss_of(*leaves, labels, ids, GATE_ON).backward()
        found[which] = [leaf.grad for leaf in leaves if leaf.grad is not None]
    errors = {}
    for which in ("eager", "fused"):
        pairs = zip(found[which], found["exact"], strict=True)
        for name, (grad, exact) in zip(("hidden", "head"), pairs, strict=True):
            errors[f"{which}_{name}"] = ((grad.double() - exact).norm() / exact.norm()).item()
    return errors


# ---------------------------------------------------------------- all of them


@dataclass(frozen=True)
class Load:
    """What ``measure_loss`` is called with, but for which loss and how many tokens."""

    dim: int
    dtype: str
    head: str = "full"
    supervised: float = 1.0
    medium: bool = False
    coord_only: bool = False


F32, BF16, BF16_1024 = Load(2048, "float32"), Load(2048, "bfloat16"), Load(1024, "bfloat16")
FROZEN, ROWS = replace(F32, head="frozen"), replace(F32, head="rows")
HALF, MEDIUM, COORD_ONLY = replace(BF16, supervised=0.5), replace(F32, medium=True), replace(F32, coord_only=True)

Figure = Callable[[dict[str, float]], float]


def time_of(result: dict[str, float]) -> float:
    return result["cpu_s"]


def peak_of(result: dict[str, float]) -> float:
    return result["peak"]


def peak_above_gradients(result: dict[str, float]) -> float:
    return result["peak"] - result["gradients"]


ROWS_OF_TABLE: list[tuple[str, Load, Load, Figure, float | None]] = [
    # what, load of eager, load of fused, figure, goal
    ("memory above gradients, f32 d 2048, full head", F32, F32, peak_above_gradients, 0.02),
    ("memory, f32 d 2048, frozen head (eager: full)", F32, FROZEN, peak_of, 0.02),
    ("memory, f32 d 2048, coord rows (eager: full)", F32, ROWS, peak_of, 0.02),
    ("time, f32 d 2048", F32, F32, time_of, 0.75),
    ("time, f32 d 2048, oneDNN (`medium`) for both", MEDIUM, MEDIUM, time_of, 0.75),
    ("time, bf16 d 1024", BF16_1024, BF16_1024, time_of, 0.56),
    ("time, bf16 d 2048", BF16, BF16, time_of, 0.72),
    ("time, bf16 d 2048, half of the tokens supervised", HALF, HALF, time_of, 0.43),
    ("time, f32 d 2048, coordinates alone, gate off", COORD_ONLY, COORD_ONLY, time_of, 0.09),
]


def in_own_process(function: str, **arguments: Any) -> dict[str, float]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--child", json.dumps([function, arguments])]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{function}({arguments}) ended with {done.returncode}; killed for memory, if that is -9")
    found: dict[str, float] = json.loads(done.stdout)
    print(f"  {function} {arguments}: " + ", ".join(f"{k} {v:.4g}" for k, v in found.items()), file=sys.stderr)
    return found


def child(function: str, arguments: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    functions = {f.__name__: f for f in (measure_loss, measure_terms, measure_error)}
    print(json.dumps(functions[function](**arguments)))


def best(results: list[dict[str, float]]) -> dict[str, float]:
    """The least of every figure: what disturbs adds time and never memory."""
    return {key: min(result[key] for result in results) for key in results[0]}


def measure_all(tokens: int, rounds: int) -> dict[tuple[str, Load], dict[str, float]]:
    wanted = list(dict.fromkeys(pair for _, a, b, _, _ in ROWS_OF_TABLE for pair in (("eager", a), ("fused", b))))
    found: dict[tuple[str, Load], list[dict[str, float]]] = {pair: [] for pair in wanted}
    for _ in range(rounds):
        for which, load in wanted:
            result = in_own_process("measure_loss", which=which, tokens=tokens, **asdict(load))
            found[which, load].append(result)
    return {pair: best(results) for pair, results in found.items()}


def row(what: str, eager: float, fused: float, unit: str, goal: float | None) -> str:
    ratio = fused / eager
    verdict = "" if goal is None else "yes" if ratio <= goal else "NO"
    shown = "" if goal is None else f"{goal}"
    return f"| {what} | {eager:.4g} {unit} | {fused:.4g} {unit} | {ratio:.3f} | {shown} | {verdict} |"


def table(found: dict[tuple[str, Load], dict[str, float]], tokens: int) -> list[str]:
    lines = ["| | eager | fused | ratio | goal | met |", "|---|---|---|---|---|---|"]
    for what, eager, fused, figure, goal in ROWS_OF_TABLE:
        a, b = figure(found["eager", eager]), figure(found["fused", fused])
        scale, unit = (1, "s") if figure is time_of else (1e6, "MB")
        lines.append(row(what, a / scale, b / scale, unit, goal))
    rows = round(COORDS * tokens)
    a, b = (in_own_process("measure_terms", which=which, rows=rows)["cpu_s"] * 1e3 for which in ("eager", "fused"))
    lines.append(row(f"time, f32, terms of {rows} given rows of coord logits", a, b, "ms", None))
    errors = in_own_process("measure_error", tokens=min(tokens, 512), dim=512)
    for name in ("hidden", "head"):
        eager_error, fused_error = errors[f"eager_{name}"], errors[f"fused_{name}"]
        lines.append(row(f"error of the gradient of {name}, f32, against float64", eager_error, fused_error, "", 1.0))
    return lines


def machine() -> str:
    names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{names[0] if names else platform.processor()}, {len(names)} CPUs, load average {load} at the start; "
        f"Python {platform.python_version()}, torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="512 tokens, one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--long", action="store_true", help="16,384 tokens too, fused only")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*json.loads(options.child))
        return
    tokens, rounds = (512, 1) if options.quick else (TOKENS, options.rounds)
    print(f"{machine()}\n{tokens} tokens, {VOCAB} words, {rounds} rounds, one thread\n", flush=True)
    found = measure_all(tokens, rounds)
    print("\n".join(table(found, tokens)))
    for load in (F32, MEDIUM, BF16, BF16_1024):
        flop = 6 * tokens * VOCAB * load.dim
        rates = ", ".join(f"{which} {flop / found[which, load]['cpu_s'] / 1e9:.0f}" for which in ("eager", "fused"))
        name = f"{load.dtype} d {load.dim}{' medium' * load.medium}"
        print(f"\n{name}: {flop / 1e12:.2f} TFLOP in products, GFLOP/s {rates}")
    if options.long:
        result = in_own_process("measure_loss", which="fused", tokens=4 * TOKENS, **asdict(BF16))
        whole = 4 * 4 * TOKENS * VOCAB * 4
        print(
            f"\n{4 * TOKENS} tokens, bf16 d 2048, fused: {result['cpu_s']:.1f} s, {result['peak'] / 1e9:.2f} GB above "
            f"inputs, gradients included. Eager would hold logits, log-softmax and the gradients of both in float32: "
            f"{whole / 1e9:.0f} GB"
        )
    if options.out:
        figures = [{"loss": which, **asdict(load), **result} for (which, load), result in found.items()]
        options.out.write_text(json.dumps({"machine": machine(), "tokens": tokens, "figures": figures}, indent=1))


if __name__ == "__main__":
    main()
