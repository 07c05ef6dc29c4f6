"""Coordinate terms and expectation against plain float64 formulas, finite differences and known values."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from coordspec.losses.coord import ROWS_OF_A_BLOCK, CoordTerms, coord_terms
from coordspec.losses.expectation import expected_unit
from loss_reference import soft_target

ENDS = (0, 1, 500, 998, 999)
GRID = list(itertools.product((0.3, 2.0, 60.0), (None, 0, 2.5), (0.4, 1.0, 3.0)))


def plain_target(bin_: int, bins: int, sigma: float, truncate: float | None) -> Tensor:
    q = [
        0.0 if truncate is not None and abs(k - bin_) > truncate else math.exp(-((k - bin_) ** 2) / (2 * sigma**2))
        for k in range(bins)
    ]
    return torch.tensor(q, dtype=torch.float64) / math.fsum(q)


def plain_terms(
    z: Tensor, bins: Tensor, *, target_sigma: float, target_truncate: float | None = None, temperature: float = 1.0
) -> CoordTerms:
    """A loop over rows, as the formulas read."""
    soft, w1, hard = [], [], []
    for row, bin_ in zip(z, bins.tolist(), strict=True):
        log_p = (row / temperature).log_softmax(0)
        q = plain_target(bin_, len(row), target_sigma, target_truncate)
        soft.append(-(q * log_p).sum())
        w1.append((log_p.exp().cumsum(0) - q.cumsum(0)).abs().sum() / (len(row) - 1))
        hard.append(-log_p[bin_])
    return CoordTerms(torch.stack(soft), torch.stack(w1), torch.stack(hard))


def logits(rows: int, bins: int = 1000, scale: float = 3.0, seed: int = 0) -> Tensor:
    return scale * torch.randn(rows, bins, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def total(terms: CoordTerms) -> Tensor:
    """A sum with another weight for every term and row."""
    weights = torch.arange(1, 1 + terms[0].numel(), dtype=terms[0].dtype) / terms[0].numel()
    return (weights * (terms.soft_ce_N + 200 * terms.w1_N + 0.5 * terms.hard_ce_N)).sum()


# ------------------------------------------------------------------ values and gradients


@pytest.mark.parametrize(("sigma", "truncate", "temperature"), GRID)
@pytest.mark.parametrize(("dtype", "near"), [(torch.float64, 1e-10), (torch.float32, 3e-5)])
def test_values_and_gradients(
    dtype: torch.dtype, near: float, sigma: float, truncate: float | None, temperature: float
) -> None:
    settings_: dict[str, Any] = {"target_sigma": sigma, "target_truncate": truncate, "temperature": temperature}
    bins = torch.tensor(ENDS)
    exact = logits(len(ENDS)).to(dtype).double().requires_grad_()
    wanted = plain_terms(exact, bins, **settings_)
    total(wanted).backward()
    z = exact.detach().to(dtype).requires_grad_()
    found = coord_terms(z, bins, **settings_)
    total(found).backward()
    assert exact.grad is not None
    assert z.grad is not None
    for got, want in zip(found, wanted, strict=True):
        assert got.dtype == dtype
        torch.testing.assert_close(got.double(), want, rtol=near, atol=near)
    scale = exact.grad.abs().max()
    torch.testing.assert_close(z.grad.double() / scale, exact.grad / scale, rtol=0, atol=near)


@pytest.mark.parametrize(("sigma", "truncate", "temperature"), GRID)
def test_finite_differences(sigma: float, truncate: float | None, temperature: float) -> None:
    z, bins = logits(4, 9, scale=1.0).requires_grad_(), torch.tensor([0, 1, 4, 8])

    def terms(z: Tensor) -> tuple[Tensor, ...]:
        return tuple(coord_terms(z, bins, target_sigma=sigma, target_truncate=truncate, temperature=temperature))

    assert torch.autograd.gradcheck(terms, (z,))
    assert torch.autograd.gradcheck(lambda z: expected_unit(z, temperature=temperature), (z,))


@pytest.mark.parametrize(("dtype", "near"), [(torch.bfloat16, 1e-2), (torch.float16, 1e-3)])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype, near: float) -> None:
    bins = torch.tensor(ENDS)
    z = logits(len(ENDS)).to(dtype).requires_grad_()
    wide = z.detach().float().requires_grad_()
    for x in (z, wide):
        total(coord_terms(x, bins, target_sigma=2.0)).backward()
    for got, want in zip(
        coord_terms(z, bins, target_sigma=2.0), coord_terms(wide, bins, target_sigma=2.0), strict=True
    ):
        assert got.dtype == torch.float32
        assert torch.equal(got, want)
    assert z.grad is not None
    assert wide.grad is not None
    assert z.grad.dtype == dtype
    torch.testing.assert_close(z.grad.float(), wide.grad, rtol=near, atol=1e-6)


def test_rows_do_not_depend_on_their_block() -> None:
    rows = 2 * ROWS_OF_A_BLOCK["cpu"] + 3
    z, bins = logits(rows).float().requires_grad_(), torch.arange(rows) * 7 % 1000
    found = coord_terms(z, bins, target_sigma=2.0)
    total(found).backward()
    assert z.grad is not None
    weights = torch.arange(1, 1 + rows) / rows
    for n in (0, ROWS_OF_A_BLOCK["cpu"] - 1, ROWS_OF_A_BLOCK["cpu"], rows - 1):
        one = z.detach()[n : n + 1].requires_grad_()
        alone = coord_terms(one, bins[n : n + 1], target_sigma=2.0)
        torch.testing.assert_close(torch.stack(found)[:, n], torch.stack(alone)[:, 0])
        (weights[n] * total(alone)).backward()
        torch.testing.assert_close(z.grad[n], one.grad[0])


def test_only_the_term_that_is_used_has_a_gradient() -> None:
    bins = torch.tensor(ENDS)
    for name in CoordTerms._fields:
        exact, z = logits(len(ENDS)).requires_grad_(), logits(len(ENDS)).requires_grad_()
        getattr(plain_terms(exact, bins, target_sigma=2.0), name).sum().backward()
        getattr(coord_terms(z, bins, target_sigma=2.0), name).sum().backward()
        torch.testing.assert_close(z.grad, exact.grad, rtol=1e-9, atol=1e-12)


# ------------------------------------------------------------------ what holds of them


@given(st.integers(0, 999), st.floats(0.05, 400.0), st.none() | st.floats(0.0, 1200.0))
@settings(max_examples=60)
def test_the_target_is_a_distribution_around_its_bin(bin_: int, sigma: float, truncate: float | None) -> None:
    q = soft_target(torch.tensor([bin_]), target_sigma=sigma, target_truncate=truncate)[0]
    torch.testing.assert_close(q, plain_target(bin_, 1000, sigma, truncate), rtol=1e-12, atol=1e-300)
    assert abs(q.sum().item() - 1) < 1e-12
    assert q.argmax().item() == bin_


@given(st.integers(0, 999), st.integers(0, 999))
@settings(max_examples=60)
def test_w1_between_two_bins_is_their_distance(bin_: int, peak: int) -> None:
    z = torch.zeros(1, 1000)
    z[0, peak] = 200.0
    terms = coord_terms(z, torch.tensor([bin_]), target_sigma=2.0, target_truncate=0)
    assert terms.w1_N.item() == pytest.approx(abs(bin_ - peak) / 999, abs=1e-6)


@pytest.mark.parametrize(
    ("dtype", "largest"), [(torch.float16, 65504.0), (torch.bfloat16, 1e30), (torch.float32, 1e30)]
)
def test_extreme_logits_stay_finite(dtype: torch.dtype, largest: float) -> None:
    z = torch.zeros(4, 1000, dtype=dtype)
    z[0, 3], z[1, 3], z[2, :], z[3, ::2], z[3, 1::2] = largest, -largest, largest, largest, -largest
    z.requires_grad_()
    found = coord_terms(z, torch.tensor([3, 3, 999, 1]), target_sigma=2.0)
    units = expected_unit(z)
    (torch.stack(found).sum() / largest + units.sum()).backward()
    assert torch.stack([*found, units]).isfinite().all()
    assert z.grad is not None
    assert z.grad.isfinite().all()
    assert units[2].item() == pytest.approx(0.5)
    assert found.hard_ce_N[0].item() == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [0, 500, 999])
def test_a_logit_that_is_not_finite_is_seen_in_its_row_alone(bad: float, at: int) -> None:
    z = logits(3).float()
    z[1, at] = bad
    z.requires_grad_()
    bins = torch.tensor([500, 500, 500])
    values = torch.stack([*coord_terms(z, bins, target_sigma=2.0, target_truncate=2), expected_unit(z)])
    assert values[:, 1].isnan().all()
    assert values[:, ::2].isfinite().all()
    values.sum().backward()
    assert z.grad is not None
    assert z.grad[1].isnan().all()
    assert z.grad[::2].isfinite().all()


def test_empty_input() -> None:
    z = torch.zeros(0, 1000, requires_grad=True)
    values = [*coord_terms(z, torch.zeros(0, dtype=torch.int64), target_sigma=2.0), expected_unit(z)]
    assert [tuple(value.shape) for value in values] == [(0,)] * 4
    torch.stack(values).sum().backward()
    assert z.grad is not None
    assert z.grad.shape == (0, 1000)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_expected_unit(temperature: float) -> None:
    exact, z = logits(70).requires_grad_(), logits(70).requires_grad_()
    weights = torch.arange(70, dtype=torch.float64)
    wanted = ((exact / temperature).softmax(1) * torch.arange(1000) / 999).sum(1)
    found = expected_unit(z, temperature=temperature)
    torch.testing.assert_close(found, wanted)
    (weights * wanted).sum().backward()
    (weights * found).sum().backward()
    torch.testing.assert_close(z.grad, exact.grad, rtol=1e-9, atol=1e-12)


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bins_N": [1000]}, "1000 is no bin; bins are 0 to 999"),
        ({"bins_N": [-1]}, "-1 is no bin; bins are 0 to 999"),
        ({"bins_N": [1.0]}, "bins are a vector of integers, not torch.float32 of shape [1]"),
        ({"bins_N": [1, 2]}, "there are 1 rows of logits and 2 bins"),
        ({"target_sigma": 0.0}, "target_sigma is 0.0; it must be a finite number above 0"),
        ({"target_sigma": math.nan}, "target_sigma is nan; it must be a finite number above 0"),
        ({"target_truncate": -1}, "target_truncate is -1; it must be a finite number of at least 0"),
        ({"temperature": 0.0}, "temperature is 0.0; it must be a finite number above 0"),
        ({"coord_logits_NK": [[1, 2]]}, "coord logits are floats of shape [N, K], K at least 2, not torch.int64 of "),
        ({"coord_logits_NK": [1.0]}, "coord logits are floats of shape [N, K], K at least 2, not torch.float32 of "),
    ],
)
def test_bad_calls(arguments: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"coord_logits_NK": [[0.0] * 1000], "bins_N": [5], "target_sigma": 2.0}
    call = good | arguments
    z, bins = torch.tensor(call.pop("coord_logits_NK")), torch.tensor(call.pop("bins_N"))
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        coord_terms(z, bins, **call)
