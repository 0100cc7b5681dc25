"""Decisions, splits and exports of many images, without a viewer."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_synth.batches.manifest import JobRecord, Manifest, Status
from napari_synth.batches.states import content_hash
from napari_synth.cli import main
from napari_synth.core.errors import ImageFileError, InvalidParameterError
from napari_synth.curation import (
    ExportPlan,
    Journal,
    Verdict,
    agreement,
    combined,
    export_set,
    groups_of_copies,
    open_images,
    split,
)
from napari_synth.curation.decisions import cohens_kappa
from napari_synth.engine.recipe import Recipe
from napari_synth.files import write_image
from napari_synth.imaging.image import Image


def folder_of(path: Path, count: int, same: dict[int, int] | None = None) -> Path:
    """Make a folder with small images of wells A01, A02 and so on; ``same`` names copies."""
    path.mkdir()
    for index in range(count):
        pixels = np.random.default_rng((same or {}).get(index, index)).poisson(90, (12, 14)).astype(np.uint16)
        write_image(path / f"plate_A{index + 1:02d}.tif", Image(pixels, "YX"))
    return path


def table_of(folder: Path, rows: list[dict[str, object]]) -> Path:
    path = folder / "table.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, sorted({name for row in rows for name in row}))
        writer.writeheader()
        writer.writerows(rows)
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_a_table_and_a_manifest_name_the_same_images(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", 3)
    plain = open_images(folder)
    assert [image.name for image in plain.images] == ["plate_A01.tif", "plate_A02.tif", "plate_A03.tif"]
    assert [image.values["well"] for image in plain.images] == ["A01", "A02", "A03"]
    rows = [{"source": f"in/{image.name}", "focus": 0.25 * i, "error": ""} for i, image in enumerate(plain.images)]
    rows[2]["duplicate_of"] = rows[0]["source"]
    measured = open_images(table_of(tmp_path, rows))
    assert [image.path for image in measured.images] == [image.path for image in plain.images]
    assert [image.values["focus"] for image in measured.images] == [0.0, 0.25, 0.5]
    assert measured.images[2].values["duplicate_of"] == "plate_A01.tif"
    assert measured.is_number("focus")
    assert not measured.is_number("well")
    assert "error" not in measured.columns
    made = tmp_path / "out"
    made.mkdir()
    Manifest(made).append(JobRecord("../in/plate_A01.tif", "plate_A01.tif", Status.DONE, chi2=1.5, verdict="honest"))
    (result,) = open_images(made).images
    assert result.path == made / "plate_A01.tif"
    assert result.before == folder / "plate_A01.tif"
    assert (result.values["chi2"], result.values["verdict"]) == (1.5, "honest")
    both = open_images(folder, made)
    assert both.folder == tmp_path
    assert [image.name for image in both.images][-1] == "out/plate_A01.tif"
    groups = groups_of_copies(both)
    assert groups["out/plate_A01.tif"] == groups["in/plate_A01.tif"] != groups["in/plate_A02.tif"]


@pytest.mark.parametrize("version", [2, 3])
def test_a_plate_names_its_wells(tmp_path: Path, version: int) -> None:
    plate = tmp_path / "p.ome.zarr"
    contents = {
        plate: {"plate": {"wells": [{"path": "B/3"}, {"path": "C/11"}]}},
        plate / "B/3": {"well": {"images": [{"path": "0"}, {"path": "1"}]}},
        plate / "C/11": {"well": {"images": [{"path": "0"}]}},
    }
    for place, attributes in contents.items():
        place.mkdir(parents=True, exist_ok=True)
        name, text = (".zattrs", attributes) if version == 2 else ("zarr.json", {"attributes": {"ome": attributes}})
        (place / name).write_text(json.dumps(text))
    images = open_images(plate)
    assert [image.name for image in images.images] == ["B/3/0", "B/3/1", "C/11/0"]
    assert [image.values["well"] for image in images.images] == ["B03", "B03", "C11"]


@pytest.mark.parametrize("content", ["", "a,b\n", "a,b\n1,2\n", "source\n\n,\n", "\x00\xff"])
def test_a_table_that_is_none_is_one_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "table.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(ImageFileError, match="table"):
        open_images(tmp_path / "table.csv")


def test_decisions_are_remembered_and_taken_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "decisions.jsonl", by="anna")
    journal.decide("a.tif", verdict="accept")
    journal.decide("a.tif", grade=4)
    journal.decide("b.tif", verdict="reject", comment="blurred\nand dim")
    for_a = Journal(journal.path, by="anna").of("a.tif")
    assert for_a is not None
    assert (for_a.verdict, for_a.grade) == (Verdict.ACCEPT, 4)
    assert journal.undo() == "b.tif"
    assert journal.undo() == "a.tif"
    again = Journal(journal.path, by="anna")
    found = again.of("a.tif")
    assert found is not None
    assert (found.verdict, found.grade) == (Verdict.ACCEPT, None)
    assert again.of("b.tif") is None
    assert journal.undo() == "a.tif"
    assert journal.undo() is None
    assert Journal(journal.path, by="anna").last() == []
    for wrong in ({"grade": 6}, {"verdict": "keep"}, {"mark": 1}):
        with pytest.raises(InvalidParameterError):
            journal.decide("a.tif", **wrong)


@pytest.mark.parametrize(
    "torn", ['{"image": "b.tif", "by": "an', "\x00\x00", "{}", '{"image": 3, "by": "x", "when": ""}']
)
def test_a_torn_line_costs_only_itself(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "decisions.jsonl"
    Journal(path, by="anna").decide("a.tif", verdict="accept")
    with path.open("a") as file:
        file.write(torn)
    journal = Journal(path, by="anna")
    journal.decide("c.tif", verdict="flag")
    assert {one.image: one.verdict for one in Journal(path).last()} == {"a.tif": "accept", "c.tif": "flag"}


def test_what_is_no_journal_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("one\ntwo\n")
    with pytest.raises(ImageFileError, match="no journal"):
        Journal(tmp_path / "notes.txt")


def test_a_kill_loses_no_decision(tmp_path: Path) -> None:
    """The decider says what it has decided after each one; what was said is in the journal, whenever it is killed."""
    code = (
        "import sys; from napari_synth.curation import Journal\n"
        "journal = Journal(sys.argv[1], by='anna')\n"
        "for number in range(100000):\n"
        "    journal.decide(f'{number}.tif', verdict='accept', grade=number % 5 + 1)\n"
        "    print(number, flush=True)\n"
    )
    for attempt in range(3):
        path = tmp_path / f"{attempt}.jsonl"
        process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(40 + 23 * attempt)]
        os.kill(process.pid, signal.SIGKILL)
        said += process.stdout.readlines()
        process.stdout.close()
        process.wait()
        last = int([line for line in said if line.endswith("\n")][-1])
        known = {one.image: one.grade for one in Journal(path).last()}
        assert known.items() >= {f"{number}.tif": number % 5 + 1 for number in range(last + 1)}.items()
        assert len(known) <= last + 2


def test_two_people_agree_as_much_as_cohen_says() -> None:
    # The example of Cohen's kappa in many textbooks: 20 and 15 alike, 5 and 10 not; kappa is 0.4.
    pairs = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    assert cohens_kappa(pairs) == pytest.approx(0.4)
    assert cohens_kappa([("yes", "no"), ("no", "yes")]) == -1
    assert math.isnan(cohens_kappa([("yes", "yes")] * 3))
    assert math.isnan(cohens_kappa([]))


def test_a_second_journal_is_merged_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    anna, bert = Journal(tmp_path / "a.jsonl", by="anna"), Journal(tmp_path / "b.jsonl", by="bert")
    for name, ours, theirs in (("1", "accept", "accept"), ("2", "accept", "reject"), ("3", "reject", "reject")):
        anna.decide(name, verdict=ours)
        bert.decide(name, verdict=theirs)
    bert.decide("4", verdict="accept", grade=2)
    assert main(["curate", "merge", str(anna.path), str(bert.path)]) == 0
    said = capsys.readouterr().out
    assert "4 decisions taken over" in said
    assert "67 % of 3 images" in " ".join(said.split())
    assert "kappa is 0.40" in " ".join(said.split())
    merged = Journal(anna.path, by="anna")
    assert merged.merge(bert.path) == 0
    assert merged.people == ("anna", "bert")
    (found,) = agreement(merged.last())
    assert (found.count, found.kappa) == (3, pytest.approx(0.4))
    together = combined(merged.last())
    assert together["1"].verdict == "accept"
    assert together["2"].is_disputed
    assert together["2"].verdict is None
    assert together["4"].grade == 2
    # Who has the same name is told apart on request.
    same = Journal(tmp_path / "same.jsonl", by="anna")
    same.decide("1", verdict="reject")
    assert merged.merge(same.path, called="anna 2") == 1
    assert merged.of("1", by="anna 2").verdict == "reject"


def test_a_split_keeps_copies_together_and_has_the_wanted_sizes(tmp_path: Path) -> None:
    names = [f"{number:03d}.tif" for number in range(200)]
    rows: list[dict[str, object]] = [{"source": name, "patient": int(name[:3]) // 4} for name in names]
    for number in range(0, 60, 3):
        rows[number + 1]["duplicate_of"] = names[number]
        rows[number + 2]["duplicate_of"] = names[number + 1]
    images = open_images(table_of(tmp_path, rows))
    groups = groups_of_copies(images)
    assert len(set(groups.values())) == 160
    parts = split(groups, (0.8, 0.1, 0.1), seed=3)
    for number in range(0, 60, 3):
        assert len({parts[name] for name in names[number : number + 3]}) == 1
    counts = {part: list(parts.values()).count(part) for part in ("train", "validation", "test")}
    assert counts == {"train": 160, "validation": 20, "test": 20}
    assert parts == split(groups, (0.8, 0.1, 0.1), seed=3)
    assert parts != split(groups, (0.8, 0.1, 0.1), seed=4)
    assert set(split(groups, (1, 0, 1)).values()) == {"train", "test"}
    of_patient = split(groups_of_copies(images, "patient"))
    for patient in range(15, 50):
        assert len({of_patient[name] for name in names[patient * 4 : patient * 4 + 4]}) == 1
    with pytest.raises(InvalidParameterError, match="no column 'plate'"):
        groups_of_copies(images, "plate")
    for wrong in ((0, 0, 0), (-1, 1, 1), (1, 1)):
        with pytest.raises(InvalidParameterError, match="three shares"):
            split(groups, wrong)


@pytest.mark.parametrize("how", ["copy", "link"])
def test_an_exported_set_holds_the_same_bytes_and_is_read_back(tmp_path: Path, how: str) -> None:
    from rocrate.rocrate import ROCrate

    folder = folder_of(tmp_path / "in", 6, {5: 0})
    Recipe(generator="denoise/blind", notes=("made of /home/anna/raw.tif",)).to_yaml()
    recipe = Recipe(generator="denoise/blind").to_yaml()
    (folder / "plate_A02.tif.recipe.yaml").write_text(recipe)
    images = open_images(folder)
    journal = Journal(folder / "decisions.jsonl", by="anna")
    for image in images.images[:5]:
        journal.decide(image.name, verdict="reject" if "A04" in image.name else "accept", grade=3)
    journal.decide("plate_A04.tif", comment="out of focus")
    target = tmp_path / "set"
    made = export_set(images, journal.last(), target, ExportPlan(how=how, shares=(0.5, 0.25, 0.25), licence="CC0-1.0"))
    assert made.parts == {"train": 2, "validation": 1, "test": 1}
    assert not made.missing
    table = {row["name"]: row for row in rows_of(target / "curation.csv")}
    assert len(table) == 6
    for image in images.images:
        row = table[image.name]
        if row["decision"] != "accept":
            assert row["file"] == ""
            continue
        assert row["sha256"] == content_hash(image.path) == content_hash(target / row["file"])
        assert (target / row["file"]).samefile(image.path) == (how == "link")
        assert row["part"] == row["file"].split("/")[0]
        assert (row["by"], row["grade"], row["well"]) == ("anna", "3", image.name[6:9])
    assert table["plate_A04.tif"]["reason"] == "out of focus"
    assert table["plate_A06.tif"]["decision"] == ""
    listed = [line.split("\t") for line in (target / "file_list.tsv").read_text().splitlines()]
    assert listed[0][0] == "Files"
    assert {line[0] for line in listed[1:]} == set(made.files.values())
    crate = ROCrate(target)
    assert "https://w3id.org/ro/wfrun/process/0.5" in str(crate.root_dataset["conformsTo"])
    described = {entity.id: entity for entity in crate.data_entities}
    for file in made.files.values():
        assert described[file]["sha256"] == content_hash(target / file)
    curation = crate.dereference("#curation")
    assert curation["agent"][0]["name"] == "anna"
    assert curation["instrument"]["name"] == "napari-synth"
    assert {entity.id for entity in curation["result"]} >= set(made.files.values())
    run = crate.dereference("#run-1")
    assert (
        [run["result"].id]
        if not isinstance(run["result"], list)
        else [one.id for one in run["result"]] == [made.files["plate_A02.tif"]]
    )
    with pytest.raises(ImageFileError, match="exists already"):
        export_set(images, journal.last(), target)


def test_an_anonymous_set_names_neither_paths_nor_people(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "secret-clinic", 3)
    record = Recipe(generator="denoise/blind", notes=("made of /home/annabel/raw.tif",))
    (folder / "plate_A01.tif.recipe.yaml").write_text(record.to_yaml())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "plate_A01.tif").write_bytes((folder / "plate_A02.tif").read_bytes())
    images = open_images(folder, tmp_path / "other")
    journal = Journal(tmp_path / "d.jsonl", by="annabel")
    for image in images.images:
        journal.decide(image.name, verdict="accept", comment="annabel likes it")
    made = export_set(images, journal.last(), tmp_path / "set", ExportPlan(anonymous=True))
    assert sorted(made.files.values()) == [
        "images/plate_A01-2.tif",
        "images/plate_A01.tif",
        "images/plate_A02.tif",
        "images/plate_A03.tif",
    ]
    texts = [
        path.read_text() for path in (tmp_path / "set").rglob("*") if path.suffix not in (".tif",) and path.is_file()
    ]
    assert len(texts) == 5
    for text in texts:
        assert not any(word in text for word in ("annabel", "secret-clinic", str(tmp_path)))
    assert any("person 1 likes it" in text for text in texts)
    with pytest.raises(InvalidParameterError, match="paths"):
        ExportPlan(how="list", anonymous=True)


def test_the_command_exports_what_was_accepted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(tmp_path / "in", 4)
    table = table_of(
        tmp_path,
        [{"source": f"in/plate_A{n:02d}.tif", "focus": n / 10, "hash": "" if n < 3 else "old"} for n in range(1, 5)],
    )
    assert main(["curate", "export", str(table), str(tmp_path / "set")]) == 2
    assert "No image has the decision accept" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "set").exists()
    journal = Journal(folder / "decisions.jsonl", by="anna")
    for number in (1, 3, 4):
        journal.decide(f"plate_A{number:02d}.tif", verdict="accept")
    (folder / "plate_A04.tif").unlink()
    assert main(["curate", "export", str(table), str(tmp_path / "set")]) == 1
    said = capsys.readouterr()
    assert "2 images in" in said.out
    assert "plate_A04.tif is not there any more" in " ".join(said.err.split())
    assert "'plate_A03.tif' changed after it was measured" in " ".join(said.err.split())
    rows = rows_of(tmp_path / "set" / "curation.csv")
    assert [float(row["focus"]) for row in rows] == [0.1, 0.2, 0.3, 0.4]
    arguments = ["curate", "export", str(table), str(tmp_path / "lists"), "--how", "list", "--split", "1", "1", "0"]
    assert main([*arguments, "--seed", "1"]) == 1
    texts = [(tmp_path / "lists" / f"{part}.txt").read_text() for part in ("train", "validation")]
    assert sorted("".join(texts).splitlines()) == [str(folder / "plate_A01.tif"), str(folder / "plate_A03.tif")]
