"""What every method keeps, whoever wrote it, one function a promise.

A check that fails raises an AssertionError that says which promise was broken. All run on the CPU of this process, and need
neither pytest nor a screen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import napari_synth
from napari_synth import verbs
from napari_synth.contract.frames import FramePredictor
from napari_synth.contract.generator import Generator, Method, Task
from napari_synth.contract.synthesis import Synthesizer
from napari_synth.core.errors import Cancelled, InvalidParameterError, MaskError, SynthError
from napari_synth.core.progress import CancelToken, Progress
from napari_synth.engine.prepared import PreparedRun
from napari_synth.imaging.image import Image
from napari_synth.registry import AnyMethod, adopted
from napari_synth.testing.subject import FrameSubject, Subject, SynthesisSubject, clean, hole, known, noisy

_DTYPES = ("u1", "u2", "i4", "f2", "f4", "f8", ">u2")
_SHAPES = ((1, 1), (1, 33), (33, 1), (7, 9), (31, 45))
_STACKS = {"ZYX": (5, 40, 44), "TYX": (4, 40, 44), "CYX": (2, 40, 44), "YXS": (40, 44, 3), "TCZYX": (2, 2, 3, 32, 33)}
_WITH_HOLES = {"YX": (40, 44), "ZYX": (3, 40, 44), "YXS": (40, 44, 3)}
_TILE = 64

Planned = tuple[str, Callable[[], None]]


@dataclass(frozen=True)
class Check:
    """One promise, held against one method: call it.

    Attributes
    ----------
    name : str
        The promise, and the case where there are several, e.g. ``"shape_and_dtype_are_kept[u2]"``.
    function : callable
        What raises an AssertionError where the promise is broken.
    """

    name: str
    function: Callable[[], None]

    def __call__(self) -> None:
        """Hold the method to the promise.

        Raises
        ------
        AssertionError
            It is broken; the last line of the traceback names it.
        """
        try:
            self.function()
        except Exception as error:
            error.add_note(f"The contract of methods says: {self.name.replace('_', ' ')}.")
            raise

    def __str__(self) -> str:
        return self.name


def check_method(
    method: Any,
    *,
    settings: Mapping[str, Any] | None = None,
    thorough: Mapping[str, Any] | None = None,
    scale: int | None = None,
) -> None:
    """Hold a method to the whole contract; it takes seconds, or minutes for one that trains.

    Parameters
    ----------
    method : Method, Trainable, or another package's object
        A value such as `napari_synth.contract.generator.Generator`, or what an entry point may name instead of one.
    settings : mapping of str to object, optional
        What every run is given. A method that trains is given a few small steps: at least two, so that it can be cancelled between
        them.
    thorough : mapping of str to object, optional
        What is given instead where the quality of the result is looked at; ``settings`` where it is left out.
    scale : int, optional
        How many times finer results are along Y and X. Where it is left out: 2 for super-resolution, else 1.

    Raises
    ------
    AssertionError
        The first promise that is broken.
    SynthError
        A run failed that the contract wants to succeed.

    Examples
    --------
    >>> from napari_synth.registry import generator
    >>> from napari_synth.testing import check_method
    >>> check_method(generator("translate/gamma"))
    """
    for check in contract_checks(method, settings=settings, thorough=thorough, scale=scale):
        check()


def contract_checks(
    method: Any,
    *,
    settings: Mapping[str, Any] | None = None,
    thorough: Mapping[str, Any] | None = None,
    scale: int | None = None,
) -> list[Check]:
    """Return the checks that `check_method` makes, to run each as a test of its own.

    Of what is trained, and of generators that take nothing but volumes, only what they say of themselves is checked.

    Parameters
    ----------
    method, settings, thorough, scale
        As for `check_method`.

    Examples
    --------
    >>> import pytest
    >>> @pytest.mark.parametrize("check", contract_checks(BOX), ids=str)
    ... def test_the_contract(check):
    ...     check()
    """
    value, given = adopted(method), dict(settings or {})
    checks = [Check("it_says_what_it_is", lambda: it_says_what_it_is(value))]
    if not isinstance(value, Method):
        return checks
    planned: Iterator[Planned] = iter(())
    if isinstance(value, FramePredictor):
        planned = _of_frames(FrameSubject(value, given))
    elif isinstance(value, Synthesizer):
        planned = _of_synthesis(SynthesisSubject(value, given))
    elif isinstance(value, Generator) and 2 in value.info.spatial_dims:
        finer = scale or (2 if value.info.task == Task.SUPER_RESOLUTION else 1)
        planned = _of_planes(Subject(value, given, given | dict(thorough or {}), finer))
    return checks + [Check(name, _while_known(value, function)) for name, function in planned]


def it_says_what_it_is(method: AnyMethod) -> None:
    """Check what a method declares: its id, its sentence, and a title, a description and a default for every setting."""
    info = method.info
    _expect(
        info.id == f"{info.task}/{info.name}", f"The id {info.id!r} does not begin with its task {info.task.value!r}."
    )
    _expect(bool(info.title), f"{info.id} has no title.")
    _expect(info.summary.endswith("."), f"The summary of {info.id} is no sentence: it does not end with a full stop.")
    if isinstance(method, Generator):
        _expect(set(method.info.spatial_dims) <= {2, 3}, f"{info.id} is neither for planes nor for volumes.")
    for name, field in method.params_type.model_fields.items():
        _expect(
            bool(field.title and field.description),
            f"The setting {name!r} of {info.id} lacks a title or a description.",
        )
        _expect(not field.is_required(), f"The setting {name!r} of {info.id} has no default.")
    _expect(
        method.params_type.parse({}) == method.params_type(), f"The settings of {info.id} are not equal to themselves."
    )


def shape_and_dtype_are_kept(subject: Subject, dtype: str) -> None:
    """Check that results have the shape and the dtype of their source, in the byte order of the machine."""
    result = subject.run(noisy((40, 48), dtype))
    _expect_shape(result, subject.expected((40, 48)))
    wanted = np.dtype(dtype).newbyteorder("=")
    _expect(result.dtype == wanted, f"A result is {result.dtype} where the image is {wanted}.")


def tiny_and_odd_sizes(subject: Subject, shape: tuple[int, int]) -> None:
    """Check that no size of a plane is too small or too odd; a single pixel cannot be filled, and that is said."""
    if subject.task == Task.INPAINT and shape == (1, 1):
        with _raises(MaskError):
            subject.run(noisy(shape, "f4"))
        return
    result = subject.run(noisy(shape, "f4"))
    _expect_shape(result, subject.expected(shape))
    _expect(bool(np.isfinite(result).all()), "A finite image gave NaN or inf.")


def stacks_channels_colours_and_movies(subject: Subject, axes: str) -> None:
    """Check that a method is mapped over the axes that it does not take."""
    shape = _STACKS[axes]
    image = np.moveaxis(noisy((shape[-1], *shape[:-1])), 0, -1) if axes[-1] == "S" else noisy(shape)
    _expect_shape(subject.run(image, axes), subject.expected(shape, axes))


def constant_images_stay_as_they_are(subject: Subject) -> None:
    """Check that where there is nothing to see, nothing is made; a correction may take the level away, which is background."""
    result = subject.run(np.full((40, 40), 7.5, "f4"))
    if subject.task == Task.CORRECT:
        np.testing.assert_allclose(result, result[0, 0], atol=1e-3)
        return
    np.testing.assert_allclose(result, 7.5, atol=1e-3)


def nan_and_inf_never_spread(subject: Subject) -> None:
    """Check that pixels without a value are the same ones afterwards, and that what is far from them does not change."""
    image = noisy((48, 48), "f4")
    image[10:14, 20:24], image[30, 31] = np.nan, np.inf
    result = subject.run(image)
    finite = np.isfinite(image) | (hole(image.shape, "YX") & (subject.task == Task.INPAINT))
    np.testing.assert_array_equal(np.isfinite(result), subject.at_every_pixel(finite))
    rest = subject.run(noisy((48, 48), "f4"))
    far = np.s_[-8:, :10]
    moved = abs(float(result[far].mean()) - float(rest[far].mean()))
    _expect(moved < 10, f"NaN in one corner changed another by {moved:g} counts.")


def results_scale_with_the_image(subject: Subject, scale: float) -> None:
    """Check that the unit of the intensities does not matter."""
    image = noisy((48, 48), "f8")
    np.testing.assert_allclose(subject.run(image * scale) / scale, subject.run(image), atol=1.0)


def the_same_seed_gives_the_same_result(subject: Subject) -> None:
    """Check that a run repeats bit by bit."""
    image = noisy((48, 48))
    np.testing.assert_array_equal(subject.run(image, seed=3), subject.run(image, seed=3))


def a_tile_equals_the_whole(subject: Subject) -> None:
    """Check that cutting the image into blocks changes no pixel by more than a thousandth of its range."""
    image = noisy((200, 176), "f4")
    difference = float(np.abs(subject.run(image) - subject.run(image, tile=_TILE)).max())
    spread = float(np.ptp(image))
    _expect(
        difference <= 1e-3 * spread,
        f"Blocks of {_TILE} pixels changed the result by {difference / spread:.1e} of the range: the halo is too small, or apply"
        " looks at the whole block.",
    )


def a_cancel_stops_within_a_block_or_step(subject: Subject, stage: str) -> None:
    """Check that nothing more is done after a cancel, be it in `prepare` or between blocks."""
    token, after = CancelToken(), []

    def watch(progress: Progress) -> None:
        if token.is_cancelled:
            after.append(progress)
        # The first report of a stage comes before its work, the second after a step or a block of it, unless there is only one.
        begun = progress.done or not subject.generator.info.trains or progress.total == 1
        if (progress.stage == "Restoring") == (stage == "restoring") and begun:
            token.cancel()

    # On noisy images nothing is learnt of finer pixels.
    sigma = 1.0 if subject.task == Task.SUPER_RESOLUTION else 20.0
    with _raises(Cancelled):
        subject.run(noisy((3, 560, 520), sigma=sigma), "TYX", tile=_TILE, progress=watch, cancel=token)
    _expect(not after, f"The run went on after a cancel: {after[:1]}.")


def a_recipe_repeats_the_run(subject: Subject) -> None:
    """Check that the record of a run, written and read again, gives the same pixels."""
    image = subject.given(noisy((48, 48)))
    first = _prepared(subject, image, seed=5)
    again = napari_synth.run(first.recipe.to_yaml(), image, **subject.beside(image))
    np.testing.assert_array_equal(again.data, first.compute())


def notes_are_sentences_and_none_is_said_twice(subject: Subject) -> None:
    """Check what a run tells the user; a denoiser tells at least what noise it found."""
    notes = _prepared(subject, subject.given(noisy((48, 48)))).notes
    _expect(bool(notes) or subject.task != Task.DENOISE, "A denoiser says nothing of the noise that it found.")
    _expect(len(set(notes)) == len(notes), f"A note is there twice: {notes}.")
    _expect(all(note.endswith(".") for note in notes), f"A note is no sentence: {notes}.")


def unknown_and_impossible_settings_are_refused(subject: Subject) -> None:
    """Check that a setting that is not there, or out of bounds, is an error that names it."""
    with _raises(InvalidParameterError):
        subject.run(noisy((16, 16)), no_such_setting=1)
    for name, field in subject.generator.params_type.model_fields.items():
        if field.metadata:
            with _raises(InvalidParameterError, naming=name):
                subject.run(noisy((16, 16)), "YX", **{name: -1e9})


def read_only_and_strided_images_are_taken(subject: Subject) -> None:
    """Check that it does not matter how an image lies in the memory, and that nothing is written into it."""
    image = noisy((80, 96))
    image.setflags(write=False)
    view = image[::2, ::-2]
    np.testing.assert_array_equal(subject.run(view), subject.run(np.ascontiguousarray(view)))


def noise_is_removed_and_the_mean_is_kept(subject: Subject) -> None:
    """Check that a denoiser gains at least 2 dB on a photograph, and moves its mean by less than 2 of 255."""
    from skimage.metrics import peak_signal_noise_ratio

    truth, image = clean() + 100, noisy(dtype="f4")
    result = subject.run(image, **subject.thorough)
    before, after = (peak_signal_noise_ratio(truth, shown, data_range=255) for shown in (image, result))
    _expect(after - before > 2.0, f"Denoising gained {after - before:.1f} dB; at least 2 are wanted.")
    moved = abs(float(result.mean()) - float(image.mean()))
    _expect(moved < 2.0, f"Denoising moved the mean by {moved:.1f} counts.")


def only_holes_are_filled(subject: Subject, axes: str) -> None:
    """Check that pixels outside the mask stay bit-identical, and that those inside get values like those around them."""
    image = np.random.default_rng(0).integers(50, 200, _WITH_HOLES[axes]).astype("u2")
    mask = hole(image.shape, axes)
    result = subject.run(np.where(mask[..., None] if "S" in axes else mask, 9999, image).astype("u2"), axes)
    np.testing.assert_array_equal(result[~mask], image[~mask])
    low, high = result[mask].min(), result[mask].max()
    _expect(low >= 50 and high < 200, f"Holes were filled with {low} to {high} where the image has 50 to 199.")


def measured_frames_stay_as_they_are(subject: FrameSubject, dtype: str) -> None:
    """Check that frames are added behind a movie whose own frames do not change by a bit."""
    movie = noisy((4, 24, 28), dtype)
    result = subject.predict(movie, 2)
    _expect_shape(result, (6, 24, 28))
    _expect(result.dtype == movie.dtype, f"Frames are {result.dtype} where the movie is {movie.dtype}.")
    np.testing.assert_array_equal(result[:4], movie)


def missing_frames_are_made_of_those_around_them(subject: FrameSubject) -> None:
    """Check that a missing frame is filled in, whatever it holds, and that no other one changes."""
    movie = noisy((5, 24, 28), "f4")
    result = subject.predict(movie, 0, fill=[2])
    rest = [0, 1, 3, 4]
    np.testing.assert_array_equal(result[rest], movie[rest])
    again = subject.predict(np.where(np.arange(5)[:, None, None] == 2, 9999, movie).astype("f4"), 0, fill=[2])
    # What a missing frame holds may move the range by which the movie is normalised, and so the last digits.
    np.testing.assert_allclose(again, result, atol=1e-2)


def where_nothing_moves_nothing_changes(subject: FrameSubject) -> None:
    """Check that the next frames of a constant movie are like it."""
    np.testing.assert_allclose(subject.predict(np.full((4, 24, 28), 7.5, "f4"), 2), 7.5, atol=1e-3)


def the_same_movie_gives_the_same_frames(subject: FrameSubject) -> None:
    """Check that a prediction repeats bit by bit."""
    movie = noisy((4, 24, 28))
    np.testing.assert_array_equal(subject.predict(movie, 2, seed=3), subject.predict(movie, 2, seed=3))


def movies_of_any_size_are_taken(subject: FrameSubject, shape: tuple[int, int]) -> None:
    """Check that no plane is too small or too odd."""
    result = subject.predict(noisy((3, *shape), "f4"), 1)
    _expect_shape(result, (4, *shape))
    _expect(bool(np.isfinite(result).all()), "A finite movie gave NaN or inf.")


def images_come_in_the_number_that_is_asked_for(subject: SynthesisSubject) -> None:
    """Check the number of images, and that all of them are finite."""
    images = subject.synthesize(2)
    _expect(len(images) == 2, f"Two images were asked for, and {len(images)} came.")
    _expect(bool(np.isfinite(images).all()), "An image has NaN or inf.")


def a_seed_gives_the_same_images_however_many(subject: SynthesisSubject) -> None:
    """Check that the first images of a seed do not depend on how many follow, and that another seed gives others."""
    many = subject.synthesize(2, seed=3)
    np.testing.assert_array_equal(subject.synthesize(1, seed=3), many[:1])
    _expect(not np.array_equal(subject.synthesize(1, seed=4), many[:1]), "Two seeds gave the same image.")


def settings_that_are_not_there_are_refused(subject: FrameSubject | SynthesisSubject) -> None:
    """Check that an unknown setting is an error."""
    with _raises(InvalidParameterError):
        if isinstance(subject, FrameSubject):
            subject.predict(noisy((3, 16, 16)), 1, no_such_setting=1)
        else:
            subject.synthesize(1, no_such_setting=1)


def _of_planes(subject: Subject) -> Iterator[Planned]:
    """Yield every check of a generator that restores planes."""
    plain = (
        constant_images_stay_as_they_are,
        nan_and_inf_never_spread,
        the_same_seed_gives_the_same_result,
        a_tile_equals_the_whole,
        a_recipe_repeats_the_run,
        notes_are_sentences_and_none_is_said_twice,
        unknown_and_impossible_settings_are_refused,
        read_only_and_strided_images_are_taken,
    )
    denoising = (noise_is_removed_and_the_mean_is_kept,) if subject.task == Task.DENOISE else ()
    yield from _cases(subject, *plain, *denoising)
    yield from _cases(subject, shape_and_dtype_are_kept, cases=_DTYPES)
    yield from _cases(subject, tiny_and_odd_sizes, cases=_SHAPES)
    yield from _cases(subject, stacks_channels_colours_and_movies, cases=tuple(_STACKS))
    yield from _cases(subject, results_scale_with_the_image, cases=(1e-6, 1e6))
    yield from _cases(subject, a_cancel_stops_within_a_block_or_step, cases=("preparing", "restoring"))
    if subject.task == Task.INPAINT:
        yield from _cases(subject, only_holes_are_filled, cases=tuple(_WITH_HOLES))


def _of_frames(subject: FrameSubject) -> Iterator[Planned]:
    """Yield every check of a predictor of frames."""
    yield from _cases(
        subject,
        missing_frames_are_made_of_those_around_them,
        where_nothing_moves_nothing_changes,
        the_same_movie_gives_the_same_frames,
        settings_that_are_not_there_are_refused,
    )
    yield from _cases(subject, measured_frames_stay_as_they_are, cases=("u1", "u2", "f4"))
    yield from _cases(subject, movies_of_any_size_are_taken, cases=_SHAPES)


def _of_synthesis(subject: SynthesisSubject) -> Iterator[Planned]:
    """Yield every check of a synthesizer."""
    yield from _cases(
        subject,
        images_come_in_the_number_that_is_asked_for,
        a_seed_gives_the_same_images_however_many,
        settings_that_are_not_there_are_refused,
    )


def _cases(subject: Any, *functions: Callable[..., None], cases: tuple[Any, ...] = ()) -> Iterator[Planned]:
    """Yield checks by name, one for every case where there are several."""
    for function in functions:
        if not cases:
            yield function.__name__, partial(function, subject)
        for case in cases:
            said = "x".join(map(str, case)) if isinstance(case, tuple) else str(case)
            yield f"{function.__name__}[{said}]", partial(function, subject, case)


def _while_known(method: Method[Any], function: Callable[[], None]) -> Callable[[], None]:
    """Return a check that finds its method in the registry."""

    def check() -> None:
        with known(method):
            function()

    return check


def _prepared(subject: Subject, image: Image, seed: int = 0) -> PreparedRun:
    return verbs.prepare(subject.generator.info.id, image, dict(subject.settings), seed=seed, **subject.beside(image))


def _expect(kept: bool, otherwise: str) -> None:
    """Raise an AssertionError with this sentence where a promise is not kept; unlike assert, with ``python -O`` too."""
    if not kept:
        raise AssertionError(otherwise)


def _expect_shape(result: Any, shape: tuple[int, ...]) -> None:
    _expect(result.shape == shape, f"A result has the shape {result.shape} instead of {shape}.")


@contextmanager
def _raises(kind: type[SynthError], naming: str = "") -> Iterator[None]:
    """Fail unless an error of this kind is raised whose sentence has a word in it."""
    try:
        yield
    except kind as error:
        _expect(naming in str(error), f"The error does not name {naming!r}: {error}")
        return
    raise AssertionError(f"No {kind.__name__} was raised.")
