"""The error tree: what programs and people may rely on."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from superres import errors

CLASSES = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, errors.SuperresError)
]


def drawn_tree() -> dict[str, str | None]:
    """Class name to parent's name, as drawn in the module's docstring."""
    path: list[str] = []
    tree: dict[str, str | None] = {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ((?:[│ ]   )*)(?:[├└]── )?([A-Z]\w+)", line)
        if match is None:
            continue
        name = match[2]
        depth = len(match[1]) // 4 + (line.lstrip("│ ")[:1] in "├└")
        path[depth:] = [name]
        tree[name] = path[depth - 1] if depth else None
    return tree


def test_tree_is_as_drawn() -> None:
    real = {cls.__name__: cls.__mro__[1].__name__ for cls in CLASSES}
    real["SuperresError"] = None
    assert drawn_tree() == real


def test_codes_are_unique_and_snake_case() -> None:
    codes = [vars(cls).get("code") for cls in CLASSES]
    assert None not in codes, "a class inherits its parent's code"
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_survives_pickling(cls: type[errors.SuperresError]) -> None:
    error = pickle.loads(pickle.dumps(cls("The picture has no pixels.")))
    assert type(error) is cls
    assert error.public_message == str(error) == "The picture has no pixels."
    assert error.code == cls.code


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_says_what_it_is(cls: type[errors.SuperresError]) -> None:
    assert cls.__doc__


def test_everyday_python_catches_them() -> None:
    assert issubclass(errors.BadParameter, ValueError)
    assert issubclass(errors.ModelNotFound, LookupError)
