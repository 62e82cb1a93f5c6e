"""How many bytes may come, and what to say when more do."""

from __future__ import annotations

from typing import NamedTuple

from superres.errors import SourceTooLarge


class Limit(NamedTuple):
    """Most bytes that may come, and the setting that says so, if it is known here."""

    max_bytes: int
    setting: str | None = "[sources] max_bytes"

    def check(self, size: int) -> None:
        """Raise SourceTooLarge if ``size`` bytes are too many."""
        if size > self.max_bytes:
            where = f" ({self.setting})" if self.setting else ""
            raise SourceTooLarge(
                f"The file has more than the {self.max_bytes} bytes allowed{where}; send a "
                "smaller one."
            )
