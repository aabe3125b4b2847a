from __future__ import annotations

import torch

from deepcolor.config.schema import AugmentConfig
from deepcolor.data.geometric import Geometric

NOTHING = {"flip": 0.0, "rotation": 0.0, "scale_low": 1.0, "scale_high": 1.0, "shift": 0.0, "gamma": 1.0}


def _changed(lightness: torch.Tensor, ab: torch.Tensor, rows: list[int], **how: float) -> tuple[torch.Tensor, ...]:
    epoch = int(how.pop("epoch", 1))
    geometric = Geometric({**NOTHING, **how})
    return geometric.changed(lightness, ab, rows=torch.tensor(rows), count=9, seed=3, epoch=epoch)


def test_a_picture_is_changed_by_seed_epoch_and_row_alone() -> None:
    """Whatever else is in its batch, a picture is changed alike in an epoch, and otherwise in the next one."""
    strengths = AugmentConfig(mode="fresh", geometric=True).geometry
    assert strengths is not None
    lightness, ab = torch.rand(3, 1, 32, 32), torch.randn(3, 2, 32, 32)
    whole = _changed(lightness, ab, [2, 7, 4], **strengths)
    alone = _changed(lightness[1:2], ab[1:2], [7], **strengths)
    assert all(torch.allclose(one[1:2], other, atol=1e-5) for one, other in zip(whole, alone, strict=True))
    later = _changed(lightness, ab, [2, 7, 4], epoch=2, **strengths)
    assert not torch.allclose(whole[0], later[0])


def test_each_strength_does_its_part() -> None:
    """Nothing changes nothing; a sure flip mirrors; scale brings nearer or takes away; gamma leaves the colours."""
    lightness, ab = torch.rand(2, 1, 32, 32), torch.randn(2, 2, 32, 32)
    same = _changed(lightness, ab, [0, 1])
    assert torch.allclose(same[0], lightness, atol=1e-4)
    assert torch.allclose(same[1], ab, atol=1e-3)
    mirrored = _changed(lightness, ab, [0, 1], flip=1.0)
    assert torch.allclose(mirrored[1], ab.flip(3), atol=1e-3)
    square = torch.zeros(2, 1, 32, 32)
    square[:, :, 12:20, 12:20] = 1
    assert float(_changed(square, ab, [0, 1], scale_low=0.5)[0].sum()) < float(square.sum())
    assert float(_changed(square, ab, [0, 1], scale_high=2.0)[0].sum()) > float(square.sum())
    darker = _changed(lightness, ab, [0, 1], gamma=2.0)
    assert torch.allclose(darker[1], ab, atol=1e-3)
    assert not torch.allclose(darker[0], lightness, atol=1e-2)
    assert torch.allclose(_changed(square, ab, [0, 1], rotation=180.0)[0].sum(), square.sum(), rtol=0.1)


def test_geometric_takes_the_place_of_copies() -> None:
    """With the family there are no copies, whatever they are set to; without it nothing is different."""
    assert AugmentConfig(mode="fresh", geometric=True).active == ()
    assert AugmentConfig(mode="fresh").geometry is None
    assert AugmentConfig(rotation=5.0).active == AugmentConfig().active
