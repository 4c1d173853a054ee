"""AWS shared files: keys of a profile.

Read by us, since botocore reads them once and quotes what it cannot parse: no line of such a file is ever
part of a message.
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path

from botocore.credentials import CredentialProvider
from botocore.credentials import ReadOnlyCredentials as Keys

from wan_core.errors import AccessDenied
from wan_runner.store.redact import remember
from wan_runner.store.renewal import KeysOfFile


def read_sections(file: Path) -> Mapping[str, Mapping[str, str]]:
    """Sections by name; none if there is no such file. Raises AccessDenied."""
    parser = configparser.RawConfigParser(default_section="", strict=False)
    try:
        parser.read_string(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise AccessDenied(f"S3 credentials cannot be read: {file}: {said}") from None
    except configparser.MissingSectionHeaderError as error:
        said = f"line {error.lineno} stands before any [profile]"
        raise AccessDenied(f"S3 credentials cannot be read: {file}: {said}") from None
    except configparser.ParsingError as error:
        said = f"line {error.errors[0][0]} is not `key = value`"
        raise AccessDenied(f"S3 credentials cannot be read: {file}: {said}") from None
    return {name: parser[name] for name in parser.sections()}


def check(keys: Keys, where: str) -> Keys:
    """Keys that can be sent at all. Raises AccessDenied, not saying what they are."""
    remember(keys.secret_key, keys.token)
    for name, value in zip(("access key id", "secret access key", "session token"), keys, strict=False):
        if value and (not value.isprintable() or not value.isascii() or " " in value):
            raise AccessDenied(
                f"S3 credentials: the {name} of {where} holds a space, a line break or the like"
            )
    return keys


class FileProvider(CredentialProvider):  # type: ignore[misc]  # botocore has no types
    """Keys of a profile, under the first of `names` that has any."""

    METHOD = "shared-credentials-file"

    def __init__(self, file: Path, names: tuple[str, ...]) -> None:
        super().__init__()
        self._file, self._names = file, names

    def load(self) -> KeysOfFile | None:
        first = self._read()
        return KeysOfFile(self._file, self._read, first) if first is not None else None

    def _read(self) -> Keys | None:
        sections = read_sections(self._file)
        found = next((sections[name] for name in self._names if name in sections), {})
        access_key, secret_key = found.get("aws_access_key_id"), found.get("aws_secret_access_key")
        if not access_key:
            return None
        if not secret_key:
            said = "has aws_access_key_id, but no aws_secret_access_key"
            raise AccessDenied(f"S3 credentials: {self._file} {said}")
        token = found.get("aws_session_token") or found.get("aws_security_token")
        return check(Keys(access_key, secret_key, token), str(self._file))


class NothingInFile(CredentialProvider):  # type: ignore[misc]
    """Ends the search: who gave a file of credentials does not mean to be somebody else."""

    METHOD = "nothing-in-file"

    def __init__(self, file: Path, profile: str) -> None:
        super().__init__()
        self._file, self._profile = file, profile

    def load(self) -> None:
        if sections := read_sections(self._file):
            raise AccessDenied(
                f"S3 credentials: {self._file} has no keys for the profile {self._profile!r}; "
                f"it has: {', '.join(sorted(sections))}",
                advice="Correct the file (in a cluster, the Secret), or name the profile in AWS_PROFILE.",
            )
