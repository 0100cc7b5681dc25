"""Every public function with three or more arguments says what each of them is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import napari_synth

PACKAGE = Path(napari_synth.__file__).parent
MANY = 3
Function = ast.FunctionDef | ast.AsyncFunctionDef


def is_overload(function: Function) -> bool:
    """Whether it only says which types go with which: the function behind it has the docstring."""
    return any(ast.unparse(decorator) == "overload" for decorator in function.decorator_list)


def public_functions(body: list[ast.stmt], owner: str = "") -> Iterator[tuple[str, Function]]:
    """Yield the public functions and methods of a module by name."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body, f"{owner}{node.name}.")
        elif isinstance(node, Function) and not node.name.startswith("_") and not is_overload(node):
            yield f"{owner}{node.name}", node


def arguments(function: Function) -> list[str]:
    """The names of the arguments, without self and cls."""
    given = function.args
    names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    names += [one.arg for one in (given.vararg, given.kwarg) if one is not None]
    return [name for name in names if name not in ("self", "cls")]


def undescribed(function: Function) -> list[str]:
    """The arguments that the Parameters section leaves out; none where the docstring sends the reader to another one."""
    text = ast.get_docstring(function) or ""
    if re.search(r"\b[Ss]ee `[\w.]+`", text):
        return []
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[\w ]*\n-{3,}$|\Z)", text, re.DOTALL | re.MULTILINE)
    heads = re.findall(r"^(\S[^:\n]*?)(?: *:.*)?$", section[1], re.MULTILINE) if section else []
    described = {name.strip(" *") for head in heads for name in head.split(",")}
    return [name for name in arguments(function) if name.strip("*") not in described and not name.startswith("_")]


def offenders() -> Iterator[str]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).parts
        if any(part.startswith("_") and part != "__init__.py" for part in parts):
            continue
        for name, function in public_functions(ast.parse(path.read_text(encoding="utf-8")).body):
            if len(arguments(function)) >= MANY and (missing := undescribed(function)):
                yield f"{'/'.join(parts)}: {name} ({', '.join(missing)})"


def test_functions_of_many_arguments_describe_them() -> None:
    assert not list(offenders())
