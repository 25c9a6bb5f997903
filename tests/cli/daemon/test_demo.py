"""What ``demo`` asks before it begins."""

import socket

from tests.support.commands import refusal


def test_a_port_in_use_is_told_before_anything_is_learned() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error = refusal("demo", "--port", str(port))
    assert error.exit_code == 4
    assert str(error) == (
        f"--port {port}: cannot listen there: Address already in use; does another demo or a daemon run? Give another "
        "port, or 0 for a free one"
    )
