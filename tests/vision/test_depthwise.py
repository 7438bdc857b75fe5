"""The quick way back through a depthwise convolution gives the gradients of the slow one."""

import copy

import pytest
import torch
from torch import nn

from vision.lcnet import body
from vision.registry import WEIGHTS, load_weights, read_folder
from vision.training.depthwise import quicken


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (1, 2), (2, 2)])
@pytest.mark.parametrize("sides", [(6, 36), (7, 5), (3, 9)])
def test_gradients_are_those_of_torch(size: int, stride: tuple[int, int], sides: tuple[int, int]) -> None:
    torch.manual_seed(size)
    slow = nn.Sequential(nn.Conv2d(8, 8, size, stride, size // 2, groups=8).double())
    quick = copy.deepcopy(slow)
    quicken(quick)
    pictures = [torch.randn(3, 8, *sides, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    with torch.no_grad():
        pictures[1].copy_(pictures[0])
    outs = [network(picture) for network, picture in zip((slow, quick), pictures, strict=True)]
    wanted = torch.randn_like(outs[0])
    for out in outs:
        out.backward(wanted)
    assert torch.equal(*outs)
    torch.testing.assert_close(pictures[0].grad, pictures[1].grad)
    for one, other in zip(slow.parameters(), quick.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_a_body_learns_the_same_in_bf16() -> None:
    torch.manual_seed(1)
    slow = body()
    load_weights(read_folder(WEIGHTS / "body-ppocrv4"), slow)
    quick = copy.deepcopy(slow)
    quicken(quick)
    pictures = torch.randn(2, 3, 48, 144)
    for network in (slow, quick):
        with torch.autocast("cpu", torch.bfloat16):
            network(pictures).float().square().mean().backward()
    for (name, one), (_, other) in zip(slow.named_parameters(), quick.named_parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        alike = nn.functional.cosine_similarity(one.grad.flatten(), other.grad.flatten(), dim=0)
        # one number has no direction but its sign
        assert alike > 0.99 or one.numel() == 1, name


def test_other_convolutions_are_left_alone() -> None:
    network = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, groups=2))
    quicken(network)
    assert not any("forward" in vars(part) for part in network)
