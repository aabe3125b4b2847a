"""The first stage: the lightness of a photo -> its mean a* and b*."""

from __future__ import annotations

from deepcolor.coloring.base import Colouring

_NO_DECODER = "a regressor has no decoder"
_RANDOM_START = "a regressor starts from no other model"


class Regressor(Colouring):
    """Predicts the mean colour of a photo; its encoder is what a colorizer starts from."""

    about = "Predicts the mean colour (a*, b*) of a photo from its lightness."
    stops_early = False
    target = "mean"
    output_columns = {"a": "double", "b": "double"}  # noqa: RUF012  # read only
    use = ('a, b = model.mean_ab("photo.jpg")  # mean a*, b*, CIELAB units',)
    ignores = {  # noqa: RUF012  # read only
        "hidden_activation": _NO_DECODER,
        "skip_connections": _NO_DECODER,
        "decoder": _NO_DECODER,
        "decoder_width": _NO_DECODER,
        "head": _NO_DECODER,
        "annealing": _NO_DECODER,
        "flip_at_test": "a picture and its mirror image have the same mean colour",
        "rebalance": _NO_DECODER,
        "init_from": _RANDOM_START,
    }
