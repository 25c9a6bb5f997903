"""Where ``baseline`` finds the baselines: in the running daemon, over HTTP, or in a state directory without one.

Both ways give the same documents. A state directory is read at any time; it is changed only while no daemon holds it.
"""

import base64
import contextlib
import json
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager
from glob import escape
from pathlib import Path
from typing import Any, Protocol, Self
from urllib.parse import urlencode, urlsplit

from monitor.config.configuration import Config
from monitor.config.file import read_config, with_own_place
from monitor.errors import ConfigurationError, MonitorError
from monitor.model.calibration_file import load_calibrations
from monitor.runtime.baselines.changes import Action, Wish, change_all, chosen
from monitor.runtime.baselines.documents import details, summaries
from monitor.runtime.baselines.history import History
from monitor.runtime.baselines.store import FOLDER, Asked, Store
from monitor.runtime.baselines.transfer import Bring, bring
from monitor.runtime.credentials.secret import read_secret
from monitor.runtime.state.file import LOCK_NAME, locked

ANSWER_S = 60.0
"""Longest wait for the daemon. Shorter: a change of a thousand channels on a slow disk is called a failure."""

MOST_BYTES = 2**28
"""Largest answer that is read."""


class Access(Protocol):
    """The baselines, wherever they are."""

    def channels(self, patterns: tuple[str, ...], *, everything: bool) -> list[dict[str, Any]]:
        """The documents of the channels that fit a pattern, of all without one; ``everything``: with all details."""

    def change(self, action: Action, wish: Wish) -> dict[str, Any]:
        """Do something, and tell what was ``changed`` and what ``refused``."""

    def importing(self, asked: Asked) -> AbstractContextManager[Bring]:
        """What makes a file the current baseline of a channel, as long as the context lasts."""

    def files(self, patterns: tuple[str, ...]) -> Iterator[tuple[History, bytes]]:
        """The history and the calibration file of each channel that fits and has a baseline."""


class Folder:
    """A state directory."""

    def __init__(self, state_dir: Path, config: Config | None = None) -> None:
        if not state_dir.is_dir():
            raise ConfigurationError(f"state directory {state_dir}: there is no such folder")
        self._state_dir = state_dir
        self._store = Store(state_dir, time.time)
        self._config = config

    @classmethod
    def of_config(cls, file: Path) -> Self:
        """The state directory of a configuration.

        Raises:
            ConfigurationError: the configuration cannot be used, or names no folder that is there.
        """
        config = with_own_place(read_config(file), file)
        if config.state_dir is None:
            raise ConfigurationError(f"{file}: names no state_dir, so there are no baselines; or use --url")
        return cls(config.state_dir, config)

    def channels(self, patterns: tuple[str, ...], *, everything: bool) -> list[dict[str, Any]]:
        """See :class:`Access`."""
        return (details if everything else summaries)(self._store, self._known(patterns), {})

    def change(self, action: Action, wish: Wish) -> dict[str, Any]:
        """See :class:`Access`."""
        with self.changing() as store:
            known = {one.name: one.labels for one in store.histories}
            return change_all(store, action, chosen(known, wish.channels), wish).document()

    def files(self, patterns: tuple[str, ...]) -> Iterator[tuple[History, bytes]]:
        """See :class:`Access`."""
        for labels in self._known(patterns).values():
            history = self._store.history(labels)
            if history is not None and history.current is not None:
                yield history, self._store.file_bytes(history)

    @contextlib.contextmanager
    def importing(self, asked: Asked) -> Iterator[Bring]:
        """See :class:`Access`."""

        def checked(labels: dict[str, str], file: Path, history: History | None) -> None:
            # With a history the labels were those of a channel; without, a person wrote them.
            if history is None and self._config is not None and (problem := self._config.why_no_channel(labels)):
                raise ConfigurationError(f"import: {problem}")
            bring(store, labels, file, asked, history)

        with self.changing() as store:
            yield checked

    @contextlib.contextmanager
    def changing(self) -> Iterator[Store]:
        """The store while nobody else may change it.

        Raises:
            MonitorError: a daemon runs on this folder.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(self._state_dir))
            except MonitorError:
                raise MonitorError(
                    f"a daemon runs on {self._state_dir} (it holds {LOCK_NAME}); ask it instead, with --url "
                    "http://127.0.0.1:9108 or where it listens, or stop it"
                ) from None
            try:
                yield Store(self._state_dir, time.time)
            finally:
                self._give_to_owner()

    def _give_to_owner(self) -> None:
        """What root has written must stay writable for the user of the service, who owns the folder."""
        if os.geteuid() == 0:
            owner = self._state_dir.stat()
            folder = self._state_dir / FOLDER
            for path in (self._state_dir / LOCK_NAME, folder, *folder.glob("*")):
                with contextlib.suppress(OSError):
                    os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)

    def _known(self, patterns: tuple[str, ...]) -> dict[str, dict[str, str]]:
        known = {one.name: one.labels for one in self._store.histories}
        return chosen(known, patterns) if patterns else known


class Remote:
    """A running daemon."""

    def __init__(
        self,
        url: str,
        user: str | None = None,
        password_file: Path | None = None,
        token_file: Path | None = None,
        ca_file: Path | None = None,
    ) -> None:
        """Name a daemon; nothing is sent yet.

        Raises:
            ConfigurationError: the address or a file is not usable.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigurationError(f"--url: '{url}' is not the address of a daemon; write http://127.0.0.1:9108")
        if (user is None) != (password_file is None) or (user is not None and token_file is not None):
            raise ConfigurationError("--user goes with --password-file, and neither goes with --token-file")
        self._url = url.rstrip("/")
        self._headers: dict[str, str] = {}
        if user is not None and password_file is not None:
            pair = f"{user}:{read_secret(password_file, '--password-file').reveal()}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        if token_file is not None:
            token = read_secret(token_file, "--token-file").reveal().encode().decode("latin-1")  # its bytes as they are
            self._headers["Authorization"] = f"Bearer {token}"
        handlers: list[Any] = [urllib.request.ProxyHandler({})]
        if ca_file is not None:
            try:
                handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca_file)))
            except OSError as error:
                raise ConfigurationError(f"--ca-file: cannot use {ca_file}: {error.strerror or error}") from error
        self._opener = urllib.request.build_opener(*handlers)

    def channels(self, patterns: tuple[str, ...], *, everything: bool) -> list[dict[str, Any]]:
        """See :class:`Access`."""
        found: list[dict[str, Any]] = self._listing(patterns, everything=everything)["channels"]
        return found

    def change(self, action: Action, wish: Wish) -> dict[str, Any]:
        """See :class:`Access`."""
        token = self._listing(wish.channels[:1], everything=False)["token"]
        return self._post(str(action), wish.model_dump_json(exclude_none=True).encode(), token)

    @contextlib.contextmanager
    def importing(self, asked: Asked) -> Iterator[Bring]:
        """See :class:`Access`."""
        token = self._listing((), everything=False)["token"]

        def bring(labels: dict[str, str], file: Path, history: History | None) -> None:
            load_calibrations(file)
            about = None if history is None else history.exported.model_dump(mode="json")
            calibration = base64.b64encode(file.read_bytes()).decode()
            parcel = {"labels": labels, "by": asked.by, "reason": asked.reason, "history": about}
            outcome = self._post("import", json.dumps(parcel | {"calibration": calibration}).encode(), token)
            if outcome["refused"]:
                raise MonitorError(" ".join(outcome["refused"].values()))

        yield bring

    def _post(self, what: str, body: bytes, token: str | None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", **({"X-Vibration-Token": token} if token else {})}
        outcome: dict[str, Any] = json.loads(self._ask(f"/api/v1/baselines/{what}", body, headers))
        return outcome

    def files(self, patterns: tuple[str, ...]) -> Iterator[tuple[History, bytes]]:
        """See :class:`Access`."""
        for short in self.channels(patterns, everything=False):
            if short["baseline"] is None:
                continue
            (document,) = self.channels((escape(short["name"]),), everything=True)
            history = History.model_validate(
                {
                    "labels": document["labels"],
                    "current": document["baseline"]["number"],
                    "baselines": document["baselines"],
                    "changes": document["changes"],
                }
            )
            yield history, self._ask(f"/api/v1/baselines/file?{urlencode({'channel': short['name']})}")

    def _listing(self, patterns: tuple[str, ...], *, everything: bool) -> dict[str, Any]:
        query = [("channel", pattern) for pattern in patterns] + [("details", "1")] * everything
        found: dict[str, Any] = json.loads(self._ask(f"/api/v1/baselines?{urlencode(query)}"))
        return found

    def _ask(self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
        request = urllib.request.Request(self._url + path, body, {**self._headers, **(headers or {})})  # noqa: S310
        try:
            with self._opener.open(request, timeout=ANSWER_S) as answer:
                data: bytes = answer.read(MOST_BYTES + 1)
        except urllib.error.HTTPError as error:
            with error:
                text = error.read(10_000).decode(errors="backslashreplace").strip()
            if error.code == 409:
                return text.encode()  # an outcome in which nothing was changed
            if error.code == 401:
                text = "the daemon asks for authentication; give --user and --password-file, or --token-file"
            elif error.code == 413:
                text = "the baseline is too large for a request; stop the daemon, and use --state-dir"
            elif error.code == 404 and path.startswith("/api/v1/baselines?") and "not found" in text.lower():
                text = "this daemon knows no baselines; it is of an older version"
            kind = ConfigurationError if error.code in {400, 404} else MonitorError
            raise kind(f"{self._url}: {text}") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise MonitorError(
                f"{self._url}: no answer from a daemon ({reason}); is it running there? Without one, name its "
                "folder with --state-dir or --config"
            ) from error
        if len(data) > MOST_BYTES:
            raise MonitorError(f"{self._url}: answers with more than {MOST_BYTES} bytes; narrow the patterns")
        return data
