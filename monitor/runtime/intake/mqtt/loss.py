"""Says in words why a connection to the broker failed or ended.

The libraries give the operating system's text and number (``[Errno 111]``), which tell a person on call little. The
error of the operating system is found behind the one that was raised. Does not handle: refusals by the broker, which
come in words.
"""

import errno
import re
import socket
import ssl

WORDS = {
    errno.ECONNREFUSED: "nothing accepts connections there; does the broker run?",
    errno.ECONNRESET: "the connection was reset",
    errno.EPIPE: "the connection was reset",
    errno.EHOSTUNREACH: "there is no way to this host; is it on, and the network up?",
    errno.ENETUNREACH: "there is no way to this host; is the network up?",
    errno.ENETDOWN: "there is no way to this host; is the network up?",
    errno.ETIMEDOUT: "the broker did not answer in time",
}
"""What is said of an error of the operating system; of others, the system's own text without its number."""

NOT_WORDS = re.compile(r"^\[[^\]]*\] *| *\(_ssl\.c:\d+\)")
"""Numbers and places in a source file that libraries put around their words."""


WITHOUT_REASON = "the connection ended, and the broker gave no reason; was it stopped?"
"""What is said where MQTT's reason code is only that there was an error: so it is when a broker ends."""


def in_words(error: BaseException) -> str:
    """Why a connection failed, as part of a sentence; never empty."""
    cause = _system_error(error)
    match cause:
        case socket.gaierror():
            return "the name of this host is not known"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {cause.verify_message}"
        case ssl.SSLError():
            return f"no TLS with it: {(cause.reason or 'failed').replace('_', ' ').lower()}"
        case TimeoutError():
            return WORDS[errno.ETIMEDOUT]
        case OSError(errno=int(number)):
            return WORDS.get(number, cause.strerror) or type(cause).__name__
    words = NOT_WORDS.sub("", str(error))
    return WITHOUT_REASON if words == "Unspecified error" else words or type(error).__name__


def _system_error(error: BaseException | None) -> OSError | None:
    """The error of the operating system behind an error; None: there is none."""
    seen: set[int] = set()
    while error is not None and not isinstance(error, OSError):
        seen.add(id(error))
        error = error.__cause__ or error.__context__
        if id(error) in seen:
            return None
    return error
