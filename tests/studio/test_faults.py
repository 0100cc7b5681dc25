"""What goes wrong around a training: full disks, kills, others that train, damaged checkpoints, settings of the program."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_images import retina_pair as pair
from training_lines import Curves, run, trainer

import napari_synth
from napari_synth import registry
from napari_synth.core.errors import CheckpointError, ModelFileError, OutOfMemoryError, is_memory_short
from napari_synth.core.progress import Progress
from napari_synth.models import library, load_model
from napari_synth.studio.train import train_model
from napari_synth.training import checkpoint
from napari_synth.training.checkpoint import OccupiedError, occupied

SMALL: dict[str, Any] = {"initial_weights": "scratch", "width": 8, "patch": 32, "batch": 1, "steps": 2}
METHOD = "denoise/supervised"


@pytest.fixture(autouse=True)
def own_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give every test a library and a home of its own."""
    monkeypatch.setenv(library.VARIABLE, str(tmp_path / "models"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    registry.refresh()
    yield tmp_path / "models"
    registry.refresh()


class Full:
    """A file on a disk that has room for a few bytes more."""

    def __init__(self, file: Any) -> None:
        self._file, self._room = file, 1000

    def write(self, content: Any) -> int:
        self._room -= len(content)
        if self._room < 0:
            raise OSError(28, "No space left on device")
        return int(self._file.write(content))

    def flush(self) -> None:
        self._file.flush()

    def fileno(self) -> int:
        return int(self._file.fileno())


def fill_up(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Let no checkpoint find room any more."""
    save = torch.save

    def half(state: Any, file: Any) -> None:
        if how == "torch":
            file.write(b"half")
            raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")
        save(state, Full(file) if how == "file" else file)
        if how == "end":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", half)


@pytest.mark.parametrize("how", ["torch", "file", "end"])
def test_a_disk_that_is_full_at_a_checkpoint_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    path = checkpoint.save(tmp_path / "run", {"a": 1})
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        fill_up(patch, how)
        with pytest.raises(CheckpointError, match=r"cannot be written: .*(No space|full)") as caught:
            checkpoint.save(tmp_path / "run", {"a": torch.zeros(2000)})
    assert str(caught.value).count(".") <= 3
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == [checkpoint.FILE]


@pytest.mark.parametrize("how", ["torch", "end"])
def test_the_weights_are_kept_where_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_library: Path, how: str
) -> None:
    noisy, clean = pair(64)
    fill_up(monkeypatch, how)
    with pytest.raises(CheckpointError, match="the weights so far are kept in") as caught:
        train_model(METHOD, noisy, clean, SMALL, out=tmp_path / "run", name="mine", checkpoint_seconds=0.0)
    (kept,) = (tmp_path / "run").glob("mine-*.safetensors")
    assert str(kept) in str(caught.value)
    assert load_model(kept)[1].name == "mine"
    assert not list((tmp_path / "run").glob(".checkpoint*"))


def test_a_model_that_finds_no_room_is_kept_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noisy, clean = pair(64)
    from napari_synth.studio import train as studio

    save = studio.save_model

    def only_elsewhere(path: Path, *rest: Any) -> Path:
        if (tmp_path / "run") in path.parents:
            raise ModelFileError(f"The model file {path} cannot be written: No space left on device.")
        return save(path, *rest)

    monkeypatch.setattr(studio, "save_model", only_elsewhere)
    with pytest.raises(ModelFileError, match=r"No space left on device; the weights so far are kept in .*models"):
        train_model(METHOD, noisy, clean, SMALL, out=tmp_path / "run", name="mine")
    assert library.entries() == ([], [])
    assert len(list((tmp_path / "models").glob("mine-*.safetensors"))) == 1


def test_a_training_that_was_left_is_not_started_over(tmp_path: Path) -> None:
    noisy, clean = pair(64)

    def stop(progress: Progress) -> None:
        if progress.stage.startswith("Training") and progress.done == 2:
            raise KeyboardInterrupt

    how: dict[str, Any] = {"out": tmp_path / "run", "checkpoint_seconds": 0.0}
    with pytest.raises(KeyboardInterrupt):
        train_model(METHOD, noisy, clean, SMALL | {"steps": 4}, progress=stop, **how)
    left = (tmp_path / "run" / checkpoint.FILE).read_bytes()
    (tmp_path / "run" / ".checkpoint.pt.0123abcd.partial").write_bytes(b"half")
    with pytest.raises(CheckpointError, match=r"--resume \(resume=True\), or give another name or folder"):
        train_model(METHOD, noisy, clean, SMALL | {"steps": 4}, **how)
    assert (tmp_path / "run" / checkpoint.FILE).read_bytes() == left
    trained = train_model(METHOD, noisy, clean, SMALL | {"steps": 4}, resume=True, **how)
    assert trained.result.steps == 4
    assert not list((tmp_path / "run").glob("*.partial"))
    assert not list((tmp_path / "run").glob(".checkpoint*"))
    library.remove(trained.generator.info.id)
    with pytest.raises(CheckpointError, match="already"):
        train_model(METHOD, noisy, clean, SMALL, **how)


def _while_training(name: str, then: Callable[[], None], **how: Any) -> None:
    """Call something in the middle of a training."""
    noisy, clean = pair(64)
    errors: list[BaseException] = []

    def meanwhile(progress: Progress) -> None:
        if progress.stage.startswith("Training") and progress.done == 1 and not errors:
            other = threading.Thread(target=lambda: errors.append(_caught(then)))
            other.start()
            other.join()

    train_model(METHOD, noisy, clean, SMALL, name=name, progress=meanwhile, **how)
    (error,) = errors
    if error is not None:
        raise error


def _caught(call: Callable[[], None]) -> Any:
    try:
        call()
    except Exception as error:  # noqa: BLE001 - raised again in the thread of the test
        return error
    return None


@pytest.mark.parametrize("how", ["folder", "name", "both", "resume"])
def test_two_trainings_of_one_name_or_folder_do_not_meet(tmp_path: Path, how: str) -> None:
    noisy, clean = pair(64)
    first = tmp_path / "one"
    second = {"folder": first, "name": tmp_path / "two", "both": first, "resume": first}[how]
    name = "other" if how == "folder" else "mine"

    def again() -> None:
        train_model(METHOD, noisy, clean, SMALL, name=name, out=second, resume=how == "resume")

    with pytest.raises(OccupiedError, match="another name or folder"):
        _while_training("mine", again, out=first)
    assert [entry.description.id for entry in library.entries()[0]] == ["denoise/mine"]


def test_two_trainings_of_one_source_take_names_of_their_own() -> None:
    noisy, clean = pair(64)
    _while_training("retina-supervised", lambda: _train_again(noisy, clean))
    found = sorted(entry.description.name for entry in library.entries()[0])
    assert found == ["retina-supervised", "retina-supervised-2"]


def _train_again(noisy: Any, clean: Any) -> None:
    train_model(METHOD, noisy, clean, SMALL)


def test_a_lock_ends_with_its_training(tmp_path: Path) -> None:
    with occupied(tmp_path / "run" / "lock", "The folder"), pytest.raises(OccupiedError):
        occupied(tmp_path / "run" / "lock", "The folder").__enter__()
    with occupied(tmp_path / "run" / "lock", "The folder"):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot be written"):
        occupied(tmp_path / "file" / "lock", "The folder").__enter__()


def _with(name: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    def change(state: dict[str, Any]) -> Any:
        *way, last = name.split("/")
        inner: Any = state
        for part in way:
            inner = inner[part]
        inner[last] = value
        return state

    return change


def _without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda state: {key: value for key, value in state.items() if key != name}


NAN = torch.full((16, 1), torch.nan)
DAMAGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a list": lambda state: [state],
    "a number": lambda state: 3,
    "empty": lambda state: {},
    "only a format": lambda state: {"format": 1},
    "weights alone": lambda state: {"0.weight": torch.zeros(3)},
    "newer": _with("format", 2),
    "format of text": _with("format", "one"),
    "identity of text": _with("identity", "me"),
    "identity of numbers": _with("identity", {"kind": 3}),
    "no identity": _without("identity"),
    "no run": _without("run"),
    "no parts": _without("parts"),
    "no safe": _without("safe"),
    "no best": _without("best"),
    "no module": _without("module"),
    "no random": _without("random"),
    "no curve": _without("curve"),
    "no pending": _without("pending"),
    "parts of a list": _with("parts", []),
    "parts of others": _with("parts", {"network other": {}}),
    "parts of text": _with("parts/network sine", "text"),
    "weights of another shape": _with("parts/network sine/0.weight", torch.zeros(2, 2)),
    "weights that are NaN": _with("safe/network sine/0.weight", NAN),
    "best of NaN": _with("best", (0.1, {"sine": {"0.weight": NAN}})),
    "random of text": _with("random", "dice"),
    "torch's state too short": _with("random/torch", torch.zeros(3, dtype=torch.uint8)),
    "numpy's state": _with("random/numpy", ("MT19937", torch.zeros(3), 1)),
    "python's state": _with("random/python", (3, [1, 2], None)),
    "curve of numbers": _with("curve", 3),
    "points of text": _with("curve/points", ["a"]),
    "pending of text": _with("pending", ["a"]),
    "steps of text": _with("run/steps", "many"),
    "steps below 0": _with("run/steps", -1),
    "steps without end": _with("run/steps", 10**30),
    "seconds of NaN": _with("run/seconds", float("nan")),
    "no batch": _with("run/batch_size", None),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_or_foreign_checkpoint_is_one_sentence(tmp_path: Path, name: str) -> None:
    path = checkpoint.save(tmp_path, trainer(Curves(), tmp_path).state())
    state = torch.load(path, weights_only=True)
    torch.save(DAMAGES[name](state), path)
    with pytest.raises(CheckpointError, match=r"another (name|folder)") as caught:
        trainer(Curves(), tmp_path).resume()
    assert "\n" not in str(caught.value)
    assert path.exists()


@pytest.mark.parametrize("kept", ["../../stolen", "/stolen", "", "A b", "x\n"])
def test_a_checkpoint_cannot_name_a_model_anywhere(tmp_path: Path, kept: str) -> None:
    noisy, clean = pair(64)
    state = trainer(Curves(), tmp_path).state()
    state["identity"] = {"name": kept}
    checkpoint.save(tmp_path / "run", state)
    said: list[str] = []
    with pytest.raises(CheckpointError, match="no model that could be named so"):
        train_model(
            METHOD, noisy, clean, SMALL, out=tmp_path / "run", resume=True, progress=lambda p: said.append(p.stage)
        )
    # It is said before anything is read.
    assert said == []
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_record_cannot_name_a_model_anywhere(tmp_path: Path) -> None:
    from napari_synth.studio.record import FILE, earlier_run

    checkpoint.save(tmp_path, {"a": 1})
    (tmp_path / FILE).write_text(json.dumps({"method": METHOD, "model": "../../stolen"}))
    with pytest.raises(CheckpointError, match="no training in"):
        earlier_run(tmp_path)


def test_a_program_finds_its_settings_as_it_left_them_and_they_do_not_count() -> None:
    noisy, clean = pair(64)
    image = noisy.data
    plain = train_model(METHOD, noisy, clean, SMALL, name="plain").result.losses
    expected = napari_synth.denoise(image, device="cpu")
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002 - the program's own
    torch.manual_seed(5)
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16), np.errstate(all="raise"):
            disturbed = train_model(METHOD, noisy, clean, SMALL, name="disturbed").result.losses
            restored = napari_synth.denoise(image, device="cpu")
            napari_synth.augment(image, seed=3)
            assert torch.is_inference_mode_enabled()
            assert torch.is_autocast_enabled("cpu")
            assert np.geterr()["under"] == "raise"
        assert torch.get_default_dtype() == torch.float64
        assert torch.get_default_device().type == "meta"
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])
    assert disturbed == plain
    np.testing.assert_array_equal(restored, expected)


class Hungry(Curves):
    """Needs more memory than there is for more than two at a time."""

    error: BaseException = MemoryError()
    most = 2

    def step(self, work: Any) -> Any:
        """Fail as the CPU does."""
        if work.batch_size > self.most:
            raise self.error
        return super().step(work)


CANNOT = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    " 4611686018427387904 bytes. Error code 12 (Cannot allocate memory)"
)


@pytest.mark.parametrize("error", [CANNOT, MemoryError(), RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED")])
def test_short_memory_is_known_whatever_says_so(error: BaseException) -> None:
    module = Hungry()
    module.error = error
    assert run(module).batch_size <= 2
    module = Hungry()
    module.error, module.most = error, 0
    with pytest.raises(OutOfMemoryError, match="Not even one patch"):
        run(module)


def test_other_errors_are_no_short_memory() -> None:
    with pytest.raises(RuntimeError):
        torch.zeros(2) @ torch.zeros(3)
    assert not is_memory_short(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_memory_short(ValueError("out of memory"))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert is_memory_short(caught.value)
