"""One page on a result: what it was made of and how, what was changed, how far it can be trusted, and how to write of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth import registry
from napari_synth.contract.generator import Method, Task
from napari_synth.core.errors import SynthError, UnknownGeneratorError
from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter
from napari_synth.core.texts import three_digits, unit_of
from napari_synth.engine.recipe import Recipe, Step
from napari_synth.gui.jobs.again import SourceAlone
from napari_synth.gui.jobs.quality_maps import removed_signal, trust_map
from napari_synth.gui.settings import RunSettings
from napari_synth.imaging.image import Image

Pixels = npt.NDArray[Any]

_DONE = {
    Task.DENOISE: "denoised",
    Task.CORRECT: "corrected",
    Task.DECONVOLVE: "deconvolved",
    Task.SUPER_RESOLUTION: "upscaled",
    Task.INPAINT: "inpainted",
    Task.TRANSLATE: "translated",
    Task.PREDICT_FRAMES: "extended by predicted frames",
}


@dataclass(frozen=True)
class Picture:
    """A plane that is shown in a report.

    Attributes
    ----------
    title : str
    pixels : numpy.ndarray
        (Y, X), or (Y, X, S) with red, green and blue.
    limits : (float, float)
        The values of the darkest and of the brightest colour.
    words : str
        What it shows, with its unit.
    signed : bool
        Whether it is a map around 0.
    """

    title: str
    pixels: Pixels
    limits: tuple[float, float]
    words: str
    signed: bool = False


@dataclass(frozen=True)
class ReportRequest:
    """What a report is asked for.

    Attributes
    ----------
    recipe : Recipe
    name : str
        Of the result's layer.
    said : tuple of str
        The verdict and the notes of the run.
    source : Image or None
        A plane (Y, X[, S]) of what was worked on; None where it is gone.
    result : Image
        The same plane of the result.
    limits : (float, float)
        The contrast limits of both; not used for colours.
    comparable : bool
        Whether source and result can be compared pixel by pixel.
    settings : RunSettings
    """

    recipe: Recipe
    name: str
    said: tuple[str, ...]
    source: Image | None
    result: Image
    limits: tuple[float, float]
    comparable: bool
    settings: RunSettings


@dataclass(frozen=True)
class Report:
    """A report, before it is laid out.

    Attributes
    ----------
    title : str
    pictures : tuple of Picture
    tables : mapping of str to mapping of str to str
        Rows by the title of their table.
    said : tuple of str
    sentence : str
        For the section on methods of a paper.
    """

    title: str
    pictures: tuple[Picture, ...]
    tables: Mapping[str, Mapping[str, str]]
    said: tuple[str, ...]
    sentence: str


def make_report(request: ReportRequest, progress: ProgressCallback, cancel: CancelToken) -> Report:
    """Gather what a report says, and compute the maps of its plane.

    Parameters
    ----------
    request : ReportRequest
    progress, cancel
        Of the job.
    """
    Reporter(progress, cancel).start("Making the report")
    recipe, info = request.recipe, _info(request.recipe)
    ids = ", ".join(step.generator for step in recipe.steps)
    unit = unit_of(request.result.dtype)
    ends = f"{three_digits(request.limits[0])} to {three_digits(request.limits[1])} {unit}"
    pictures = [Picture("Result", request.result.read(), request.limits, ends)]
    if request.source is not None:
        pictures.insert(0, Picture("Source", request.source.read(), request.limits, ends))
    figures: dict[str, str] = {}
    if request.source is not None and request.comparable:
        maps, figures = _maps(request.source, pictures[-1].pixels, request.settings, progress, cancel)
        pictures += maps
    cancel.check()
    method = {"Method": info[0], "Id": ids, "Paper": info[1]}
    settings = {
        f"{step.generator}: {name}" if recipe.before else name: _value(value)
        for step in recipe.steps
        for name, value in step.params.items()
    }
    source = recipe.source
    made_of = {} if source is None else {"Name": source.name, "Shape": str(source.shape), "Type": source.dtype}
    tables = {
        "Source": made_of,
        "Method": {name: value for name, value in method.items() if value},
        "Settings": settings,
        "Numbers": figures,
        "Versions": {**recipe.versions, **{f"weights of {name}": found for name, found in recipe.weights.items()}},
    }
    return Report(
        request.name, tuple(pictures), {k: v for k, v in tables.items() if v}, request.said, sentence_of(recipe)
    )


def sentence_of(recipe: Recipe) -> str:
    """Return a sentence for the section on methods of a paper, with all that is needed to repeat the run."""
    version = recipe.versions.get("napari-synth", "")
    named = f"napari-synth{f' {version}' if version not in {'', 'unknown'} else ''}"
    if recipe.before:
        steps = [
            f"{_done(step)} with “{_info_of(step.generator)[0]}” ({step.generator}; {_settings(step)})"
            for step in recipe.steps
        ]
        parts = [f"Images were {', then '.join(steps)}", f"in one chain of {named}"]
    else:
        title, paper = _info(recipe)
        parts = [
            f"Images were {_done(recipe)} with the method “{title}” ({recipe.generator}{f'; {paper}' if paper else ''})",
            f"of {named}",
            f"with {_settings(recipe)}",
        ]
    weights = f" The weights were {', '.join(recipe.weights)}." if recipe.weights else ""
    return f"{' '.join(parts)}.{weights} The complete recipe is supplied with the data."


def to_html(report: Report, pictures: Mapping[str, str]) -> str:
    """Return a report as one page of HTML.

    Parameters
    ----------
    report : Report
    pictures : mapping of str to str
        The address of each picture, by its title.
    """
    cells = "".join(
        f"<td valign='top' width='25%'><b>{escape(one.title)}</b><br><img src='{pictures[one.title]}' width='170'>"
        f"<br><small>{escape(one.words)}</small></td>"
        for one in report.pictures
    )
    said = "".join(f"<li>{escape(sentence)}</li>" for sentence in report.said)
    tables = "".join(
        f"<h3>{escape(title)}</h3><table cellpadding='2'>"
        + "".join(f"<tr><td>{escape(name)}</td><td><b>{escape(value)}</b></td></tr>" for name, value in rows.items())
        + "</table>"
        for title, rows in report.tables.items()
    )
    return (
        "<!DOCTYPE html><html><head><meta charset='utf-8'>"
        f"<title>{escape(report.title)}</title></head>"
        "<body style='font-family: sans-serif; color: #111; background: #fff'>"
        f"<h2>{escape(report.title)}</h2><table width='100%'><tr>{cells}</tr></table>"
        f"<h3>How far it can be trusted</h3><ul>{said or '<li>Nothing was said of it.</li>'}</ul>"
        f"<h3>For the section on methods</h3><p>{escape(report.sentence)}</p>{tables}</body></html>"
    )


def colours_of(picture: Picture) -> npt.NDArray[np.uint8]:
    """Return a picture as red, green and blue (Y, X, 3): gray, or from blue over white to red where it is signed."""
    if picture.pixels.ndim == 3:
        shown = picture.pixels[..., :3]
        return shown if shown.dtype == np.uint8 else _scaled(shown, (0.0, float(np.nanmax(shown)) or 1.0))
    shown = _scaled(picture.pixels, picture.limits)
    if not picture.signed:
        return np.repeat(shown[..., None], 3, axis=-1)
    share = shown.astype(np.float32) / 127.5 - 1.0
    white = 1.0 - np.abs(share)
    blue, red = np.where(share < 0, 1.0, white), np.where(share > 0, 1.0, white)
    return (255 * np.stack([red, white, blue], axis=-1)).astype(np.uint8)


def _maps(
    source: Image, restored: Pixels, settings: RunSettings, progress: ProgressCallback, cancel: CancelToken
) -> tuple[list[Picture], dict[str, str]]:
    """Return the maps of a plane and what they say in numbers; what cannot be computed of one so small is left out."""
    alone, pictures, figures = SourceAlone(source), [], {}
    for title, compute in (("Removed signal", removed_signal), ("Trust", trust_map)):
        try:
            found = compute(alone, restored, settings, progress, cancel)
        except SynthError as error:
            cancel.check()
            figures[title] = str(error)
            continue
        limits = (-found.limit, found.limit)
        words = f"±{three_digits(found.limit)} {found.unit}"
        pictures.append(Picture(title, np.asarray(found.levels[0]), limits, words, signed=True))
        figures[title] = " ".join(found.notes)
    return pictures, figures


def _scaled(pixels: Pixels, limits: tuple[float, float]) -> npt.NDArray[np.uint8]:
    low, high = limits
    share = (np.nan_to_num(pixels.astype(np.float64), nan=low) - low) / max(high - low, 1e-12)
    return (255 * np.clip(share, 0, 1)).astype(np.uint8)


def _done(step: Recipe | Step) -> str:
    return _DONE.get(Task(step.generator.split("/")[0]), "processed")


def _settings(step: Recipe | Step) -> str:
    """Name the settings of a step, as the end of a sentence."""
    said = ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in step.params.items())
    return f"the settings {said}" if said else "its default settings"


def _info(recipe: Recipe) -> tuple[str, str]:
    """Return the titles and the papers of all steps of a recipe."""
    found = [_info_of(step.generator) for step in recipe.steps]
    return ", then ".join(title for title, _ in found), "; ".join(paper for _, paper in found if paper)


def _info_of(generator: str) -> tuple[str, str]:
    """Return the title and the paper of a method; its id where it is not installed here."""
    try:
        info = registry.found(Method, generator).info
    except UnknownGeneratorError:
        return generator, ""
    return str(info.title), str(info.reference)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return "automatic"
    if isinstance(value, float):
        return three_digits(value)
    text = str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
