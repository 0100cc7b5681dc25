"""The rooms of the package: imports point one way, and what is private to a folder stays in it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import napari_synth

PACKAGE = Path(napari_synth.__file__).parent
# A room may import those that stand after it, never one before it or beside it.
ROOMS = (
    ("demo",),
    ("cli", "gui", "pictures"),
    ("doctor", "testing"),
    ("samples",),
    ("verbs", "spelling"),
    ("studio", "curation"),
    ("batches",),
    ("registry",),
    ("methods",),
    ("training",),
    ("augmentation",),
    ("models",),
    ("engine",),
    ("files",),
    ("contract",),
    ("imaging",),
    ("networks",),
    ("core",),
)
RANK = {room: rank for rank, rooms in enumerate(ROOMS) for room in rooms}
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def imports(node: ast.AST) -> Iterator[str]:
    """Yield what a module imports, within functions too; what is imported for types alone is left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            names = (f"{child.module}.{alias.name}" for alias in child.names)
            yield from (name if name in MODULES else child.module for name in names)
        else:
            yield from imports(child)


GRAPH = {
    name: {found for found in imports(ast.parse(path.read_text(encoding="utf-8"))) if found != name}
    for name, path in MODULES.items()
}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_every_module_lies_in_a_room() -> None:
    assert {room(name) for name in MODULES} - set(RANK) == {"", "__main__"}


def test_imports_point_one_way() -> None:
    wrong = [
        f"{name} imports {found}"
        for name in MODULES
        for found in GRAPH[name] & MODULES.keys()
        if {room(name), room(found)} <= RANK.keys()
        if room(found) != room(name) and RANK[room(found)] <= RANK[room(name)]
    ]
    assert not wrong


def test_no_folder_imports_a_private_module_of_another() -> None:
    private = [
        f"{name} imports {found}"
        for name in MODULES
        for found in GRAPH[name] & MODULES.keys()
        if MODULES[found].parent != MODULES[name].parent and any(part.startswith("_") for part in found.split("."))
    ]
    assert not private


def test_no_circle_of_imports() -> None:
    waiting = {name: {found for found in GRAPH[name] if found in MODULES} for name in MODULES}
    while free := [name for name, needed in waiting.items() if not needed & waiting.keys()]:
        for name in free:
            del waiting[name]
    assert not waiting


def test_only_the_gui_knows_qt_and_napari() -> None:
    windowed = {"napari", "qtpy", "magicgui", "superqt", "pyqtgraph"}
    wrong = {
        name: found
        for name in MODULES
        if room(name) not in {"gui", "demo", "pictures"}
        if (found := {imported.split(".")[0] for imported in GRAPH[name]} & windowed)
    }
    assert not wrong
