"""The visual network over surface maps and crops: what it reads, what it leaves alone, how large it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from palpate_agents.encoders.picture import (
    CROP_DIM,
    SURFACE_CENTRE,
    SURFACE_DIM,
    SURFACE_SCALE,
    CropEncoder,
    PictureEncoder,
    ResidualBlock,
    SurfaceEncoder,
)
from palpate_agents.encoders.surface_map import CELLS, CHANNELS

LOOKS = 6


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return PictureEncoder().eval()


@pytest.fixture(scope="module")
def maps():
    torch.manual_seed(1)
    return torch.rand(4, CELLS, CELLS, len(CHANNELS)).half()


@pytest.fixture(scope="module")
def crops():
    rng = np.random.default_rng(2)
    return torch.from_numpy(rng.integers(0, 255, (5, 64, 64, 4), np.uint8))


def places(*numbers):
    return torch.tensor(numbers)


def encoded(encoder, maps, crops, maps_at, crops_at):
    with torch.inference_mode():
        return encoder(LOOKS, maps, maps_at, crops, crops_at)


NONE = places(-1, -1, -1, -1, -1, -1)


def test_every_look_finds_its_own_pictures(encoder, maps, crops):
    out = encoded(encoder, maps, crops, places(2, -1, 0, -1, 3, 2), places(-1, -1, 4, 1, 0, -1))
    assert out.shape == (LOOKS, PictureEncoder.OUT) == (LOOKS, SURFACE_DIM + CROP_DIM + 2)
    has_map, has_crop = out[:, SURFACE_DIM], out[:, -1]
    assert has_map.tolist() == [1, 0, 1, 0, 1, 1]
    assert has_crop.tolist() == [0, 0, 1, 1, 1, 0]
    with torch.inference_mode():
        torch.testing.assert_close(out[[0, 2, 4], :SURFACE_DIM], encoder.surface(maps[[2, 0, 3]]))
        torch.testing.assert_close(out[[2, 3, 4], SURFACE_DIM + 1 : -1], encoder.crop(crops[[4, 1, 0]]))
    torch.testing.assert_close(out[5], out[0])  # the same map, no crop


def test_a_look_without_pictures_gives_zeros(encoder, maps, crops):
    out = encoded(encoder, maps, crops, places(2, -1, 0, -1, 3, 2), places(-1, -1, 4, 1, 0, -1))
    assert not out[1].any()
    assert not out[3, : SURFACE_DIM + 1].any()
    assert not out[0, SURFACE_DIM + 1 :].any()
    assert not encoded(encoder, None, None, NONE, NONE).any()
    assert not encoded(encoder, maps, crops, NONE, NONE).any()


def test_a_missing_store_is_the_same_as_no_picture(encoder, maps, crops):
    at = places(2, -1, 0, -1, 3, 2)
    torch.testing.assert_close(
        encoded(encoder, maps, None, at, NONE), encoded(encoder, maps, crops, at, NONE), rtol=0, atol=0
    )


def test_rows_do_not_mix(encoder, maps, crops):
    whole = encoded(encoder, maps, crops, places(0, 1, 2, 3, 0, 1), places(0, 1, 2, 3, 4, -1))
    others = maps.clone()
    others[1:] = 7.0
    brighter = crops.clone()
    brighter[1:] = 255
    changed = encoded(encoder, others, brighter, places(0, 1, 2, 3, 0, 1), places(0, 1, 2, 3, 4, -1))
    torch.testing.assert_close(changed[0], whole[0])
    assert not torch.allclose(changed[1], whole[1])


def test_unknown_cells_are_read_as_usual_ones(maps):
    torch.manual_seed(0)
    network = SurfaceEncoder().eval()
    usual = maps.clone()
    usual[:, 3, 4] = torch.tensor(SURFACE_CENTRE).half()
    centred = network(usual)
    for odd in (torch.nan, torch.inf, -torch.inf):
        spoilt = maps.clone()
        spoilt[:, 3, 4] = odd
        out = network(spoilt)
        assert torch.isfinite(out).all()
        torch.testing.assert_close(out, centred, rtol=2e-3, atol=2e-3)


def test_an_extreme_cell_says_no_more_than_far_out(maps):
    torch.manual_seed(0)
    network = SurfaceEncoder().eval()
    far, farther = maps.clone(), maps.clone()
    far[:, 0, 0] = 100.0
    farther[:, 0, 0] = 60_000.0
    torch.testing.assert_close(network(far), network(farther), rtol=0, atol=0)


def test_scales_belong_to_the_channels():
    assert len(SURFACE_CENTRE) == len(SURFACE_SCALE) == len(CHANNELS)
    assert min(SURFACE_SCALE) > 0
    assert not {name for name in SurfaceEncoder().state_dict() if name in ("centre", "scale")}


def test_a_new_block_is_nearly_its_shortcut():
    torch.manual_seed(0)
    x = torch.randn(2, 16, 8, 8)
    same, changed = ResidualBlock(16, 16), ResidualBlock(16, 32, 2)
    with torch.inference_mode():
        assert (same(x) - x).std() < 0.1
        assert changed(x).shape == (2, 32, 4, 4)
        assert (changed(x) - changed.shortcut(x)).std() < 0.1


def test_nothing_is_random_outside_training(encoder, maps, crops):
    at = places(0, 1, 2, 3, 0, 1)
    one = encoded(encoder, maps, crops, at, at)
    torch.testing.assert_close(encoded(encoder, maps, crops, at, at), one, rtol=0, atol=0)


def test_training_leaves_out_crops_but_no_maps(maps, crops):
    torch.manual_seed(3)
    encoder = PictureEncoder().train()
    at = torch.zeros(400, dtype=torch.int64)
    with torch.no_grad():
        out = encoder(400, maps, at, crops, at)
    assert out[:, SURFACE_DIM].all()
    assert 0.6 < float(out[:, -1].mean()) < 0.8
    assert set(at.tolist()) == {0}


def test_training_turns_parts(maps, crops):
    torch.manual_seed(4)
    encoder = PictureEncoder().train()
    at = places(0, 1, 2, 3, 0, 1)
    with torch.no_grad():
        views = {encoder(LOOKS, maps, at, crops, NONE)[0, 0].item() for _ in range(30)}
    assert len(views) == 4  # neither, one, the other, both sides flipped


def test_gradients_reach_both_networks(maps, crops):
    encoder = PictureEncoder().train()
    at = places(0, 1, 2, 3, 0, 1)
    encoder(LOOKS, maps, at, crops, at).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.surface.parameters())
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in encoder.parameters())


def test_it_is_small():
    assert sum(p.numel() for p in PictureEncoder().parameters()) < 5_000_000
    assert sum(p.numel() for p in CropEncoder().parameters()) < 500_000


def test_it_learns_where_the_paint_is_bare():
    """A patch of another colour anywhere on the part: nothing a mean over the map would tell."""
    torch.manual_seed(5)
    count = 300
    maps = torch.tensor(SURFACE_CENTRE).expand(count, CELLS, CELLS, len(CHANNELS)).clone()
    maps += 0.3 * torch.tensor(SURFACE_SCALE) * torch.randn_like(maps)
    label = torch.arange(count) % 2
    row, column = torch.randint(0, CELLS - 1, (2, count))
    for k in range(count):
        if label[k]:
            maps[k, row[k] : row[k] + 2, column[k] : column[k] + 2, 1:4] -= 0.6
    maps[:, :, :, 1:4] -= maps[:, :, :, 1:4].mean(dim=(1, 2), keepdim=True) - 1.0
    network = torch.nn.Sequential(SurfaceEncoder(), torch.nn.Linear(SURFACE_DIM, 2))
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(40):
        optimiser.zero_grad()
        functional.cross_entropy(network(maps[:200]), label[:200]).backward()
        optimiser.step()
    with torch.inference_mode():
        right = (network(maps[200:]).argmax(dim=1) == label[200:]).float().mean()
    assert right > 0.9
