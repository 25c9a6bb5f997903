"""What a running daemon does when a person changes baselines: it writes, configures, logs and tells.

The disk is written on a thread. Everything else happens on the event loop, one wish after the other. A channel whose
calibration file the configuration names cannot be changed here.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from monitor.errors import ConfigurationError, MonitorError
from monitor.runtime.baselines.changes import Action, Outcome, Parcel, Wish, change, chosen
from monitor.runtime.baselines.history import History, given, name_of, slug_of
from monitor.runtime.baselines.store import Asked, Store
from monitor.runtime.baselines.transfer import bring
from monitor.runtime.intake.channel import Channel
from monitor.runtime.log.printable import printable

LOG = logging.getLogger(__name__)


class BaselineDesk:
    """Changes baselines of the running daemon's channels."""

    def __init__(
        self,
        store: Store,
        channels: Mapping[tuple[str, ...], Channel],
        label_names: Callable[[], tuple[str, ...]],
        configure: Callable[[Channel], None],
        publish: Callable[[dict[str, str], str], None],
        learns: Callable[[], bool],
    ) -> None:
        """Make a desk.

        Args:
            store: the baselines.
            channels: the present channels by their labels; live.
            label_names: returns the names of their labels.
            configure: has a channel use its present baseline.
            publish: sends a channel's latest change as JSON, by its labels.
            learns: returns whether channels learn at all; then a request is taken up when the channel is configured.
        """
        self.store = store
        self.learns = learns
        self._channels = channels
        self._label_names = label_names
        self._configure = configure
        self._publish = publish
        self._one_at_a_time = asyncio.Lock()

    def known(self) -> dict[str, dict[str, str]]:
        """The labels of all channels, present or with a baseline, by name; on a thread, a thousand take 6 ms."""
        names = self._label_names()
        found = {history.slug: (history.name, history.labels) for history in self.store.histories}
        for channel in list(self._channels.values()):
            labels = dict(zip(names, channel.labels, strict=True))
            found[slug_of(labels)] = channel.name, labels
        return dict(found.values())

    def configured(self) -> dict[str, str]:
        """The calibration files that the configuration names, by the channel's name; on a thread, as ``known``."""
        names = self._label_names()
        found = {
            one.name: one.sensor.calibration_of(dict(zip(names, one.labels, strict=True)))
            for one in list(self._channels.values())
            if one.sensor.calibration is not None
        }
        return {name: file for name, file in found.items() if file is not None}

    async def change(self, action: Action, wish: Wish) -> Outcome:
        """Do something to the baselines of all channels that a wish names.

        Raises:
            ConfigurationError: a pattern fits no channel, or nothing learns; nothing is changed.
        """
        if not self.learns() and action in {Action.LEARN, Action.EXTEND}:
            raise ConfigurationError("this daemon does not learn; set 'learning: {enabled: true}' in its configuration")
        outcome = Outcome()
        async with self._one_at_a_time:
            known = await asyncio.to_thread(lambda: chosen(self.known(), wish.channels))
            configured = await asyncio.to_thread(self.configured)
            for name, labels in known.items():
                if (file := configured.get(name)) is not None:
                    outcome.refused[name] = (
                        f"{name}: the configuration names its calibration {file}, which counts as accepted; take the "
                        "key 'calibration' out to use baselines"
                    )
                    continue
                try:
                    history = await asyncio.to_thread(change, self.store, action, labels, wish)
                except MonitorError as error:
                    outcome.refused[name] = str(error)
                    continue
                outcome.changed[name] = history
                self.announce(history)
        return outcome

    async def bring(self, parcel: Parcel) -> Outcome:
        """Make a baseline from elsewhere the current one of its channel."""
        outcome, name = Outcome(), name_of(parcel.labels)
        async with self._one_at_a_time:
            if name in await asyncio.to_thread(self.configured):
                outcome.refused[name] = f"{name}: the configuration names its calibration"
                return outcome
            try:
                history = await asyncio.to_thread(self._bring, parcel)
            except MonitorError as error:
                outcome.refused[name] = f"{name}: {error}"
                return outcome
            outcome.changed[name] = history
            self.announce(history)
        return outcome

    def _bring(self, parcel: Parcel) -> History:
        with TemporaryDirectory() as folder:
            file = Path(folder) / "calibration.npz"
            file.write_bytes(parcel.calibration)
            return bring(self.store, parcel.labels, file, Asked(parcel.by, parcel.reason), parcel.history)

    def announce(self, history: History) -> None:
        """Log and send the latest change of a channel, and have it use its baseline."""
        latest = history.changes[-1]
        LOG.info(
            "baseline: channel=%s change=%s baseline=%s by='%s' reason='%s'",
            printable(history.name),
            latest.what,
            latest.baseline,
            printable(latest.by),
            printable(latest.reason),
        )
        names = self._label_names()
        values = tuple(history.labels.get(name, "") for name in names)
        channel = self._channels.get(values) if given(history.labels).keys() <= set(names) else None
        if channel is not None:
            self._publish(dict(zip(names, values, strict=True)), _event(history))
            self._configure(channel)

    def tell(self, labels: dict[str, str]) -> None:
        """Send the latest change of a channel's baseline, which learning made and has logged.

        Args:
            labels: all labels of the channel.
        """
        history = self.store.history(labels)
        if history is not None and history.changes:
            self._publish(labels, _event(history))


def _event(history: History) -> str:
    """The latest change of a channel as JSON."""
    latest, baseline = history.changes[-1], history.baseline
    document = {
        "time": datetime.fromtimestamp(latest.at_s, UTC).isoformat(timespec="milliseconds"),
        "labels": history.labels,
        "change": latest.what,
        "by": latest.by,
        "reason": latest.reason,
        "baseline": latest.baseline,
        "provisional": None if baseline is None else baseline.provisional,
    }
    return json.dumps(document)
