"""Forms with files (RFC 7578), streamed to where they belong; nothing else touches the disk.

After every part's header its name is checked, so that a body has no more parts than are
expected, and only files may be long.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from superres.errors import BadParameter, SourceTooLarge
from superres.storage import whole_file

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_MOST_SKIPPED = 64
_MALFORMED = "The body is not a well-formed multipart/form-data body"


@dataclass(frozen=True)
class Upload:
    """A file of a form.

    Attributes:
        field: that it came in.
        name: as the client called it: whatever the client wrote, or nothing.
        path: where it is.
        size: in bytes.
    """

    field: str
    name: str
    path: Path
    size: int


@dataclass
class Form:
    """What a form said.

    Attributes:
        values: of the fields that are no files, in their order.
        files: in their order.
    """

    values: dict[str, str] = field(default_factory=dict)
    files: list[Upload] = field(default_factory=list)


@dataclass(frozen=True)
class Expected:
    """What a form may say.

    Attributes:
        files: names of the fields that are files, whether they come with a file name or not.
        fields: names of the others; each may come once.
        max_bytes: of the whole body, as it arrives.
        setting: that says so, for the message.
        max_files: of all the fields that are files together.
        max_file_bytes: of one file; None: no more than ``max_bytes``.
        file_setting: that says so.
        max_value: bytes of a field that is no file. What may be much longer, such as a picture
            in base64, is better named among ``files``.
        check: is called with the name and value of each of ``fields`` as it comes, before what
            follows is read, and raises what refuses it.
        unknown: is called with the name of a part that is none of these, and whether it is a
            file, and raises what refuses it. None: such parts are passed over, up to 64.
    """

    files: Collection[str]
    fields: Collection[str]
    max_bytes: int
    setting: str = "[server] max_body_bytes"
    max_files: int = 1
    max_file_bytes: int | None = None
    file_setting: str = "[server] max_body_bytes"
    max_value: int = 1024
    check: Callable[[str, str], object] | None = None
    unknown: Callable[[str, bool], None] | None = None


async def read_form(request: Request, expected: Expected, place: Callable[[int], Path]) -> Form:
    """Read the request's body. That no file came is no error here.

    Args:
        request: its body is not read yet.
        expected: what it may say.
        place: where the file goes that is the first (0), the second (1), …; in a folder of the
            request's own, where files stay if the form proves to be wrong after them.

    Raises:
        BadParameter: not well-formed, a field repeated or too long, or too many files; and
            what ``expected.check`` and ``expected.unknown`` raise.
        SourceTooLarge: the body or a file is larger than it may be.
        StorageError: no room on the disk.
        ClientDisconnect: the client went away.
    """
    _, parameters = parse_options_header(request.headers.get("content-type"))
    boundary = parameters.get(b"boundary")
    if not boundary:
        raise BadParameter(f"{_MALFORMED}: its Content-Type names no boundary.")
    too_large = SourceTooLarge(
        f"The request's body is larger than {expected.max_bytes:,} bytes ({expected.setting}); "
        "send a smaller file."
        if expected.max_files == 1
        else f"The request's body is larger than {expected.max_bytes:,} bytes "
        f"({expected.setting}); send fewer or smaller files."
    )
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > expected.max_bytes:
        raise too_large
    reader = _Reader(expected, place)
    size = 0
    # Whatever fails in here removes the file that is being written.
    with reader.writing:
        try:
            parser = MultipartParser(boundary, reader.callbacks())
            async for chunk in request.stream():
                size += len(chunk)
                if size > expected.max_bytes:
                    raise too_large
                parser.write(chunk)
            parser.finalize()
        except FormParserError as exc:
            raise BadParameter(f"{_MALFORMED}.") from exc
        if not reader.ended:
            raise BadParameter(f"{_MALFORMED}: it is cut off.")
    return reader.form


class _Reader:
    """Follows the parser's calls."""

    def __init__(self, expected: Expected, place: Callable[[int], Path]) -> None:
        self.ended = False
        self.form = Form()
        self.writing = ExitStack()
        self._expected, self._place = expected, place
        self._header = b""
        self._text = b""
        self._disposition = b""
        self._name = ""
        self._file_name = ""
        self._value = bytearray()
        self._write: Callable[[Any], None] | None = None
        self._size = self._skipped = 0
        self._skipping = False

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
        self._disposition = self._header = self._text = b""
        self._value = bytearray()
        self._skipping = False

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
        if name in self._expected.files:
            self._file_name = _text(options.get(b"filename", b""))
            self._open(name)
        elif name not in self._expected.fields:
            self._skip(name, b"filename" in options)
        elif name in self.form.values:
            raise _twice(name)

    def _open(self, name: str) -> None:
        most, files = self._expected.max_files, self.form.files
        if len(files) >= most:
            if most == 1 and files[0].field == name:
                raise _twice(name)
            raise BadParameter(f"The form has more than {most} files; send fewer at once.")
        self._size = 0
        self._write = self.writing.enter_context(whole_file(self._place(len(files))))

    def _skip(self, name: str, is_file: bool) -> None:
        if self._expected.unknown is not None:
            self._expected.unknown(name, is_file)
        self._skipping = True
        self._skipped += 1
        if self._skipped > _MOST_SKIPPED:
            raise BadParameter("The form has too many fields that are not known here.")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._skipping:
            return
        if self._write is not None:
            self._size += end - start
            most = self._expected.max_file_bytes
            if most is not None and self._size > most:
                raise SourceTooLarge(
                    f"A file of the form is larger than {most:,} bytes "
                    f"({self._expected.file_setting}); send a smaller one."
                )
            self._write(memoryview(data)[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > self._expected.max_value:
            raise BadParameter(f"{self._name} is longer than {self._expected.max_value} bytes.")

    def _end(self) -> None:
        if self._write is not None:
            self._write = None
            self.writing.pop_all().close()
            path = self._place(len(self.form.files))
            self.form.files.append(Upload(self._name, self._file_name, path, self._size))
        elif not self._skipping:
            try:
                value = self.form.values[self._name] = self._value.decode()
            except UnicodeDecodeError:
                raise BadParameter(f"{self._name} is not UTF-8.") from None
            if self._expected.check is not None:
                self._expected.check(self._name, value)

    def _finished(self) -> None:
        self.ended = True


def _twice(name: str) -> BadParameter:
    return BadParameter(f"{name[:64]!a} is given twice; give it once.")


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("latin-1")
