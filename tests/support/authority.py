"""Certificates for tests, made with openssl: an authority and what it signs."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.programs import program


@dataclass
class Authority:
    """A certificate authority in a folder of its own."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self._openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "400",
            "-subj", f"/CN={self.folder.name}", "-keyout", self.folder / "ca.key", "-out", self.certificate,
        )  # fmt: skip

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.crt"

    def sign(self, name: str, days: int = 30) -> tuple[Path, Path]:
        """Certificate and key for ``name``, valid for 127.0.0.1."""
        cert, key, request = (self.folder / f"{name}.{ending}" for ending in ("crt", "key", "csr"))
        self._openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-subj", f"/CN={name}",
            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", request,
        )  # fmt: skip
        self._openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.folder / "ca.key",
            "-CAcreateserial", "-days", str(days), "-copy_extensions", "copy", "-out", cert,
        )  # fmt: skip
        return cert, key

    @staticmethod
    def _openssl(*arguments: str | Path) -> None:
        subprocess.run([program("openssl"), *map(str, arguments)], check=True, capture_output=True)
