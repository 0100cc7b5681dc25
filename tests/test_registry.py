from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from napari_synth import registry
from napari_synth.contract.generator import GeneratorInfo, Task
from napari_synth.contract.synthesis import Synthesizer
from napari_synth.core.errors import UnknownGeneratorError


class Foreign:
    info = GeneratorInfo("denoise/foreign", "Foreign", "Of another package.", Task.DENOISE)

    def prepare(self, image, params, context):
        raise AssertionError("never run")


class Taken(Foreign):
    info = GeneratorInfo("denoise/blind", "Taken", "An id that is taken.", Task.DENOISE)


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch):
    def install(name: str) -> None:
        found = [EntryPoint(name, f"{__name__}:{name}", registry.GENERATORS)]
        monkeypatch.setattr(registry, "entry_points", lambda group: found)
        registry.refresh()

    yield install
    registry.refresh()


def test_generators_of_other_packages_are_found(entry) -> None:
    entry("Foreign")
    assert registry.generator("denoise/foreign").info.title == "Foreign"
    assert "denoise/foreign" in [g.info.id for g in registry.generators(Task.DENOISE)]


@pytest.mark.parametrize(("name", "words"), [("Missing", "cannot be loaded"), ("Taken", "is taken")])
def test_a_broken_one_is_left_out_and_takes_nothing_away(entry, name: str, words: str) -> None:
    entry(name)
    with pytest.warns(UserWarning, match=words):
        found = registry.generators(Task.DENOISE)
    assert found[0].info.id == "denoise/blind"
    assert found[0].info.title != "Taken"


def test_the_default_of_denoising_is_blind() -> None:
    assert registry.generators("denoise")[0].info.id == "denoise/blind"


def test_an_unknown_id_names_near_ones() -> None:
    with pytest.raises(UnknownGeneratorError, match="denoise/median"):
        registry.generator("denoise/medan")


class Other:
    info = GeneratorInfo("synthesize/other", "Other", "Of another kind.", Task.SYNTHESIZE)

    def prepare(self, source, params, context):
        raise AssertionError("never run")


def test_a_method_of_another_kind_is_no_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_of_session", {})
    registry.register(Other())
    assert "synthesize/other" not in [generator.info.id for generator in registry.generators()]
    assert registry.found(Synthesizer, "synthesize/other").info.title == "Other"
    with pytest.raises(UnknownGeneratorError, match="it is for synthesize"):
        registry.generator("synthesize/other")
