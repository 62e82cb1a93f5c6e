"""The one place where errors become a sentence and an exit code.

0 all done, 1 something failed, 2 the command was not understood, 128 + n stopped by signal n.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup

from superres.cli.console import error_console, print_error
from superres.errors import BadParameter, ModelNotFound, SuperresError

FAILED = 1
USAGE = 2


def unexpected(exc: BaseException) -> str:
    """What to tell of an error that nobody foresaw."""
    what = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
    return (
        f"Unexpected {what.rstrip('.')}. This is a bug in superres, please report it; run the "
        "command again with --debug to see where it happened."
    )


class Plain(TyperCommand):
    """A command whose help shows no names of Python types."""

    def get_params(self, ctx: Any) -> Any:
        return _without_types(super().get_params(ctx))


def _without_types(params: Any) -> Any:
    for param in params:
        if not param.metavar or param.param_type_name == "argument":
            param.display_type_rich = lambda ctx: ""  # noqa: ARG005 -- called by name
    return params


class PlainGroup(TyperGroup):
    """The same for commands that hold others."""

    def get_params(self, ctx: Any) -> Any:
        return _without_types(super().get_params(ctx))


class Edge(PlainGroup):
    """The root of the commands; whatever they raise ends here."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        args = list(sys.argv[1:] if args is None else args)
        call: dict[str, Any] = {"args": args, "prog_name": prog_name, **extra}
        call |= {"complete_var": complete_var, "windows_expand_args": False}
        if not standalone_mode:
            return super().main(standalone_mode=False, **call)
        try:
            code = super().main(standalone_mode=False, **call)
        except Exception as exc:
            if "--debug" in args:
                raise
            code = _tell(exc, args)
        sys.exit(code if isinstance(code, int) else 0)


def _tell(exc: Exception, args: Sequence[str]) -> int:
    console = error_console()
    if isinstance(exc, SuperresError):
        print_error(console, exc.public_message)
        return USAGE if isinstance(exc, BadParameter | ModelNotFound) else FAILED
    if type(exc).__name__ == "Abort":
        return 130
    if hasattr(exc, "format_message"):  # typer's own: the words given were not understood
        print_error(console, _usage(exc, args))
        return USAGE
    print_error(console, unexpected(exc))
    return FAILED


def _usage(exc: Any, args: Sequence[str]) -> str:
    told = str(exc.format_message()).strip().rstrip(".")
    if told.startswith("No such command") and args and (args[0] == "-" or Path(args[0]).exists()):
        return f"{told}; to enlarge it say: superres upscale {args[0]}"
    path = exc.ctx.command_path if getattr(exc, "ctx", None) is not None else "superres"
    stop = "" if told.endswith("?") else "."
    return f"{told}{stop} See: {path} --help"
