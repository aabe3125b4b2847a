"""The first stage: the lightness of a photo -> its mean a* and b*."""

from __future__ import annotations

from deepcolor.coloring.base import Colouring
from deepcolor.config.sections import ModelConfig
from deepcolor.fields.refusal import Refusal
from deepcolor.stages.contract import Values

_DECODER_FIELDS = ("hidden_activation", "skip_connections", "decoder", "decoder_width")
_NO_BINS = "a regressor chooses no colours"
_RANDOM_START = "a regressor starts from no other model"


class Regressor(Colouring):
    """Predicts the mean colour of a photo; its encoder is what a colorizer starts from."""

    about = "Predicts the mean colour (a*, b*) of a photo from its lightness."
    stops_early = False
    target = "mean"
    output_columns = {"a": "double", "b": "double"}  # noqa: RUF012  # read only
    use = ('a, b = model.mean_ab("photo.jpg")  # mean a*, b*, CIELAB units',)
    ignores = {  # noqa: RUF012  # read only
        "annealing": _NO_BINS,
        "mean_hint": "a regressor predicts nothing but the mean colour",
        "rebalance": _NO_BINS,
        "init_from": _RANDOM_START,
        "encoder_from": _RANDOM_START,
    }
    heads = ("regression", "pixel_mean")

    @classmethod
    def check(cls, values: Values) -> None:
        """Refuse a decoder that nothing would use, besides what all stages refuse."""
        super().check(values)
        heads = [head for _, head in values("head")]
        if "pixel_mean" in heads:
            _check_pixel_mean(values)
            return
        for field in _DECODER_FIELDS:
            default = ModelConfig.model_fields[field].default
            key = next((key for key, value in values(field) if value != default), None)
            if key is not None:
                rule = f"a regressor has a decoder with head: pixel_mean only, so {field} means nothing to it"
                raise Refusal(rule, key=key, advice="Leave it out, or set model.head: pixel_mean.")


def _check_pixel_mean(values: Values) -> None:
    key = next(key for key, head in values("head") if head == "pixel_mean")
    if any(weight for _, weight in values("saturation_weight")):
        rule, advice = "saturation_weight is of the colorizers alone", "Leave one of them out."
        raise Refusal(rule, got="head: pixel_mean", key=key, advice=advice)
