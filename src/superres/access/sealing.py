"""Secrets at rest: sealed with a key that is not in the database.

It is in a file of its own, or in a setting that many machines share.

A door that checks signatures (HMAC) needs the secret itself, so it cannot be hashed. It is
sealed with AES-256-GCM; the credential's id is authenticated along with it, so that a sealed
secret moved to another row does not open. Whoever gets hold of the database alone learns
nothing; whoever has the folder with the key has everything.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import stat
import time
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Engine, func, select

from superres.access.tables import credentials
from superres.database import reading
from superres.errors import BadParameter, StorageError

FILE_NAME = "secret.key"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_FORMAT = b"\x01"
_WHERE = f"{FILE_NAME} in the data folder (server.data_dir)"
_SETTING = "[access] key (SUPERRES_ACCESS__KEY)"
# How long another process may take from making the file to having written it.
_PATIENCE_S = 2.0


class Sealer:
    """Seals and opens secrets with one key."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self.key_id = key_id(key)

    def seal(self, credential_id: str, secret: str) -> bytes:
        """Seal ``secret``; only the same credential's ``open`` gives it back."""
        nonce = os.urandom(_NONCE_BYTES)
        return (
            _FORMAT + nonce + self._cipher.encrypt(nonce, secret.encode(), credential_id.encode())
        )

    def open(self, credential_id: str, sealed: bytes) -> str:
        """The secret again.

        Raises:
            StorageError: sealed with another key, or tampered with.
        """
        start = len(_FORMAT)
        nonce, content = sealed[start : start + _NONCE_BYTES], sealed[start + _NONCE_BYTES :]
        try:
            if not sealed.startswith(_FORMAT):
                raise InvalidTag
            return self._cipher.decrypt(nonce, content, credential_id.encode()).decode()
        except (InvalidTag, ValueError) as exc:
            raise StorageError(
                f"The credential {credential_id} was not made with this service's key; put the "
                f"one back that it was made with: {_SETTING}, or else the {_WHERE}."
            ) from exc


def key_id(key: bytes) -> str:
    """Tells keys apart without telling what they are."""
    return hashlib.sha256(b"superres key id" + key).hexdigest()[:16]


def open_key(folder: Path, database: Engine, given: str = "") -> bytes:
    """The key that is ``given``, or else that in the key file of ``folder``.

    A key file is made if there is neither one nor a credential.

    Args:
        folder: the data folder.
        database: has the credentials.
        given: the setting ``[access] key``; the file is not looked at then.

    Raises:
        BadParameter: ``given`` is not 32 bytes in URL-safe base64.
        StorageError: the key is not the one that the credentials were made with; or the file
            is missing although there are credentials (their secrets could never be read
            again), is damaged, or can be read by other users.
    """
    if given:
        return _checked(given, database)
    path = folder / FILE_NAME
    key = _read(path)
    if key is None:
        if _sealed_with(database):
            raise StorageError(
                f"The key file {_WHERE} is missing, and there are credentials made with it. Put "
                "it back, from a backup or from the machine that made them."
            )
        key = _create(path)
    if _sealed_with(database) - {key_id(key)}:
        raise StorageError(
            f"The key file {_WHERE} is not the one that the credentials were made with. Put that "
            "one back, from a backup or from the machine that made them."
        )
    return key


def _checked(given: str, database: Engine) -> bytes:
    key = _decoded(given.encode())
    if key is None:
        raise BadParameter(f"{_SETTING} must be {_KEY_BYTES} bytes in URL-safe base64.")
    if _sealed_with(database) - {key_id(key)}:
        raise StorageError(
            f"The key in {_SETTING} is not the one that the credentials were made with. Set it "
            f"to that one: what the file {FILE_NAME} of the machine that made them says, if "
            "they were made without the setting."
        )
    return key


def _sealed_with(database: Engine) -> set[str]:
    """The ids of the keys that the credentials in use were sealed with."""
    query = select(func.distinct(credentials.c.key_id)).where(credentials.c.revoked_at.is_(None))
    with reading(database) as connection:
        return set(connection.scalars(query))


def _create(path: Path) -> bytes:
    """Make the key file; if another process was quicker, read what it wrote."""
    key = secrets.token_bytes(_KEY_BYTES)
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return _read(path) or _create(path)
    except OSError as exc:
        raise StorageError(f"The key file {_WHERE} cannot be made: {exc.strerror}.") from exc
    with os.fdopen(file, "wb") as stream:
        stream.write(base64.urlsafe_b64encode(key) + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    return key


def _read(path: Path) -> bytes | None:
    """The key in ``path``, or None if there is no such file."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            with path.open("rb") as stream:
                mode = os.fstat(stream.fileno()).st_mode
                content = stream.read(1024)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise StorageError(f"The key file {_WHERE} cannot be read: {exc.strerror}.") from exc
        if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
            raise StorageError(
                f"The key file {_WHERE} can be read by other users of this machine (its mode is "
                f"{stat.S_IMODE(mode):04o}). Run: chmod 600 {FILE_NAME}"
            )
        # The process that is making it has not written it yet.
        if content or time.monotonic() > deadline:
            break
        time.sleep(0.02)
    key = _decoded(content)
    if key is None:
        raise StorageError(
            f"The key file {_WHERE} is damaged. Put a backup in its place; or, if there are no "
            "credentials yet, remove it."
        )
    return key


def _decoded(content: bytes) -> bytes | None:
    try:
        key = base64.b64decode(content.strip(), altchars=b"-_", validate=True)
    except ValueError:
        return None
    return key if len(key) == _KEY_BYTES else None
