from __future__ import annotations

import torch
from torch.nn.functional import interpolate

from deepcolor.config.schema import ModelConfig
from deepcolor.models.bins import _CENTRES, BINS, Bins, _soft
from deepcolor.models.decoders import _doubled_along, doubled
from deepcolor.models.networks import Colorizer, build


def test_doubling_by_slices_is_torchs_own() -> None:
    """What a GPU computes by slices, so that its gradient is the same in every run, is what a CPU interpolates."""
    features = torch.randn(2, 3, 5, 7)
    wanted = interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
    assert torch.allclose(_doubled_along(_doubled_along(features, axis=2), axis=3), wanted, atol=1e-6)
    assert doubled(features, mode="bilinear").equal(wanted)


def test_each_decoder_has_the_width_and_the_skips_it_is_given() -> None:
    """Steps have half the channels of the one before, 16 at least; with skips each one sees the encoder's output."""
    network = build("pixels", ModelConfig(decoder="nearest", decoder_width=100), 64)
    convolutions = [p.shape for n, p in network.named_parameters() if n.startswith("decoder") and p.ndim == 4]
    assert [shape[0] for shape in convolutions] == [100, 100, 50, 50, 25, 25, 16, 16, 16, 16, 16, 16, 2]
    for encoder, last in ((None, 3), ("resnet18", 64)):
        form = {"encoder": encoder, "encoder_weights": "none", "decoder": "bilinear", "skip_connections": True}
        network = build("pixels", ModelConfig.model_validate(form), 64).eval()
        assert isinstance(network, Colorizer)
        lightness = torch.rand(1, 1, 64, 64)
        encoded = network.encoder(lightness)
        assert encoded[0].shape[1] == last
        before = network.decoder(encoded, lightness)
        for index in range(len(encoded)):
            changed = [each + (1.0 if at == index else 0.0) for at, each in enumerate(encoded)]
            assert not network.decoder(changed, lightness).equal(before)
        assert not network.decoder(encoded, lightness + 1).equal(before)


def test_a_sure_choice_is_its_colour() -> None:
    """Logits that are sure of a square give its centre; unsure ones, the mean at annealing 1, and less grey below."""
    bins = Bins()
    for index in (0, 100, BINS - 1):
        logits = torch.full((1, BINS, 2, 3), -50.0)
        logits[:, index] = 50.0
        colours = bins.colours(logits, annealing=0.38)
        assert colours.shape == (1, 2, 8, 12)
        assert torch.allclose(colours, torch.tensor(_CENTRES[index])[None, :, None, None].expand_as(colours))
    logits = torch.zeros(1, BINS, 1, 1)
    logits[:, _CENTRES.index((80.0, 60.0))] = 3.0
    chroma = [float(bins.colours(logits, annealing=share).norm(dim=1).mean()) for share in (1.0, 0.38, 0.1)]
    assert chroma == sorted(chroma)


def test_soft_targets_have_the_colours_mean() -> None:
    """A colour stands for its nearest squares, the closer the more: the shares are 1 together, and mean the colour."""
    ab = torch.tensor([[0.0, 0.0], [13.0, 22.0], [-36.0, 41.0], [55.0, -60.0]])
    nearest, shares = _soft(ab)
    assert torch.allclose(shares.sum(dim=1), torch.ones(4))
    assert (shares[:, :-1] >= shares[:, 1:]).all()
    means = (torch.tensor(_CENTRES)[nearest] * shares[..., None]).sum(dim=1)
    assert ((means - ab).norm(dim=1) < 3).all()


def test_rare_colours_weigh_more() -> None:
    """Weights are the higher the rarer a colour is, 1 on average over the pictures; all the same at uniform 1."""
    grey, red = torch.zeros(3, 2, 8, 8), torch.zeros(1, 2, 8, 8)
    red[:, 0], red[:, 1] = 60, 40
    bins = Bins()
    bins.balance([grey, red], uniform=0.5)
    common, rare = (float(bins.weights[_CENTRES.index(centre)]) for centre in ((0.0, 0.0), (60.0, 40.0)))
    assert 0 < common < rare
    logits = torch.randn(4, BINS, 2, 2)
    plain = Bins()
    assert not torch.isclose(bins.loss(logits, torch.cat((grey, red))), plain.loss(logits, torch.cat((grey, red))))
    bins.balance([grey, red], uniform=1.0)
    assert torch.allclose(bins.weights, torch.ones(BINS), rtol=1e-3)


def test_an_untrained_decoder_paints_flat() -> None:
    """It begins with one colour, not with noise: grey, or the mean of all bins."""
    for head in ("regression", "bins"):
        form = {
            "decoder": "bilinear",
            "decoder_width": 16,
            "head": head,
            "output_activation": "tanh",
            "output_scale": 110,
        }
        network = build("pixels", ModelConfig.model_validate(form), 64).eval()
        with torch.no_grad():
            ab = network.to_ab(network(torch.rand(1, 1, 64, 64)))
        assert float(ab.std(dim=(2, 3)).max()) < 1
        assert head == "bins" or float(ab.abs().max()) < 5
