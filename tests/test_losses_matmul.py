"""The faster float32 products: tested before use, and only in their scope."""

from __future__ import annotations

import pytest
import torch

from coordspec.losses import matmul
from coordspec.losses.matmul import ERROR_LIMIT, fast_float32


@pytest.fixture(autouse=True)
def _setting() -> None:
    assert torch.get_float32_matmul_precision() == "highest", "another test left it changed"


def test_in_use_where_it_is_accurate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matmul, "_error", lambda device: ERROR_LIMIT)
    with fast_float32() as check:
        assert check.in_use
        assert torch.get_float32_matmul_precision() == "medium"
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize("error", [1.01 * ERROR_LIMIT, float("nan")])
def test_left_alone_where_it_is_not(monkeypatch: pytest.MonkeyPatch, error: float) -> None:
    monkeypatch.setattr(matmul, "_error", lambda device: error)
    with fast_float32() as check:
        assert not check.in_use
        assert torch.get_float32_matmul_precision() == "highest"


def test_restored_to_what_it_was_after_an_error() -> None:
    torch.set_float32_matmul_precision("high")
    try:
        with pytest.raises(KeyError), fast_float32():
            raise KeyError
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_the_error_is_measured_under_the_fast_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(matmul, "_error", lambda device: seen.append(torch.get_float32_matmul_precision()) or 0.0)
    with fast_float32():
        pass
    assert seen == ["medium"]


def test_the_test_tells_float32_from_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the strict setting the error is far below the limit; with operands in bfloat16 it is far above."""
    cpu = torch.device("cpu")
    assert matmul._error(cpu) < ERROR_LIMIT / 3
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, *a, **k: tensor.bfloat16().float())
    assert matmul._error(cpu) > 30 * ERROR_LIMIT
