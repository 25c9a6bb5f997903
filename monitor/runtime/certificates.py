"""Certificates: loading ours into a TLS context, and when those of a configuration expire.

Of a certificate only its last day is read here, from its DER encoding (RFC 5280, 4.1): everything else about it is
OpenSSL's to judge. Refuses to know: who is at the other end.
"""

import binascii
import re
import ssl
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from monitor.config import Config, Mqtt
from monitor.errors import ConfigurationError
from monitor.runtime.secret import credential

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18


def load_certificate(context: ssl.SSLContext, cert_file: Path, key_file: Path, key: str) -> None:
    """Load our certificate and its key; connections made later use them.

    Args:
        context: to load into.
        cert_file: PEM, with intermediate certificates after ours.
        key_file: PEM without a passphrase.
        key: of the configuration, for the message.

    Raises:
        ConfigurationError: they cannot be read, or do not belong together.
    """
    try:
        # Without a password of its own OpenSSL would ask on the terminal, and wait.
        context.load_cert_chain(credential(cert_file), credential(key_file), password="")
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"{key}: cannot load the certificate {cert_file} with the key {key_file}: {error}; "
            "expected PEM files that belong together, the key without a passphrase"
        ) from error


def tls_context(settings: Mqtt) -> ssl.SSLContext:
    """The TLS settings towards the broker, which is always verified.

    Raises:
        ConfigurationError: a certificate or key cannot be read.
    """
    tls = settings.tls
    try:
        context = ssl.create_default_context(cafile=str(credential(tls.ca_file)) if tls.ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"mqtt.tls.ca_file: cannot load {tls.ca_file}: {error}") from error
    if tls.cert_file is not None and tls.key_file is not None:
        load_certificate(context, tls.cert_file, tls.key_file, "mqtt.tls.cert_file")
    return context


def certificate_expiries(config: Config) -> dict[str, float]:
    """UNIX seconds at which the certificates in use expire, by their file.

    Of our own chain the first that expires counts, of the trusted authorities the last: among those, old ones stay
    beside new ones on purpose.

    Raises:
        ConfigurationError: a file holds no certificate.
    """
    wanted: list[tuple[Path | None, Callable[[Iterable[float]], float]]] = [(config.http.cert_file, min)]
    if config.mqtt.secure:
        wanted += [(config.mqtt.tls.cert_file, min), (config.mqtt.tls.ca_file, max)]
    return {str(file): choose(_expiries(file)) for file, choose in wanted if file is not None}


def _expiries(file: Path) -> list[float]:
    try:
        texts: list[str] = _PEM.findall(credential(file).read_text(encoding="utf-8", errors="replace"))
        found = [not_after(ssl.PEM_cert_to_DER_cert(text)) for text in texts]
    except (OSError, ValueError, binascii.Error) as error:
        raise ConfigurationError(f"cannot read the certificates in {file}: {error}") from error
    if not found:
        raise ConfigurationError(f"{file}: expected certificates in PEM format (BEGIN CERTIFICATE), found none")
    return found


def not_after(der: bytes) -> float:
    """The last instant at which a certificate is valid, UNIX seconds.

    Raises:
        ValueError: the bytes are no certificate.
    """
    _, at, _ = _element(der, 0, _SEQUENCE)
    _, at, _ = _element(der, at, _SEQUENCE)
    tag, _, end = _element(der, at)
    if tag == _VERSION:
        at = end
    for _ in ("serial number", "signature", "issuer"):
        _, _, at = _element(der, at)
    _, at, _ = _element(der, at, _SEQUENCE)
    _, _, at = _element(der, at)
    tag, start, end = _element(der, at)
    text = der[start:end].decode("ascii")
    if tag == _UTC_TIME:
        # Two digits of the year: 50 to 99 are of the last century (RFC 5280, 4.1.2.5.1).
        text = f"{'19' if text >= '5' else '20'}{text}"
    elif tag != _GENERALIZED_TIME:
        raise ValueError("no instant where the certificate's end should be")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _element(der: bytes, at: int, expected: int | None = None) -> tuple[int, int, int]:
    """Tag, start and end of the contents of the DER element at ``at``."""
    if at + 2 > len(der):
        raise ValueError("the certificate ends too early")
    tag, length, start = der[at], der[at + 1], at + 2
    if length >= 0x80:
        digits = length & 0x7F
        length = int.from_bytes(der[start : start + digits], "big")
        start += digits
    if start + length > len(der):
        raise ValueError("the certificate ends too early")
    if expected not in (None, tag):
        raise ValueError("not a certificate")
    return tag, start, start + length
