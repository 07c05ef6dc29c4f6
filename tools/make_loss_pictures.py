"""Draw the pictures of docs/losses.md from the loss functions themselves.

python tools/make_loss_pictures.py [--check]
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from coordspec.coords import BINS, MAX_BIN
from coordspec.losses.coord import coord_terms
from coordspec.losses.soft_target import SoftTargets

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path("docs/images")
BLUE, ORANGE, GREY, INK = "#0072b2", "#d55e00", "#8a8a8a", "#222222"
STYLE = "text{font:13px system-ui,sans-serif;fill:#222}.small{font-size:11px;fill:#555}.title{font-weight:600}"
SIGMA = 2.0
VISIBLE = 0.05  # pixels


class Panel(NamedTuple):
    """A rectangle of the picture, in pixels, and what its edges mean."""

    left: float
    top: float
    width: float
    height: float
    bins: tuple[int, int]
    values: tuple[float, float]

    def x(self, k: float) -> float:
        """The middle of the bin's column."""
        first, last = self.bins
        return self.left + (k - first + 0.5) / (last - first + 1) * self.width

    def y(self, value: float) -> float:
        low, high = self.values
        return self.top + (high - value) / (high - low) * self.height

    def frame(self, title: str, bin_ticks: Sequence[int], value_ticks: Sequence[float]) -> list[str]:
        """Title, axes and grid."""
        bottom, right = self.top + self.height, self.left + self.width
        parts = [text(self.left, self.top - 10, title, "title")]
        for value in value_ticks:
            parts.append(line((self.left, self.y(value)), (right, self.y(value)), "#dddddd"))
            parts.append(text(self.left - 6, self.y(value) + 4, f"{value:g}", "small", "end"))
        for k in bin_ticks:
            parts.append(line((self.x(k), bottom), (self.x(k), bottom + 4), GREY))
            parts.append(text(self.x(k), bottom + 17, f"{k}", "small", "middle"))
        return [*parts, line((self.left, self.y(0)), (right, self.y(0)), GREY)]

    def bars(self, heights: Tensor, colour: str) -> list[str]:
        """One bar for each bin, from 0."""
        width = 0.7 * self.width / (self.bins[1] - self.bins[0] + 1)
        parts = []
        for k in range(self.bins[0], self.bins[1] + 1):
            ends = sorted((self.y(float(heights[k])), self.y(0)))
            if ends[1] - ends[0] > VISIBLE:
                box = f'x="{self.x(k) - width / 2:.1f}" y="{ends[0]:.1f}" width="{width:.1f}"'
                parts.append(f'<rect {box} height="{ends[1] - ends[0]:.1f}" fill="{colour}"/>')
        return parts

    def points(self, heights: Tensor) -> str:
        return " ".join(
            f"{self.x(k):.1f},{self.y(float(heights[k])):.1f}" for k in range(self.bins[0], self.bins[1] + 1)
        )

    def curve(self, heights: Tensor, colour: str, dash: str = "none") -> str:
        drawn = f'fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"'
        return f'<polyline points="{self.points(heights)}" {drawn}/>'

    def between(self, one: Tensor, other: Tensor, colour: str) -> str:
        """The area between two curves."""
        back = " ".join(reversed(self.points(other).split()))
        return f'<polygon points="{self.points(one)} {back}" fill="{colour}" fill-opacity="0.18"/>'


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    escaped = words.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escaped}</text>'


def line(
    start: tuple[float, float], end: tuple[float, float], colour: str, *, dash: str = "none", width: int = 1
) -> str:
    ends = f'x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dash}"/>'


def svg(width: int, height: int, label: str, parts: Sequence[str]) -> str:
    """A whole picture on white, so that it can be read on a dark page too."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
    body = [f"<title>{label}</title>", f"<style>{STYLE}</style>", '<rect width="100%" height="100%" fill="#fff"/>']
    return "\n".join([head, *body, *parts, "</svg>", ""])


# ------------------------------------------------------------------------------------------- numbers from the losses


def gradients(logits_K: Tensor, k: int) -> tuple[Tensor, Tensor]:  # noqa: N803
    """Gradients of softCE and of W1 at these coord logits."""
    logits_1K = logits_K[None].clone().requires_grad_()  # noqa: N806
    terms = coord_terms(logits_1K, torch.tensor([k]), target_sigma=SIGMA)
    (soft,) = torch.autograd.grad(terms.soft_ce_N.sum(), logits_1K, retain_graph=True)
    (w1,) = torch.autograd.grad(terms.w1_N.sum(), logits_1K)
    return soft[0], w1[0]


def target(k: int, sigma: float = SIGMA, truncate: float | None = None) -> Tensor:
    made = SoftTargets(target_sigma=sigma, target_truncate=truncate, dtype=torch.float64, device=torch.device("cpu"))
    return made.of(torch.tensor([k]))[0]


def bell(centre: float, sigma: float) -> Tensor:
    """Logits of a Gaussian."""
    return -((torch.arange(BINS, dtype=torch.float64) - centre) ** 2) / (2 * sigma**2)


# ------------------------------------------------------------------------------------------------------ the pictures


def target_picture() -> str:
    middle, border = Panel(50, 40, 310, 200, (489, 511), (0, 0.5)), Panel(430, 40, 310, 200, (0, 14), (0, 0.5))
    parts = middle.frame("q of bin 500", range(490, 511, 5), (0, 0.1, 0.2, 0.3, 0.4, 0.5))
    parts += middle.bars(target(500), BLUE)
    parts += [middle.curve(target(500, 4.0), ORANGE), middle.curve(target(500, 1.0), INK, "2 3")]
    parts += border.frame("q of bin 1", range(0, 15, 2), (0, 0.1, 0.2, 0.3, 0.4, 0.5))
    parts += border.bars(target(1), BLUE) + [border.curve(target(1, SIGMA, 2), ORANGE)]
    for panel, labels in (
        (middle, ((BLUE, "bars", "sigma 2"), (ORANGE, "none", "sigma 4"), (INK, "2 3", "sigma 1"))),
        (border, ((BLUE, "bars", "sigma 2"), (ORANGE, "none", "sigma 2, cut beyond 2 bins"))),
    ):
        parts += legend(panel.left + (200 if panel is middle else 120), panel.top + 12, labels)
    parts.append(text(395, 280, "bin", "small", "middle"))
    return svg(760, 290, "The target of a coordinate: a Gaussian over the bins, renormalised at the borders", parts)


def legend(x: float, y: float, entries: Sequence[tuple[str, str, str]]) -> list[str]:
    parts = []
    for row, (colour, dash, words) in enumerate(entries):
        at = y + 18 * row
        if dash == "bars":
            parts.append(f'<rect x="{x:.1f}" y="{at - 9:.1f}" width="18" height="10" fill="{colour}"/>')
        else:
            parts.append(line((x, at - 4), (x + 18, at - 4), colour, dash=dash, width=2))
        parts.append(text(x + 25, at, words))
    return parts


def w1_picture() -> str:
    panel = Panel(50, 40, 690, 220, (350, 650), (0, 1))
    halves = torch.logaddexp(bell(400, 8), bell(600, 8))
    p, q = torch.softmax(halves, 0), target(500)
    w1 = coord_terms(halves[None], torch.tensor([500]), target_sigma=SIGMA).w1_N.item()
    mean = float((p * torch.arange(BINS)).sum())
    area = float((p.cumsum(0) - q.cumsum(0)).abs().sum())
    if not math.isclose(area / MAX_BIN, w1, rel_tol=1e-9):
        raise RuntimeError("the picture does not show what the loss computes")
    parts = panel.frame("CDFs: the area between them, in bins, divided by 999, is W1", range(350, 651, 50), (0, 0.5, 1))
    parts.append(panel.between(p.cumsum(0), q.cumsum(0), BLUE))
    parts += [panel.curve(q.cumsum(0), ORANGE), panel.curve(p.cumsum(0), BLUE, "7 4")]
    parts += legend(panel.left + 12, panel.top + 18, ((ORANGE, "none", "CDF of q, bin 500"), (BLUE, "7 4", "CDF of p")))
    for words, y in (("both areas together:", 0.29), (f"{area:.1f} bins, W1 {w1:.4f}", 0.2)):
        parts.append(text(panel.x(455), panel.y(y), words, anchor="middle"))
    parts.append(
        text(395, 300, f"bin · p has its halves at 400 and 600, and the expectation {mean:.1f}", "small", "middle")
    )
    return svg(760, 312, "Wasserstein-1 as the area between two CDFs", parts)


def gradient_picture() -> str:
    bins, ticks = (410, 530), range(420, 531, 20)
    logits = bell(450, 10)
    p, q = torch.softmax(logits, 0), target(500)
    soft, w1 = (-gradient for gradient in gradients(logits, 500))
    rows = (
        ("p, broad around bin 450, and q of bin 500", (0.0, 0.2), (0, 0.1, 0.2), p, q),
        ("one step against the gradient of softCE: each logit moves by q - p", (-0.05, 0.2), (0, 0.1, 0.2), None, soft),
        ("the same of W1: mass that is there moves towards the bin", (-0.0005, 0.0005), (-0.0005, 0, 0.0005), None, w1),
    )
    parts: list[str] = []
    for row, (title, values, value_ticks, line_of, bars_of) in enumerate(rows):
        panel = Panel(70, 40 + 170 * row, 670, 110, bins, values)
        parts += panel.frame(title, ticks, value_ticks)
        parts += panel.bars(bars_of.clamp(min=0), BLUE) + panel.bars(bars_of.clamp(max=0), ORANGE)
        if line_of is not None:
            parts.append(panel.curve(line_of, INK, "7 4"))
            parts += legend(panel.left + 12, panel.top + 18, ((INK, "7 4", "p"), (BLUE, "bars", "q")))
        parts.append(line((panel.x(500), panel.top), (panel.x(500), panel.top + panel.height), GREY, dash="2 3"))
    parts.append(text(405, 530, "bin", "small", "middle"))
    return svg(760, 540, "How softCE and W1 move the logits of a coordinate", parts)


PICTURES: dict[str, Callable[[], str]] = {
    "losses-target.svg": target_picture,
    "losses-w1.svg": w1_picture,
    "losses-gradient.svg": gradient_picture,
}


def stale() -> list[Path]:
    """The pictures that differ from what would be drawn now."""
    drawn = {FOLDER / name: draw() for name, draw in PICTURES.items()}
    return [path for path in drawn if not (ROOT / path).is_file() or (ROOT / path).read_text("utf-8") != drawn[path]]


def main(words: Sequence[str]) -> int:
    """Draw all of them, or say which are out of date."""
    if list(words) == ["--check"]:
        found = stale()
        for path in found:
            print(f"{path} is out of date; run python tools/make_loss_pictures.py", file=sys.stderr)
        return int(bool(found))
    if words:
        print("usage: make_loss_pictures.py [--check]", file=sys.stderr)
        return 2
    for name, draw in PICTURES.items():
        (ROOT / FOLDER / name).write_text(draw(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
