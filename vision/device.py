"""Where the networks run: in come the words of a setting (`auto`, `cpu`, `cuda`, `bf16`...), out comes a `Placement`.

`auto` takes a CUDA device when torch sees one, else the processor. Precision `auto` is bf16 on a GPU that computes in
it, fp16 on an older one, and on a processor bf16 only when a short measurement in this process finds it faster than
float32 there.

Errors: `DeviceError` (a ValueError), one line that names what is wrong and what can be had.
"""

import functools
import time
from dataclasses import dataclass

import torch
from torch import nn

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class DeviceError(ValueError):
    """The device or precision asked for is not to be had on this machine."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A device and the number type of weights and activations on it."""

    device: torch.device
    dtype: torch.dtype

    @property
    def name(self) -> str:
        """Such as `cpu/bf16`."""
        short = {dtype: name for name, dtype in PRECISIONS.items()}[self.dtype]
        return f"{self.device}/{short}"


def place(device: str = "auto", precision: str = "auto") -> Placement:
    """Choose device (`auto`, `cpu`, `cuda`, `cuda:N`) and precision (`auto`, `fp32`, `bf16`, `fp16`)."""
    chosen = choose_device(device)
    if precision == "auto":
        if chosen.type == "cuda":
            return Placement(chosen, gpu_dtype(chosen))
        return Placement(chosen, torch.bfloat16 if bf16_gain() > 1.15 else torch.float32)
    if precision not in PRECISIONS:
        raise DeviceError(f"unknown precision {precision!r}; choose auto, {', '.join(PRECISIONS)}")
    if precision == "fp16" and chosen.type == "cpu":
        raise DeviceError("precision fp16 needs a GPU; on a processor choose auto, fp32 or bf16")
    return Placement(chosen, PRECISIONS[precision])


def choose_device(device: str = "auto") -> torch.device:
    """The torch device behind the words of a setting; raises `DeviceError` when there is none such."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise DeviceError(f"unknown device {device!r}; choose auto, cpu, cuda or cuda:N") from None
    if chosen.type == "cuda":
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (chosen.index or 0) >= found:
            raise DeviceError(f"device {device!r} is not there: torch sees {found} CUDA device(s); choose auto or cpu")
    elif chosen.type != "cpu":
        raise DeviceError(f"device {device!r} is not supported; choose auto, cpu, cuda or cuda:N")
    return chosen


def gpu_dtype(device: torch.device) -> torch.dtype:
    """The short number type that a GPU computes in: bf16, or fp16 where bf16 is but emulated (T4, V100)."""
    with torch.cuda.device(device):  # what is asked next is asked of the current one
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


@functools.cache
def bf16_gain() -> float:
    """How many times faster than float32 this processor convolves in bf16 (measured once, about 50 ms)."""
    if not _has_bf16_instructions():
        return 0.0
    layers = nn.Sequential(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1)).eval()
    times = {}
    with torch.inference_mode():
        for dtype in (torch.float32, torch.bfloat16):
            network = layers.to(dtype=dtype).to(memory_format=torch.channels_last)
            picture = torch.zeros(1, 32, 48, 80, dtype=dtype).to(memory_format=torch.channels_last)
            network(picture)
            times[dtype] = min(_seconds(network, picture) for _ in range(5))
    return times[torch.float32] / times[torch.bfloat16]


def _seconds(network: nn.Module, picture: torch.Tensor) -> float:
    begin = time.perf_counter()
    network(picture)
    return time.perf_counter() - begin


def _has_bf16_instructions() -> bool:
    # without them bf16 is emulated: right, but many times slower, and measuring that would itself take long
    capability = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capability.get("avx512_bf16") or capability.get("amx_bf16") or capability.get("amx_bf16_tile"))
