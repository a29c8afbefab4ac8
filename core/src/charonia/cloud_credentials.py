"""The reference's file of credentials for clouds: by provider and by the beginning of a repository's URL.

{"s3": {"": {"key_id": …, "secret_key": …}, "s3://bucket-2": {…}}, "gs": {…}, "as": {…}}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charonia.errors import RepositoryError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CREDENTIAL_FILE", "cloud_credentials"]

CREDENTIAL_FILE = "TRITON_CLOUD_CREDENTIAL_PATH"
"""The environment variable that names the file."""


def cloud_credentials(provider: str, url: str, environment: Mapping[str, str]) -> Any:
    """Give what the file has for a repository: of the beginnings that fit, the longest wins, and "" fits all.

    Args:
        provider: "s3", "gs" or "as".
        url: the repository's URL.
        environment: the environment variables.

    Returns:
        What stands there, or None where no file is named, or nothing in it is about this repository.

    Raises:
        RepositoryError: there is no such file, or it is not of this form. No secret is told.
    """
    name = environment.get(CREDENTIAL_FILE)
    if not name:
        return None
    try:
        content = json.loads(Path(name).read_bytes())
        sections = dict(content.get(provider, {}).items())
    except OSError as error:
        raise RepositoryError(f'the file "{name}" of {CREDENTIAL_FILE} cannot be read: {error.strerror}') from error
    except (ValueError, AttributeError) as error:
        raise RepositoryError(
            f'the file "{name}" of {CREDENTIAL_FILE} is not of the form {{"{provider}": {{"<beginning of a URL>": …}}}}'
        ) from error
    fitting = [beginning for beginning in sections if url.startswith(beginning)]
    return sections[max(fitting, key=len)] if fitting else None
