"""Rules of the house that import-linter cannot see."""

from __future__ import annotations

import ast
from pathlib import Path

import superres

SOURCE = Path(superres.__file__).parent
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}


def uses_environment(tree: ast.AST) -> bool:
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr=name) if name in ENVIRONMENT:
                return True
            case ast.ImportFrom(module="os", names=names):
                if ENVIRONMENT & {alias.name for alias in names}:
                    return True
    return False


def test_only_settings_reads_the_environment() -> None:
    guilty = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if uses_environment(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert guilty == {"settings/__init__.py", "settings/environment.py"}


def test_the_scan_sees_what_it_should() -> None:
    assert uses_environment(ast.parse("def f():\n    import os\n    return os.getenv('A')"))
    assert uses_environment(ast.parse("from os import environ as e"))
    assert not uses_environment(ast.parse("import os\nos.replace('a', 'b')"))


def test_no_module_without_a_docstring() -> None:
    bare = [
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if path.name != "__init__.py" or path.stat().st_size
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert bare == []
