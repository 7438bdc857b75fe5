"""Words of a setting to a device and a precision."""

import pytest
import torch

from vision.device import DeviceError, bf16_gain, choose_device, place


def test_auto_takes_what_is_there() -> None:
    placement = place()
    assert placement.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    if placement.device.type == "cpu":
        assert placement.dtype == (torch.bfloat16 if bf16_gain() > 1.15 else torch.float32)


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
