"""Describes an exported set as an RO-Crate of the profile Process Run Crate: what is in it, who decided, and with what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_synth.core.errors import MissingExtraError
from napari_synth.engine.recipe import current_versions

PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
METADATA = "ro-crate-metadata.json"
_HOME = "https://pypi.org/project/napari-synth/"
_KINDS = {
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".jsonl": "application/jsonl",
    ".yaml": "application/yaml",
}


@dataclass(frozen=True)
class Contents:
    """What a crate describes; files are named relative to its folder.

    Attributes
    ----------
    title, licence : str
        Of the set.
    files : mapping of str to str
        The images, each with its SHA-256.
    described : mapping of str to str
        Further files that the export made, each with what it is.
    decisions : str
        The journal.
    people : tuple of str
        Who decided.
    ended : str
        When the last of them did, ISO 8601.
    recipes : mapping of str to tuple of str
        The records of runs, each with the images that were made so.
    """

    title: str
    licence: str
    files: Mapping[str, str]
    described: Mapping[str, str]
    decisions: str
    people: tuple[str, ...]
    ended: str
    recipes: Mapping[str, tuple[str, ...]]


def write_crate(folder: Path, contents: Contents) -> None:
    """Write ``ro-crate-metadata.json`` into the folder of a set.

    Raises
    ------
    MissingExtraError
        The extra ``curation`` is not installed.
    """
    try:
        from rocrate.model.contextentity import ContextEntity
        from rocrate.model.person import Person
        from rocrate.rocrate import ROCrate
    except ImportError as error:
        raise MissingExtraError.of("curation", "RO-Crates", error) from error
    crate = ROCrate(version="1.1")
    crate.name = contents.title
    crate.description = f"{len(contents.files)} images that were chosen by eye, with every decision and measure."
    crate.root_dataset["datePublished"] = contents.ended[:10]
    crate.license = contents.licence or "No licence is stated: ask whoever made this set."
    profile = {"@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}
    crate.root_dataset["conformsTo"] = crate.add(ContextEntity(crate, PROFILE, properties=profile))

    def described(name: str, /, **properties: Any) -> Any:
        path = folder / name
        if path.is_dir():
            return crate.add_dataset(dest_path=name, properties=properties)
        known = {"contentSize": str(path.stat().st_size), "encodingFormat": _KINDS.get(path.suffix.lower())}
        return crate.add_file(dest_path=name, properties={k: v for k, v in known.items() if v} | properties)

    images = {name: described(name, name=Path(name).name, sha256=sha256) for name, sha256 in contents.files.items()}
    tables = [described(name, name=name, description=words) for name, words in contents.described.items()]
    decisions = described(contents.decisions, name=contents.decisions, description="What each person decided")
    agents = [
        crate.add(Person(crate, f"#person-{number}", properties={"name": name}))
        for number, name in enumerate(contents.people, 1)
    ]
    software = crate.add(
        ContextEntity(
            crate,
            "#napari-synth",
            properties={
                "@type": "SoftwareApplication",
                "name": "napari-synth",
                "url": _HOME,
                "softwareVersion": current_versions()["napari-synth"],
            },
        )
    )
    actions: list[Any] = []
    curation = crate.add_action(
        software,
        "#curation",
        object=decisions,
        result=[*tables, *images.values()],
        properties={"name": "Curation of the images", "endTime": contents.ended},
    )
    curation["agent"] = agents
    actions.append(curation)
    for number, (recipe, names) in enumerate(contents.recipes.items(), 1):
        given = described(recipe, name=Path(recipe).name, description="How the images were made")
        made = [images[name] for name in names]
        words = {"name": f"Run of napari-synth on {len(made)} images"}
        actions.append(crate.add_action(software, f"#run-{number}", object=given, result=made, properties=words))
    crate.root_dataset["mentions"] = actions
    crate.metadata.write(folder)
