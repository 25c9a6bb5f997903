"""The section ``tls`` of a connection to a broker.

Does not handle: what the files hold.
"""

from typing import Self

from pydantic import Field, model_validator

from monitor.config.section import SecretFile, Section


class Tls(Section):
    """Certificates for the connection to the broker; the broker's certificate is always verified."""

    ca_file: SecretFile | None = Field(default=None, examples=["/etc/ssl/plant-ca.pem"])
    """CA certificates to trust instead of the system's."""
    cert_file: SecretFile | None = Field(default=None, examples=["client.pem"])
    """Client certificate."""
    key_file: SecretFile | None = Field(default=None, examples=["client-key.pem"])
    """The key of the client certificate."""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        return self
