"""What a section of the configuration is, and the files that it names."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo


class Section(BaseModel):
    """A section of the configuration: frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False)


def _found(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    if folder is None:
        return path
    credential = Path(os.environ.get("CREDENTIALS_DIRECTORY", ""), path)
    is_credential = credential.is_absolute() and path.name == str(path) and credential.exists()
    return credential if is_credential else Path(folder) / path


SecretFile = Annotated[Path, AfterValidator(_found)]
"""A password, token, key or certificate: relative to the folder of the configuration, which the validation's context
names (``folder``). A name without a folder is looked up in systemd's credentials directory first."""
