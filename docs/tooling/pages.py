"""The pages that are made of the code when the site is built: one a method, the command line, the benchmarks.

MkDocs calls `on_config` and `on_files` (see ``hooks`` in ``mkdocs.yml``).
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Literal, get_args, get_origin
from unittest.mock import patch

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic.fields import FieldInfo

from napari_synth import cli, registry
from napari_synth.contract.generator import GeneratorInfo, Method, Task
from napari_synth.models.files import bundled, bundled_names, read_card
from napari_synth.registry import AnyMethod

FIGURES = Path(__file__).parents[1] / "figures.json"
METHODS = "methods/index.md"
_COLUMNS = "92"
_TASKS = {
    Task.DENOISE: ("Denoise", "Remove noise."),
    Task.CORRECT: (
        "Correct",
        "Even out light, background, bleaching and stripes, and bring frames and channels into register.",
    ),
    Task.DECONVOLVE: ("Deconvolve", "Take the blur of the instrument away."),
    Task.SUPER_RESOLUTION: ("Upscale", "Make pixels finer, and voxels cubic. More pixels do not mean more resolution."),
    Task.INPAINT: ("Inpaint", "Fill what is scratched, dusty, dead, burnt or missing."),
    Task.TRANSLATE: (
        "Translate",
        "Give an image the stains, colours, intensities or texture of another; predict channels.",
    ),
    Task.PREDICT_FRAMES: ("Predict frames", "Invent the next, missing or further frames of a time-lapse."),
    Task.SYNTHESIZE: ("Synthesize", "Make new images."),
}
_INVENTS = {
    Task.DENOISE: "It restores measured data. What it took away is shown as *Removed signal*; [trust](../how-it-works/trust.md)"
    " tells whether that is noise alone.",
    Task.CORRECT: "Nothing is added. What is subtracted or divided by is estimated from the images, so that structures which vary"
    " as slowly as light, or run along stripes, can be taken for it: compare the result with its source.",
    Task.DECONVOLVE: "It restores measured data. Blurred again, the result must give what was measured: the verdict says whether it"
    " does. Detail that is finer than what the point spread function passes is a guess.",
    Task.SUPER_RESOLUTION: "Detail that is finer than the measured pixels is a guess. Made coarse again, the result gives the"
    " measured pixels back, as far as they are not noise.",
    Task.INPAINT: "All that it puts into the holes is invented, and comes as a Labels layer too. Every other pixel stays"
    " bit-identical.",
    Task.TRANSLATE: "Intensities and colours are changed by a rule that is the same for the whole image; no structure is added.",
    Task.PREDICT_FRAMES: "All frames that it adds are invented; they are listed in the recipe and get an orange rim in the viewer."
    " Measured frames stay bit-identical.",
    Task.SYNTHESIZE: "Everything: the images are named *synthetic*, and so are the files.",
}
_INVENTED_TRANSLATION = "What it adds is invented: the result is named *synthetic*, and the mark stays with the file."
_KINDS = {
    "one": "one set of images",
    "paired": "pairs of images that show the same fields",
    "unpaired": "two sets of images that need not show the same fields",
}
_BOUNDS = (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"), ("multiple_of", "a multiple of"))
_COMMANDS = (
    "list", "denoise", "deconvolve", "correct", "upscale", "make-isotropic", "inpaint",
    "translate", "predict-frames", "synthesize",
    "train denoise/supervised", "augment", "run", "curves", "assess", "plan", "finish", "curate export", "curate merge",
    "model", "model add", "model show", "model export", "doctor", "bench",
)  # fmt: skip


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the methods into the navigation."""
    entries: list[Any] = [METHODS]
    for task, methods in _by_task().items():
        entries.append({_TASKS[task][0]: [{_title(method): _page(method)} for method in methods]})
    for entry in config.nav or []:
        if "Methods" in entry:
            entry["Methods"] = entries
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made of the code."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    pages = {METHODS: methods_page(), "reference/command-line.md": command_line_page()}
    pages |= {_page(method): method_page(method, figures) for methods in _by_task().values() for method in methods}
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put in what a page asks for: measured figures by a line ``<!-- figures -->``, the bundled models by ``<!-- weights -->``."""
    if "<!-- figures -->" in markdown:
        figures = json.loads(FIGURES.read_text(encoding="utf-8"))
        markdown = markdown.replace("<!-- figures -->", "\n".join(_reports(figures)))
    if "<!-- weights -->" in markdown:
        markdown = markdown.replace("<!-- weights -->", "\n".join(_weights()))
    return markdown


def methods_page() -> str:
    """Return the list of all methods, a table a task."""
    lines = [
        "# Methods",
        "",
        "Every method is a value of the registry; these pages are made from it. `napari-synth list` names them too.",
    ]
    for task, methods in _by_task().items():
        title, sentence = _TASKS[task]
        lines += ["", f"## {title}", "", sentence, "", "| method | what it does and when to take it |", "|---|---|"]
        for method in methods:
            name = Path(_page(method)).name
            learns = "" if isinstance(method, Method) else " *To be trained.*"
            lines.append(f"| [`{method.info.id}`]({name}) | {method.info.summary}{learns} |")
    return "\n".join(lines) + "\n"


def method_page(method: AnyMethod, figures: Mapping[str, Any]) -> str:
    """Return the page of one method: what it says of itself, its settings, its figures."""
    info = method.info
    lines = [
        f"# {_title(method)}",
        "",
        info.summary,
        "",
        *_table(("id", f"`{info.id}`"), _facts(method)),
        "",
        "## What it invents",
        "",
    ]
    invented = info.task == Task.TRANSLATE and getattr(info, "invents", not isinstance(method, Method))
    lines += [_INVENTED_TRANSLATION if invented else _INVENTS[info.task], "", "## Settings", ""]
    settings = [_setting(name, field) for name, field in method.params_type.settable().items()]
    columns = ("setting", "what it does", "values", "default")
    lines += _table(columns, settings) if settings else ["It has none."]
    if any("▸" in setting[0] for setting in settings):
        lines += ["", "▸ folded away in the panel: it seldom needs to be touched."]
    if measured := list(_measured(method, figures)):
        lines += ["", "## Figures", "", *measured]
    return "\n".join(lines) + "\n"


def command_line_page() -> str:
    """Return the help of every command as the commands print it."""
    lines = [
        "# Command line",
        "",
        "What `--help` says of every command. The settings of a method stand on its page, and in the help",
    ]
    lines += ["of its command: `napari-synth denoise --generator median --help`."]
    for command in ("", *_COMMANDS):
        lines += ["", f"## napari-synth {command}".rstrip(), "", "```text", _help(command), "```"]
    return "\n".join(lines) + "\n"


def is_label_of(label: str, method: AnyMethod, task: str) -> bool:
    """Return whether a row or a column of a report of a task is about a method: by its id, its name or its title."""
    plain = label.strip("` ").lower()
    if plain == method.info.id:
        return True
    names = {method.info.name, method.info.title.lower()}
    return task == method.info.task and bool({plain, plain.replace(" ", "-")} & names)


def _by_task() -> dict[Task, list[AnyMethod]]:
    """Return what ships with the package, by task: what is used as it is first, then what is trained."""
    every: list[AnyMethod] = [*registry.listed(Method), *registry.trainables()]
    built_in = [
        one for one in every if isinstance(one.function, str) and one.function.startswith("napari_synth.methods.")
    ]
    return {task: [one for one in built_in if one.info.task == task] for task in _TASKS}


def _page(method: AnyMethod) -> str:
    trained = "" if isinstance(method, Method) else "train-"
    return f"methods/{trained}{method.info.id.replace('/', '-')}.md"


def _title(method: AnyMethod) -> str:
    return method.info.title if isinstance(method, Method) else f"Train: {method.info.title}"


def _facts(method: AnyMethod) -> Iterator[tuple[str, str]]:
    info = method.info
    verb = info.task.verb
    if not isinstance(info, GeneratorInfo):
        yield "learns from", _KINDS[info.images]
        yield "in Python", f'`napari_synth.train("{info.id}", ...)`'
        yield "command", f"`napari-synth train {info.id} ...`"
        yield "panel", "*Train*"
    else:
        python, how = verb.replace("-", "_"), (f'..., generator="{info.name}"', f"... --generator {info.name}")
        if info.task == Task.SYNTHESIZE:
            how = (f'"{info.id}", ...', f"{info.id} ...")
        yield "in Python", f"`napari_synth.{python}({how[0]})`"
        yield "command", f"`napari-synth {verb} {how[1]}`"
        yield "panel", f"*{_TASKS[info.task][0]}*"
        if info.task not in (Task.SYNTHESIZE, Task.PREDICT_FRAMES):
            yield "looks at", " or ".join({2: "planes", 3: "volumes"}[dimensions] for dimensions in info.spatial_dims)
        yield "colours of RGB", "together" if info.colour == "joint" else "one by one"
        if info.trains:
            yield "learns", "from the image, when it is run"
        if info.reference_image != "none":
            yield "reference image", info.reference_image
        yield "licence of its weights", info.weights_licence or "it has no bundled weights"
    yield "after", info.reference or "no paper"


def _setting(name: str, field: FieldInfo) -> tuple[str, str, str, str]:
    extra = field.json_schema_extra
    folded = isinstance(extra, dict) and bool(extra.get("advanced"))
    default = field.get_default(call_default_factory=True)
    said = f"{default:g}" if isinstance(default, float) else str(default)
    shown = {"None": "chosen", "True": "on", "False": "off"}.get(said, f"`{said}`")
    return f"`{name}`{' ▸' if folded else ''}", f"{field.title}. {field.description}", _values(field), shown


def _values(field: FieldInfo) -> str:
    """Say which values a setting takes."""
    kinds = [kind for kind in (get_args(field.annotation) or (field.annotation,)) if kind is not type(None)]
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(field.annotation))
    if bool in kinds:
        return "on, off"
    given = [(sign, getattr(rule, key, None)) for rule in field.metadata for key, sign in _BOUNDS]
    rules = [f"{sign} {_number(value)}" for sign, value in given if value is not None]
    named = "whole number" if int in kinds else "number" if float in kinds else "text"
    return ", ".join([named, *rules])


def _number(value: float) -> str:
    """Return a bound as people write it: 100 000 000 rather than 1e+08."""
    return f"{int(value):_}".replace("_", "\u202f") if float(value).is_integer() else f"{value:g}"


def _measured(method: AnyMethod, figures: Mapping[str, Any]) -> Iterator[str]:
    """Yield the tables that have a row or a column of a method, its figures in bold."""
    for report in figures["reports"]:
        for table in report["tables"]:
            columns, rows = table["columns"], table["rows"]
            marked = {
                index for index, label in enumerate(columns) if is_label_of(label, method, report.get("task", ""))
            }
            bold = [is_label_of(str(row[0]), method, report.get("task", "")) for row in rows]
            if not marked and not any(bold):
                continue
            shown = [
                [_cell(value, table["digits"], strong=index in marked or strong) for index, value in enumerate(row)]
                for row, strong in zip(rows, bold, strict=True)
            ]
            yield f"**{table['title']}**"
            yield ""
            yield from _table(columns, shown)
            yield ""
            yield f"Measured by `{report['command']}`: {_machine(report)}."
            yield ""


def _reports(figures: Mapping[str, Any]) -> Iterator[str]:
    for report in figures["reports"]:
        yield f"## {report['title']}"
        yield ""
        yield f"`{report['command']}`: {_machine(report)}."
        yield ""
        for table in report["tables"]:
            yield f"**{table['title']}**"
            yield ""
            yield from _table(
                table["columns"], [[_cell(value, table["digits"]) for value in row] for row in table["rows"]]
            )
            yield ""
        yield from (f"{remark}\n" for remark in report["remarks"])


def _weights() -> Iterator[str]:
    """Yield what the cards of the bundled models say."""
    for name in bundled_names():
        card = read_card(bundled(name))
        yield f"## {card.title}"
        yield ""
        facts = [
            ("architecture", card.architecture),
            ("made by", f"`{card.training_command}`"),
            ("licence", card.weights_licence),
        ]
        yield from _table(("model", f"`{card.name}`"), facts)
        yield ""
        yield "It learnt from:"
        yield ""
        yield from _table(("data", "licence"), [(data.name, data.licence) for data in card.training_data])
        yield ""
        yield "Its limits:"
        yield ""
        yield from (f"- {limit}" for limit in card.limits)
        yield ""


def _machine(report: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in report["machine"].items())


def _cell(value: str | float | None, digits: int, *, strong: bool = False) -> str:
    if value is None:
        return ""
    said = value if isinstance(value, str) else f"{value:.{digits}f}"
    return f"**{said}**" if strong and said else said


def _table(columns: Sequence[str], rows: Any) -> list[str]:
    lines = [_line(columns), _line(["---"] * len(columns))]
    return lines + [_line(row) for row in rows]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(re.sub(r"\s+", " ", cell).replace("|", "\\|") for cell in cells) + " |"


def _help(command: str) -> str:
    """Return what a command says of itself."""
    said = io.StringIO()
    with patch.dict(os.environ, COLUMNS=_COLUMNS, NO_COLOR="1", TERM="dumb"), redirect_stdout(said):
        cli.main([*command.split(), "--help"])
    return "\n".join(line.rstrip() for line in said.getvalue().splitlines()).strip()
