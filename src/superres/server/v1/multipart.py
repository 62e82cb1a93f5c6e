"""A form with one file (RFC 7578), streamed to where it belongs; nothing else touches the disk.

After every part's header its name is checked, so that a body holds at most one part of each
name that is known, and only the file may be long.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from superres.errors import BadParameter, SourceTooLarge
from superres.server.v1.fields import check_names, once
from superres.storage import whole_file

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FILE = "file"
"""Name of the field that holds the picture."""

_MAX_VALUE = 1024
_MALFORMED = "The body is not a well-formed multipart/form-data body"


class Form:
    """What a form said.

    Attributes:
        values: of the fields that are not the file, in their order.
        file_name: as the client called the file; None if there was no file.
    """

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.file_name: str | None = None


async def read_form(request: Request, file: Path, known: Collection[str], max_bytes: int) -> Form:
    """Read the request's body; the picture goes to ``file``.

    Args:
        request: its body is not read yet.
        file: where the field ``file`` goes.
        known: names of the other fields.
        max_bytes: of the whole body, as it arrives.

    Raises:
        BadParameter: not well-formed, a field unknown, repeated or too long, or no file.
        SourceTooLarge: more than ``max_bytes``.
        StorageError: no room on the disk.
        ClientDisconnect: the client went away.
    """
    _, parameters = parse_options_header(request.headers.get("content-type"))
    boundary = parameters.get(b"boundary")
    if not boundary:
        raise BadParameter(f"{_MALFORMED}: its Content-Type names no boundary.")
    form = Form()
    with whole_file(file) as write:
        reader = _Reader(form, [FILE, *known], write)
        size = 0
        try:
            parser = MultipartParser(boundary, reader.callbacks())
            async for chunk in request.stream():
                size += len(chunk)
                if size > max_bytes:
                    raise SourceTooLarge(
                        f"The request's body is larger than {max_bytes:,} bytes ([server] "
                        "max_body_bytes); send a smaller file."
                    )
                parser.write(chunk)
            parser.finalize()
        except FormParserError as exc:
            raise BadParameter(f"{_MALFORMED}.") from exc
    if not reader.ended:
        raise BadParameter(f"{_MALFORMED}: it is cut off.")
    if form.file_name is None:
        raise BadParameter(f"The picture is missing: send it in the field {FILE!r}.")
    return form


class _Reader:
    """Follows the parser's calls."""

    def __init__(self, form: Form, known: Collection[str], write: Callable[[Any], None]) -> None:
        self.ended = False
        self._form, self._known, self._write = form, known, write
        self._header = b""
        self._text = b""
        self._disposition = b""
        self._name = ""
        self._value = b""

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._named,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finished,
        }

    def _begin(self) -> None:
        self._disposition = self._header = self._text = self._value = b""

    # The parser limits number and length of a part's headers.

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._text += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._text
        self._header = self._text = b""

    def _named(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise BadParameter(f"{_MALFORMED}: a part has no name.")
        self._name = name = _text(options[b"name"])
        if b"filename" in options and name not in self._known:
            raise BadParameter(f"The picture goes in the field {FILE!r}, not in {name[:64]!a}.")
        check_names([name], self._known)
        if name in self._form.values or (name == FILE and self._form.file_name is not None):
            # In the same words as elsewhere.
            once([(name, ""), (name, "")])
        if name == FILE:
            self._form.file_name = _text(options.get(b"filename", b""))

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._name == FILE:
            self._write(memoryview(data)[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > _MAX_VALUE:
            raise BadParameter(f"{self._name} is longer than {_MAX_VALUE} bytes.")

    def _end(self) -> None:
        if self._name != FILE:
            try:
                self._form.values[self._name] = self._value.decode()
            except UnicodeDecodeError:
                raise BadParameter(f"{self._name} is not UTF-8.") from None

    def _finished(self) -> None:
        self.ended = True


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("latin-1")
