"""Takes a person's word that an alarm was seen: who, when, and what is to be said about it.

It belongs to the alarm. It is kept in the channel's last event, which the state has and the broker retains, and goes
when the alarm ends or a warning becomes an alarm (:func:`monitor.runtime.alarms.event.still_seen`). It mutes nothing:
that is what Alertmanager's silences are for. Does not handle: who may, and which channels are meant.
"""

import json
import logging
from collections.abc import Callable, Mapping

from monitor.core.scoring.alarm import State
from monitor.runtime.alarms.event import AlarmEvent, seen_document, written_time
from monitor.runtime.alarms.in_words import NOTHING
from monitor.runtime.intake.channel import Acknowledgement, Channel
from monitor.runtime.log.printable import printable

LOG = logging.getLogger(__name__)


class Acknowledgements:
    """Takes, keeps and announces them."""

    def __init__(
        self,
        label_names: Callable[[], tuple[str, ...]],
        wall_clock: Callable[[], float],
        page: Callable[[Mapping[str, str]], str],
        retain: Callable[[dict[str, str], str], None],
        save: Callable[[], None],
    ) -> None:
        """Take none yet.

        Args:
            label_names: returns the names of the channels' labels.
            wall_clock: returns UNIX seconds.
            page: returns the URL of the channel that has these labels.
            retain: sends a channel's event, by its labels.
            save: has the state saved soon.
        """
        self._label_names, self._wall_clock, self._page = label_names, wall_clock, page
        self._retain, self._save = retain, save

    def take(self, channel: Channel, state: State, by: str, reason: str) -> Acknowledgement:
        """Somebody has seen the alarm of a channel; an earlier acknowledgement of it is replaced.

        Args:
            channel: the channel.
            state: its alarm state, a warning or an alarm.
            by: who.
            reason: what is to be said about it.
        """
        labels = dict(zip(self._label_names(), channel.labels, strict=True))
        seen = Acknowledgement(by, reason, self._wall_clock(), state)
        last = (
            channel.event
            or AlarmEvent(
                channel.name, labels, seen.at_s, state, state, NOTHING, channel.alarm_since_s, None, self._page(labels)
            ).payload
        )
        word = state.name.lower()
        document = json.loads(last) | {
            "text": f"{channel.name}: {word} acknowledged by {by}: {reason}",
            "time": written_time(seen.at_s),
            "state": word,
            "previous_state": word,
            "acknowledged": seen_document(seen),
        }
        channel.acknowledged, channel.event = seen, json.dumps(document, allow_nan=False)
        said = printable(by), printable(reason)
        LOG.info("acknowledged: channel=%s state=%s by='%s' reason='%s'", channel.name, word, *said)
        self._retain(labels, channel.event)
        self._save()
        return seen
