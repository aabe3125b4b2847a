from __future__ import annotations

import base64
import io
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from PIL import Image

from deepcolor.inference import MODEL_CODE, ColorModel, load
from tests.registry.world import make_model


@pytest.fixture(scope="session")
def served_model(colorizer_folder: Path) -> Any:
    return loaded(colorizer_folder)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def loaded(folder: Path) -> Any:
    """The pyfunc as MLflow runs it: the file is executed, the context handed in."""
    model = runpy.run_path(str(MODEL_CODE))["DeepcolorModel"]()
    model.load_context(SimpleNamespace(artifacts={"model": str(folder)}))
    return model


def opened(png: bytes) -> np.ndarray[Any, Any]:
    """The pixels of a PNG file."""
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def test_each_picture_comes_back_in_the_form_it_came_in(served_model: Any, colorizer: ColorModel, file: Path) -> None:
    """Paths and bytes give PNG bytes, base64 gives base64, arrays give arrays: the same picture always."""
    data = file.read_bytes()
    text = base64.b64encode(data).decode()
    pixels = np.asarray(Image.open(file))
    expected = colorizer.colorize(file)
    from_path, from_bytes, from_text, from_data_uri, from_array = served_model.predict(
        None, [str(file), data, text, f"data:image/png;base64,{text}", pixels]
    )
    np.testing.assert_array_equal(opened(from_path), expected)
    np.testing.assert_array_equal(opened(from_bytes), expected)
    np.testing.assert_array_equal(opened(base64.b64decode(from_text)), expected)
    np.testing.assert_array_equal(opened(base64.b64decode(from_data_uri)), expected)
    np.testing.assert_array_equal(from_array, expected)


def test_every_container_is_taken(served_model: Any, file: Path) -> None:
    """DataFrames, series, dicts, lists of dicts and single values hold the same pictures."""
    text = base64.b64encode(file.read_bytes()).decode()
    (expected,) = served_model.predict(None, [text])
    frame = served_model.predict(None, pd.DataFrame({"image": [text, text]}))
    assert list(frame["image"]) == [expected, expected]
    assert list(served_model.predict(None, pd.DataFrame([text])).image) == [expected]
    for given in (pd.Series([text]), {"image": [text]}, {"image": text}, [{"image": text}], text, np.array([text])):
        assert served_model.predict(None, given) == [expected]


@pytest.mark.parametrize("shape", [(2, 40, 50), (2, 40, 50, 3), (2, 40, 50, 4)])
def test_a_stack_of_pictures_gives_a_stack(served_model: Any, shape: tuple[int, ...]) -> None:
    """An array (N, H, W) or (N, H, W, C) comes back as one array; JSON's nested lists are understood too."""
    stack = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    result = served_model.predict(None, stack)
    assert result.shape == (2, 40, 50, 4 if shape[-1] == 4 else 3)
    from_lists = served_model.predict(None, [picture.tolist() for picture in stack])
    np.testing.assert_array_equal(np.stack(from_lists), result)


def test_another_form_can_be_asked_for(served_model: Any, file: Path) -> None:
    """The parameter `output` overrides; an unknown one is refused with the list."""
    stack = np.zeros((1, 40, 50), np.uint8)
    assert served_model.predict(None, [str(file)], params={"output": "array"})[0].shape == (40, 50, 3)
    assert isinstance(served_model.predict(None, stack, params={"output": "base64"})[0], str)
    with pytest.raises(MlflowException, match="as_input, png, base64, array"):
        served_model.predict(None, stack, params={"output": "gif"})


def test_colours_can_be_turned_and_averaged(served_model: Any, colorizer: ColorModel, file: Path) -> None:
    """The parameters `saturation` and `flip` are those of `colorize`; a wrong one is the client's mistake."""
    pixels = np.asarray(Image.open(file))
    found = served_model.predict(None, [pixels], params={"saturation": 1.5, "flip": True})[0]
    np.testing.assert_array_equal(found, colorizer.colorize(file, saturation=1.5, flip=True))
    for params, said in (({"saturation": 9}, "from 0 to 3; got 9"), ({"flip": "yes"}, "true or false; got 'yes'")):
        with pytest.raises(MlflowException, match=said) as caught:
            served_model.predict(None, [pixels], params=params)
        assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


def test_a_regressor_gives_mean_colours(tmp_path: Path) -> None:
    """Its answer is a table with the mean a* and b* of each picture."""
    folder = make_model(tmp_path / "model", seed=2, stage="regressor")
    stack = np.random.default_rng(0).integers(0, 255, (3, 70, 70), np.uint8)
    table = loaded(folder).predict(None, stack)
    assert list(table.columns) == ["a", "b"]
    direct = load(folder, device="cpu").mean_ab(stack[1])
    assert tuple(table.iloc[1]) == pytest.approx(direct)


def test_a_client_of_a_server_cannot_read_its_files(
    served_model: Any, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When served, text that is no picture is not taken for a path."""
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
    with pytest.raises(MlflowException, match="base64"):
        served_model.predict(None, [str(file)])
    assert served_model.predict(None, [base64.b64encode(file.read_bytes()).decode()])


@pytest.mark.parametrize("bad", [pd.DataFrame({"a": [1], "b": [2]}), {"picture": []}, [5], [b"no picture"], [[[300]]]])
def test_what_is_no_picture_is_the_clients_mistake(served_model: Any, bad: Any) -> None:
    """Wrong columns, keys, types and files are answered with a message, as an invalid request."""
    with pytest.raises(MlflowException) as caught:
        served_model.predict(None, bad)
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


def test_a_served_request_has_a_limit_on_pixels(served_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One picture above the limit, or several that are above it together, are refused as the client's mistake."""
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
    monkeypatch.setenv("DEEPCOLOR_MAX_MEGAPIXELS", "0.05")

    def sent(width: int, height: int) -> str:
        buffer = io.BytesIO()
        Image.new("L", (width, height), 99).save(buffer, "PNG")
        return base64.b64encode(buffer.getvalue() + bytes(99)).decode()

    assert len(served_model.predict(None, [sent(150, 150), sent(150, 150)])) == 2
    with pytest.raises(MlflowException, match=r"more than 0\.05 megapixels"):
        served_model.predict(None, [sent(300, 200)])
    with pytest.raises(MlflowException, match=r"0\.05 megapixels a request"):
        served_model.predict(None, [sent(150, 150)] * 3)
