"""Calls of the public verbs with any arguments: each ends in a result or in one of our errors, and leaves the program as it was."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import napari_synth
from napari_synth.core.errors import GeneratorError, SynthError, UnforeseenError
from napari_synth.core.progress import CancelToken
from napari_synth.imaging.image import Image

# Every run of the tests tries the same calls.
BOUNDED = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
_RNG = np.random.default_rng(0)


class Unprintable:
    """Says nothing of itself."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


def _unknown_chunks() -> da.Array:
    flat = da.from_array(np.arange(64.0), chunks=16)
    return flat[flat > 3]


STRANGE = st.sampled_from(
    [
        None,
        True,
        0,
        1.5,
        -1,
        10**30,
        10**5000,
        float("nan"),
        float("inf"),
        1 + 2j,
        "6",
        "",
        "\0",
        "auto",
        "YX",
        "é" * 500,
        "a: " * 3,
        "generator: [\n",
        b"YX",
        [],
        ["Y", "X"],
        [1, [2, 3]],
        (),
        {},
        {1: 2},
        {"Y": "x"},
        {3.5, "a"},
        range(3),
        slice(2),
        object(),
        Unprintable(),
        print,
        int,
        Ellipsis,
        np.int64(3),
        np.float32("nan"),
        np.array([]),
        np.array(["a", "b"]),
        np.zeros((2, 2), complex),
        np.datetime64("2020-01-01"),
        torch.zeros(3, 3),
        _unknown_chunks(),
        CancelToken(),
        Image(np.ones((4, 5)), "YX"),
    ]
)


def _counts(dtype: str, shape: tuple[int, ...], lowest: float, highest: float) -> np.ndarray:
    return (_RNG.random(shape) * (highest - lowest) + lowest).astype(dtype)


_LARGE = float(np.finfo("f4").max)
_HOLED = _counts("f4", (12, 13), 0, 50)
_HOLED[2:5, 3] = np.nan
_HOLED[8, 8] = np.inf
IMAGES = st.sampled_from(
    [
        _counts("u1", (16, 17), 0, 255),
        _counts("u2", (3, 16, 17), 100, 4000),
        _counts("i8", (12, 12), -(2**62), 2**62),
        _counts("u8", (12, 12), 0, 2**63),
        _counts("f4", (16, 17), -_LARGE / 2, _LARGE / 2),
        _counts("f4", (16, 17), 0, _LARGE),
        np.full((9, 9), _LARGE, "f4") * np.where(np.eye(9), 1, -1).astype("f4"),
        _counts("f8", (16, 17), 0, 1e300),
        _counts("f4", (16, 17), 0, 1e-38),
        _counts("f2", (16, 17), 0, 60000),
        _counts(">u2", (16, 17), 0, 60000),
        _HOLED,
        np.full((9, 9), np.nan, "f4"),
        np.full((9, 9), 7, "u1"),
        np.zeros((1, 1), "u1"),
        np.zeros((0, 4), "u1"),
        np.zeros((1, 40), "f4"),
        np.zeros((40, 1), "f4"),
        _counts("u1", (9, 10, 3), 0, 255),
        _counts("u1", (9, 10, 4), 0, 255),
        _counts("u1", (2, 1, 3, 9, 10), 0, 255),
        np.zeros((1,) * 7, "u1"),
        _counts("u1", (16, 16), 0, 2).astype(bool),
        np.ma.masked_less(_counts("f4", (12, 12), 0, 9), 3),
        np.zeros((6, 6), "f4,i4"),
        da.from_array(_counts("u2", (20, 21), 0, 900), chunks=7),
        Image(_counts("u2", (4, 12, 13), 0, 900), "ZYX", {"Z": 2.0}),
        [[1, 2, 3], [4, 5, 6]],
        [[1, 2], [3]],
        "no image",
        torch.ones(5, 5),
    ]
)


def _settled(call: Callable[[], Any]) -> str:
    """Return how a call ended: with a result, or with which of our errors."""
    before = _state_of_program()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = call()
            if isinstance(result, da.Array):
                result.compute(scheduler="synchronous")
    except SynthError as error:
        ended: SynthError | None = error
    else:
        ended = None
    assert not isinstance(ended, (GeneratorError, UnforeseenError)), ended
    assert ended is None or 0 < len(str(ended)) < 1000
    assert _state_of_program() == before
    return "result" if ended is None else type(ended).__name__


def _state_of_program() -> tuple[Any, ...]:
    return (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
        torch.get_rng_state().sum().item(),
        hash(np.random.get_state()[1].tobytes()),  # noqa: NPY002 - that of the program is what counts
        hash(random.getstate()),
        tuple(np.geterr().items()),
    )


def _changed(usual: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return arguments of which one to three are strange."""
    replaced = st.dictionaries(st.sampled_from(sorted(usual)), STRANGE, min_size=1, max_size=3)
    return replaced.map(lambda strange: usual | strange)


COMMON = {"axes": None, "device": "cpu", "precision": "auto", "seed": 0, "tile": None, "progress": None, "cancel": None}
PLANE = _counts("u2", (16, 17), 100, 900)
_MASK = np.zeros((16, 17), bool)
_MASK[4:6, 5:9] = True
CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "denoise": (napari_synth.denoise, {"image": PLANE, "generator": "median", "radius": 1} | COMMON),
    "denoise by a network": (napari_synth.denoise, {"image": PLANE, "strength": 1.0, "sigma": None} | COMMON),
    "correct": (
        napari_synth.correct,
        {"image": PLANE, "generator": "background", "reference": None, "radius": 5, "dtype": "auto"} | COMMON,
    ),
    "deconvolve": (
        napari_synth.deconvolve,
        {"image": PLANE, "psf": None, "generator": "richardson-lucy", "width": 1.2, "iterations": 2} | COMMON,
    ),
    "assess": (napari_synth.assess, {"image": PLANE, "axes": None}),
    "prepare": (
        napari_synth.prepare,
        {"recipe_or_id": "denoise/median", "image": PLANE, "params": {"radius": 1}, "region": {"Y": (2, 9)}}
        | {"blend": 0.5, "memory_budget": None}
        | COMMON,
    ),
    "upscale": (napari_synth.upscale, {"image": PLANE, "factor": 2, "generator": "bicubic"} | COMMON),
    "make_isotropic": (
        napari_synth.make_isotropic,
        # Settings that are all wrong, so that nothing is trained whichever of them are replaced.
        {"volume": np.stack([PLANE] * 4), "spacing": (2, 1, 1), "generator": "isotropic"}
        | {"steps": "none", "minutes": "none", "slices": "none", "factor": "none"}
        | COMMON,
    ),
    "inpaint": (
        napari_synth.inpaint,
        {
            "image": PLANE,
            "mask": _MASK,
            "generator": "biharmonic",
            "mask_from": None,
            "mask_ids": None,
            "grow": 0,
        }
        | COMMON,
    ),
    "translate": (napari_synth.translate, {"image": PLANE, "reference": None, "generator": "gamma"} | COMMON),
    "translate with a reference": (
        napari_synth.translate,
        {"image": PLANE, "reference": PLANE[:9] * 2, "generator": "quantile-matching", "fitted": None} | COMMON,
    ),
    "predict_frames": (
        napari_synth.predict_frames,
        {"movie": np.stack([PLANE] * 3), "count": 1, "generator": "copy-last", "fill": None, "between": 0} | COMMON,
    ),
    "run": (
        napari_synth.run,
        {"recipe_or_id": "denoise/median", "image": PLANE, "reference": None, "mask": None, "grow": None} | COMMON,
    ),
    "augment": (
        napari_synth.augment,
        {
            "image": PLANE,
            "labels": _MASK.astype(int),
            "points": [[1.0, 2.0]],
            "shapes": [[[0, 0], [3, 3]]],
            "vectors": None,
            "tracks": None,
            "transforms": "light-microscopy",
            "axes": None,
            "seed": 0,
        },
    ),
    "synthesize": (
        napari_synth.synthesize,
        {"model": "patches", "count": 1, "source": np.tile(PLANE, (3, 3)), "size": 16, "axes": None, "seed": 0},
    ),
    "interpolate": (
        napari_synth.interpolate,
        {"model": "patches", "begin": 0, "end": 1, "count": 2, "size": 16, "device": "cpu"},
    ),
    "train": (
        napari_synth.train,
        {
            "generator": "denoise/nothing",
            "source": PLANE,
            "target": None,
            "minutes": None,
            "steps": 1,
            "out": None,
            "axes": None,
            "region": None,
            "name": None,
            "resume": False,
            "seed": 0,
        },
    ),
    "load_model": (
        napari_synth.load_model,
        {"path": "nothing.safetensors", "task": None, "name": None, "trusted": False},
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_any_arguments_end_in_a_result_or_in_one_of_our_errors(name: str) -> None:
    verb, usual = CALLS[name]

    @BOUNDED
    @given(_changed(usual))
    def check(arguments: dict[str, Any]) -> None:
        _settled(lambda: verb(**arguments))

    check()


ON_ANY_IMAGE: dict[str, Callable[[Any], Any]] = {
    "median": lambda image: napari_synth.denoise(image, "median", device="cpu"),
    "network": lambda image: napari_synth.denoise(image, device="cpu"),
    "background": lambda image: napari_synth.correct(image, radius=5, device="cpu"),
    "wiener": lambda image: napari_synth.deconvolve(image, None, "wiener", width=1.2, device="cpu"),
    "assess": napari_synth.assess,
    "bicubic": lambda image: napari_synth.upscale(image, 1.5, "bicubic", device="cpu"),
    "saturated": lambda image: napari_synth.inpaint(image, mask_from="saturated", device="cpu"),
    "gamma": lambda image: napari_synth.translate(image, generator="gamma", device="cpu"),
    "itself": lambda image: napari_synth.translate(image, image, "quantile-matching", device="cpu"),
    "frames": lambda image: napari_synth.predict_frames(image, 1, "linear", device="cpu"),
    "augment": lambda image: napari_synth.augment(image, labels=image),
    "patches": lambda image: napari_synth.synthesize("patches", source=image, size=8, device="cpu"),
}


@pytest.mark.parametrize("name", ON_ANY_IMAGE)
def test_any_image_ends_in_a_result_or_in_one_of_our_errors(name: str) -> None:
    @BOUNDED
    @given(IMAGES)
    def check(image: Any) -> None:
        _settled(lambda: ON_ANY_IMAGE[name](image))

    check()
