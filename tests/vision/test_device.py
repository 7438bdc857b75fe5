"""Words of a setting to a device and a precision."""

import contextlib
from collections.abc import Iterator

import pytest
import torch

from vision.device import DeviceError, bf16_gain, choose_device, place
from vision.training.optimising import bf16_pays


def test_auto_takes_what_is_there() -> None:
    placement = place()
    assert placement.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    if placement.device.type == "cpu":
        assert placement.dtype == (torch.bfloat16 if bf16_gain() > 1.15 else torch.float32)


@pytest.mark.parametrize(("device", "dtype"), [("cuda:0", torch.float16), ("cuda:1", torch.bfloat16)])
def test_a_gpu_that_emulates_bf16_takes_fp16(monkeypatch: pytest.MonkeyPatch, device: str, dtype: torch.dtype) -> None:
    """Two GPUs: an old one, which is the current one, and a new one."""
    current = [torch.device("cuda:0")]

    @contextlib.contextmanager
    def made_current(chosen: torch.device) -> Iterator[None]:
        current.append(chosen)
        yield
        current.pop()

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "device", made_current)
    monkeypatch.setattr(
        torch.cuda,
        "is_bf16_supported",
        lambda including_emulation=True: including_emulation or current[-1].index == 1,
    )
    assert place(device).dtype == dtype
    never = torch.nn.Identity()
    assert bf16_pays(never, torch.device(device), (1, 1, 1), lambda out: out) == (dtype == torch.bfloat16)


def test_what_is_asked_for_is_given() -> None:
    assert place("cpu", "fp32").dtype == torch.float32
    assert place("cpu", "bf16").name == "cpu/bf16"


@pytest.mark.parametrize(
    ("device", "precision"), [("abacus", "auto"), ("cpu", "fp7"), ("cpu", "fp16"), ("mps", "auto")]
)
def test_what_cannot_be_had_is_an_error_in_one_line(device: str, precision: str) -> None:
    with pytest.raises(DeviceError, match="choose") as caught:
        place(device, precision)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has what the test wants missing")
def test_a_missing_gpu_is_named() -> None:
    with pytest.raises(DeviceError, match="0 CUDA"):
        choose_device("cuda")
