"""The samples are there, are what they say, and the scripts' demo shows one."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from napari_synth import demo, samples
from napari_synth.core.errors import ImageFileError

KINDS = {
    "actin": ("YX", "uint16"),
    "neuron": ("CYX", "uint16"),
    "scratch": ("TCYX", "uint16"),
    "brain": ("ZYX", "uint16"),
    "tissue": ("YXS", "uint8"),
    "retina": ("YX", "uint8"),
    "damaged": ("YX", "uint8"),
    "restained": ("YXS", "uint8"),
    "wide_field": ("ZYX", "uint16"),
}


@pytest.mark.parametrize("name", samples.SAMPLES)
def test_a_sample_is_what_it_says(name: str) -> None:
    image = samples.load(name)
    assert (image.axes, str(image.dtype)) == KINDS[name]
    assert image.name == name
    if image.dtype == np.uint16:
        assert set(image.units) == set(image.axes) & set("ZYX")
    truth = samples.load_truth(name)
    assert (truth is not None) == samples.SAMPLES[name].has_truth
    if truth is not None:
        assert truth.shape == image.shape
        # The noise is independent of the truth and has no bias worth a hundredth of its range.
        difference = image.read().astype(float) - truth.read()
        assert abs(difference.mean()) < 0.05 * np.ptp(truth.read())
        assert difference.std() > 0


def test_the_mask_of_a_damaged_sample_marks_its_damage() -> None:
    image, truth, mask = samples.load("damaged"), samples.load_truth("damaged"), samples.load_mask("damaged")
    assert truth is not None
    assert mask is not None
    assert set(np.unique(mask.read())) == {0, 1, 2, 3}
    wrong = np.abs(image.read().astype(float) - truth.read())
    assert wrong[mask.read() == 0].max() < 20
    assert np.median(wrong[mask.read() > 0]) > 30
    assert samples.load_mask("actin") is None


def test_every_sample_names_its_source_and_licence() -> None:
    readme = (samples.folder() / "README.md").read_text(encoding="utf-8")
    for name, sample in samples.SAMPLES.items():
        assert sample.licence
        assert sample.source
        assert f"| `{name}` |" in readme


def test_the_samples_are_small() -> None:
    assert sum(path.stat().st_size for path in samples.folder().glob("*.tif")) < 6 * 2**20


def test_an_unknown_sample_is_refused() -> None:
    with pytest.raises(ImageFileError, match="choose one of actin"):
        samples.load("nothing")


def test_the_demo_makes_a_picture_without_a_screen(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["--sample", "actin", "--picture", str(tmp_path / "new" / "a.png")]) == 0
    picture = iio.imread(tmp_path / "new" / "a.png")
    assert picture.shape == (480, 3 * 480)
    before, after, truth = (part.astype(float) for part in np.split(picture, 3, axis=1))
    assert np.square(after - truth).mean() < 0.25 * np.square(before - truth).mean()
    assert "dB), after" in capfd.readouterr().out
