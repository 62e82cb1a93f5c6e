"""What may be done at an address, for doors that answer everything below theirs."""

from __future__ import annotations

from fastapi import APIRouter


def methods_at(routes: APIRouter, path: str) -> set[str]:
    """The methods that ``routes`` take at ``path``; none if there is nothing."""
    return {
        method
        for route in routes.routes
        if (methods := getattr(route, "methods", None)) and route.path_regex.match(path)  # type: ignore[attr-defined]
        for method in methods
    }
