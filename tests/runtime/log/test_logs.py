"""What the daemon writes to standard error: JSON by option, priorities where journald reads."""

import contextlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.runtime.log.logs import RepeatedLog, configure_logging
from tests.support.daemons import SENSOR
from tests.support.servers import free_port, process, wait_for

SPEAKER = """
import logging
import sys
from monitor.runtime.log.logs import configure_logging
configure_logging(sys.argv[1])
log = logging.getLogger("speaker")
log.debug("too much")
log.info("an umlaut: \\u00e4")
log.warning("careful")
try:
    raise ValueError("two\\nlines")
except ValueError:
    log.exception("it went wrong")
"""


def spoken(folder: Path, style: str, journald: str) -> list[str]:
    """The lines of a process whose standard error is, or is not, the stream of journald that the environment names."""
    file = folder / "log"
    with file.open("w") as stream:
        status = os.fstat(stream.fileno())
        names = {"no": {}, "elsewhere": {"JOURNAL_STREAM": "1:2"}}.get(
            journald, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        )
        environment = {name: value for name, value in os.environ.items() if name != "JOURNAL_STREAM"} | names
        subprocess.run([sys.executable, "-c", SPEAKER, style], stderr=stream, env=environment, check=True, timeout=60)
    return file.read_text().splitlines()


@pytest.mark.parametrize("journald", ["no", "yes"])
def test_json_is_one_object_a_line(tmp_path: Path, journald: str) -> None:
    lines = spoken(tmp_path, "json", journald)
    if journald == "yes":
        assert [line[:3] for line in lines] == ["<6>", "<4>", "<3>"]
        lines = [line[3:] for line in lines]
    records = [json.loads(line) for line in lines]
    assert [(record["level"], record["logger"], record["message"]) for record in records] == [
        ("info", "speaker", "an umlaut: ä"),
        ("warning", "speaker", "careful"),
        ("error", "speaker", "it went wrong"),
    ]
    assert records[2]["exception"].endswith("ValueError: two\nlines")
    assert all(record["time"].endswith("Z") and len(record["time"]) == 24 for record in records)


def test_journald_gets_priorities_and_no_time(tmp_path: Path) -> None:
    lines = spoken(tmp_path, "text", "yes")
    assert lines[:3] == ["<6>speaker: an umlaut: ä", "<4>speaker: careful", "<3>speaker: it went wrong"]
    assert len(lines) > 5
    assert all(line.startswith("<3>") for line in lines[3:])


@pytest.mark.parametrize("journald", ["no", "elsewhere"])
def test_a_terminal_gets_times_and_no_priorities(tmp_path: Path, journald: str) -> None:
    lines = spoken(tmp_path, "text", journald)
    assert lines[1].endswith(" WARNING speaker: careful")
    assert lines[0][:4].isdecimal()


def test_the_daemon_speaks_json(tmp_path: Path) -> None:
    config = {
        "sensors": [SENSOR],
        "http": {"listen": "127.0.0.1:0", "page": False},
        "mqtt": {"url": f"mqtt://127.0.0.1:{free_port()}"},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    log = tmp_path / "log"
    command = (sys.executable, "-m", "monitor", "run", "--log-format", "json", "--config", tmp_path / "config.yaml")
    with log.open("w") as stream, process(*command, stderr=stream) as child:
        wait_for(lambda: "no broker" in log.read_text(), "a line about the broker")
        child.terminate()
        assert child.wait(15) == 0
    levels = {json.loads(line)["level"] for line in log.read_text().splitlines()}
    assert levels == {"info", "warning"}


@contextlib.contextmanager
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    loggers = {name: logging.getLogger(name).level for name in ("mqtt", "aiohttp")}
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        for name, before in loggers.items():
            logging.getLogger(name).setLevel(before)


def test_the_protocol_library_is_heard_on_request_only() -> None:
    with restored_logging():
        configure_logging("text", "info")
        assert not logging.getLogger("mqtt").isEnabledFor(logging.ERROR)
        configure_logging("text", "debug")
        assert logging.getLogger("mqtt").isEnabledFor(logging.ERROR)


def test_faults_that_repeat_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    faults = RepeatedLog(logging.getLogger("repeated"), lambda: now[0], period_s=10.0)
    for second in range(25):
        now[0] = float(second)
        faults.warning("one", f"fault {second}")
        faults.warning(f"kind {second % 2}", "another")
    ones = [record.getMessage() for record in caplog.records if "fault" in record.getMessage()]
    assert ones == ["fault 0", "fault 10 (and 9 more of this kind)", "fault 20 (and 9 more of this kind)"]
