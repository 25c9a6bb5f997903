"""TLS: the contexts for the broker and for our server, and when the configured certificates expire.

Only the expiry date is read here; OpenSSL checks everything else about a certificate during the handshake.
"""

import binascii
import re
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path

from monitor.config.configuration import Config, Http
from monitor.config.mqtt import Mqtt
from monitor.errors import ConfigurationError

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def load_certificate(context: ssl.SSLContext, cert_file: Path, key_file: Path, key: str) -> None:
    """Load our certificate and its key into a context; later connections use them.

    Args:
        context: the TLS context.
        cert_file: PEM, with intermediate certificates after ours.
        key_file: PEM without a passphrase.
        key: configuration key of ``cert_file``, for the error message.

    Raises:
        ConfigurationError: they cannot be read, or do not belong together.
    """
    try:
        # Without a password argument OpenSSL would prompt on the terminal and wait.
        context.load_cert_chain(cert_file, key_file, password="")
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"{key}: cannot load the certificate {cert_file} with the key {key_file}: {error}; "
            "expected PEM files that belong together, the key without a passphrase"
        ) from error


def broker_context(settings: Mqtt) -> ssl.SSLContext:
    """The TLS context for the broker, whose certificate is always verified.

    Raises:
        ConfigurationError: a certificate or key cannot be read.
    """
    tls = settings.tls
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"mqtt.tls.ca_file: cannot load {tls.ca_file}: {error}; expected certificates in PEM format"
        ) from error
    if tls.cert_file is not None and tls.key_file is not None:
        load_certificate(context, tls.cert_file, tls.key_file, "mqtt.tls.cert_file")
    return context


def server_context(settings: Http) -> ssl.SSLContext | None:
    """The TLS context of our HTTP server; None for plain HTTP.

    Raises:
        ConfigurationError: the certificate or key cannot be read.
    """
    if settings.cert_file is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    load_server_certificate(context, settings)
    return context


def load_server_certificate(context: ssl.SSLContext, settings: Http) -> None:
    """Load the server's certificate from disk; later connections use it.

    Raises:
        ConfigurationError: the certificate or key cannot be read.
    """
    if settings.cert_file is not None and settings.key_file is not None:
        load_certificate(context, settings.cert_file, settings.key_file, "http.cert_file")


def certificate_expiries(config: Config) -> dict[str, float]:
    """UNIX seconds at which the certificates in use expire, by file.

    For our own chain it is the first certificate that expires. For the trusted authorities it is the last one, because
    old ones are kept beside new ones on purpose.

    Raises:
        ConfigurationError: a file cannot be read or holds no certificate.
    """
    wanted: list[tuple[Path | None, Callable[[Iterable[float]], float]]] = [(config.http.cert_file, min)]
    if config.broker.secure:
        wanted += [(config.broker.tls.cert_file, min), (config.broker.tls.ca_file, max)]
    return {str(file): choose(_expiries(file)) for file, choose in wanted if file is not None}


def _expiries(file: Path) -> list[float]:
    try:
        texts: list[str] = _PEM.findall(file.read_text(encoding="utf-8", errors="replace"))
        found = [not_after(ssl.PEM_cert_to_DER_cert(text)) for text in texts]
    except (OSError, ValueError, binascii.Error) as error:
        raise ConfigurationError(f"cannot read the certificates in {file}: {error}") from error
    if not found:
        raise ConfigurationError(f"{file}: expected certificates in PEM format (BEGIN CERTIFICATE), found none")
    return found


def not_after(der: bytes) -> float:
    """The last instant at which a certificate is valid, UNIX seconds.

    Args:
        der: the certificate in DER encoding.

    Raises:
        ValueError: the bytes are not a certificate.
    """
    # Imported here: it takes 50 ms and 17 MB, and most daemons have no certificate.
    from cryptography import x509

    try:
        return x509.load_der_x509_certificate(der).not_valid_after_utc.timestamp()
    except x509.InvalidVersion as error:
        raise ValueError(str(error)) from error
