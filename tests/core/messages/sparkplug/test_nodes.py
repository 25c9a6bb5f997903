import json
from dataclasses import dataclass, field

import numpy as np
import pytest

from monitor.core.arrays import AnyArray
from monitor.core.messages.rejection import Reason
from monitor.core.messages.sparkplug.addresses import Wanted, address_of, message_filters, require_metric_topic
from monitor.core.messages.sparkplug.known import FIRST_NUMBER
from monitor.core.messages.sparkplug.nodes import Heard, Nodes
from monitor.core.messages.sparkplug.rebirths import ASK_AGAIN_S, UNANSWERED_S
from tests.core.messages.sparkplug.test_payload import ARRAYS, NUMBERS
from tests.support.programs import ROOT
from tests.support.sparkplug_node import FLOAT_ARRAY, STRING, SparkplugNode, metric, payload

T = 1.764e9
NODE = ("plant", "gateway")
X = "spBv1.0/plant/DDATA/gateway/fan/x"


@dataclass
class Bench:
    """Nodes that want every metric of devices, and the clock."""

    patterns: tuple[str, ...] = ("spBv1.0/{group}/DDATA/{node}/{device}/{metric}",)
    most: int = 100
    now_s: float = 0.0
    nodes: Nodes = field(init=False)

    def __post_init__(self) -> None:
        wanted = Wanted([(pattern, "<i2") for pattern in self.patterns])
        self.nodes = Nodes(wanted, lambda: self.now_s)
        self.nodes.configure(wanted, self.most, asks=True)

    def take(self, message: tuple[str, bytes]) -> Heard:
        address = address_of(message[0])
        assert address is not None
        return self.nodes.take(address, message[1])

    def samples(self, message: tuple[str, bytes]) -> dict[str, list[float]]:
        return {found.topic: found.values.tolist() for found in self.take(message).samples}

    def order(self, message: tuple[str, bytes]) -> tuple[int | None, bool]:
        """The order of the only metric of a message, which becomes a channel."""
        (found,) = self.take(message).samples
        number, hole = self.nodes.order(found, 100.0, 1.0)
        if not self.nodes._nodes[NODE].devices["fan"].streams:
            self.nodes.joined(found.topic)
        return (None if number is None else number - FIRST_NUMBER), hole


def reasons(heard: Heard) -> list[Reason]:
    return [rejected.reason for _, rejected in heard.rejected]


def block(*values: float) -> AnyArray:
    return np.array(values or range(10), "<f4")


def born(bench: Bench) -> SparkplugNode:
    node = SparkplugNode()
    bench.take(node.birth())
    assert bench.take(node.device_birth("fan", {"x": FLOAT_ARRAY, "state": STRING})).born == {X: FLOAT_ARRAY}
    return node


def golden(bench: Bench, encoder: str) -> dict[str, Heard]:
    found = {}
    for message in json.loads((ROOT / f"tests/golden/sparkplug/{encoder}.json").read_text()):
        if message["name"] in {"request for births", "death of the session before", "death of this session"}:
            continue
        found[message["name"]] = bench.take((message["topic"], bytes.fromhex(message["payload"])))
    return found


def test_aliases_and_types_come_from_the_births_of_another_encoder() -> None:
    patterns = ("spBv1.0/{group}/DDATA/{node}/{device}/+/{metric}", "spBv1.0/{group}/NDATA/{node}/{metric}")
    heard = golden(Bench(patterns), "pysparkplug")
    assert [each.rejected for name, each in heard.items() if name != "historical and null"] == [[]] * (len(heard) - 1)
    own = "spBv1.0/plant/DDATA/gateway-1/fan-1"

    def samples(name: str) -> dict[str, list[float]]:
        return {found.topic: found.values.tolist() for found in heard[name].samples}

    assert samples("data of the node") == {"spBv1.0/plant/NDATA/gateway-1/case": [22.5]}
    assert samples("arrays by alias") == {f"{own}/array/{kind}": values for kind, values in ARRAYS.items()}
    assert samples("numbers by alias") == {f"{own}/number/{kind}": [value] for kind, value in NUMBERS.items()}
    assert samples("bytes and others by alias") == {f"{own}/bytes/raw": [1, -2]}
    assert samples("a metric twice") == {f"{own}/array/float": [1.0, 2.0, 3.0]}
    assert reasons(heard["historical and null"]) == [Reason.LATE]
    assert heard["historical and null"].samples == []


def test_the_messages_of_a_second_encoder() -> None:
    heard = golden(Bench(("spBv1.0/{group}/DDATA/{node}/{device}/number/{metric}",)), "mqtt_spb_wrapper")
    own = "spBv1.0/plant/DDATA/gateway-2/pump-1"
    for name in ("numbers by alias", "numbers by name"):
        found = {found.topic: found.values.tolist() for found in heard[name].samples}
        assert found == {f"{own}/number/{kind}": [value] for kind, value in NUMBERS.items()}
        assert not heard[name].rejected


def test_data_without_a_birth_is_one_rejection_unless_it_says_all() -> None:
    bench = Bench()
    node = SparkplugNode(aliases={"fan/x": 1, "fan/y": 2})
    heard = bench.take(node.data("fan", {"x": block(), "y": block()}, T))
    assert reasons(heard) == [Reason.NO_BIRTH]
    assert "2 metrics have an alias only" in str(heard.rejected[0][1])
    named = metric("x", block(1, 2), datatype=FLOAT_ARRAY)
    assert bench.samples((node.topic("DDATA", "fan"), payload([named]))) == {X: [1, 2]}
    heard = bench.take((node.topic("DDATA", "fan"), payload([metric("x", block())])))
    assert reasons(heard) == [Reason.NO_BIRTH]
    assert bench.samples((node.topic("DDATA", "fan"), payload([metric("x", 2.5)]))) == {X: [2.5]}


def test_an_alias_that_a_later_birth_gave_to_another_type_is_not_mixed_up() -> None:
    bench = Bench()
    node = born(bench)
    other = metric(alias=node.aliases["fan/x"], value=b"12", datatype=23)
    assert reasons(bench.take((node.topic("DDATA", "fan"), payload([other], 3)))) == [Reason.NO_BIRTH]


def test_what_no_sensor_wants_is_left_out_without_a_word() -> None:
    bench = Bench(("spBv1.0/{group}/DDATA/{node}/fan/{metric}",))
    node = born(bench)
    heard = bench.take(node.device_birth("pump", {"x": FLOAT_ARRAY}))
    assert (heard.born, heard.rejected) == (None, [])
    for device in ("pump", "mixer"):
        node.aliases[f"{device}/x"] = 5
        heard = bench.take(node.data(device, {"x": block()}, T))
        assert (heard.samples, heard.rejected) == ([], [])
    assert bench.samples(node.data("fan", {"x": block(1), "state": "runs"}, T)) == {X: [1]}
    assert bench.nodes.breaks == 0


def test_jitter_of_the_times_ends_no_stream_as_long_as_no_message_is_missing() -> None:
    bench = Bench()
    node = born(bench)
    orders = [bench.order(node.data("fan", {"x": block()}, T + at)) for at in (0, 0.1, 0.16, 0.4, 0.35)]
    assert orders == [(number, False) for number in range(5)]


def test_a_jump_of_the_time_counts_although_no_message_is_missing() -> None:
    bench = Bench()
    node = born(bench)
    assert bench.order(node.data("fan", {"x": block()}, T)) == (0, False)
    assert bench.order(node.data("fan", {"x": block()}, T + 5)) == (50, False)
    assert bench.order(node.data("fan", {"x": block()}, T + 5.1)) == (51, False)


def test_after_a_break_the_time_decides_once() -> None:
    bench = Bench()
    node = born(bench)
    bench.order(node.data("fan", {"x": block()}, T))
    node.seq += 3
    assert bench.order(node.data("fan", {"x": block()}, T + 0.1)) == (1, False)
    node.seq += 3
    assert bench.order(node.data("fan", {"x": block()}, T + 0.5)) == (5, False)
    # Not after a break: these times jitter.
    assert bench.order(node.data("fan", {"x": block()}, T + 0.9)) == (6, False)
    assert bench.nodes.breaks == 2


def test_a_clock_that_is_set_back_while_messages_are_lost_costs_one_message() -> None:
    bench = Bench()
    node = born(bench)
    bench.order(node.data("fan", {"x": block()}, T))
    node.seq += 3
    assert bench.order(node.data("fan", {"x": block()}, T - 3)) == (-30, False)  # late
    assert bench.order(node.data("fan", {"x": block()}, T - 2.9)) == (1, False)
    node.seq += 3
    assert bench.order(node.data("fan", {"x": block()}, T - 1000)) == (-9970, False)  # a restart
    assert bench.order(node.data("fan", {"x": block()}, T - 999.9)) == (-9969, False)


def test_the_numbers_of_a_node_go_around() -> None:
    bench = Bench()
    node = born(bench)
    orders = [bench.order(node.data("fan", {"x": block()}, T + number / 10)) for number in range(600)]
    assert orders == [(number, False) for number in range(600)]
    assert bench.nodes.breaks == 0


def test_without_times_a_break_is_a_hole() -> None:
    bench = Bench()
    node = born(bench)

    def message() -> tuple[str, bytes]:
        node.seq += 1
        return node.topic("DDATA", "fan"), payload([metric(alias=node.aliases["fan/x"], value=block())], node.seq)

    assert bench.order(message()) == (None, False)
    assert bench.order(message()) == (None, False)
    node.seq += 1
    assert bench.order(message()) == (None, True)
    assert bench.order(message()) == (None, False)


def test_a_message_with_the_number_of_the_one_before_is_judged_by_its_time() -> None:
    bench = Bench()
    node = born(bench)
    message = node.data("fan", {"x": block()}, T)
    bench.order(message)
    assert bench.order(message) == (0, False)
    assert bench.order(node.data("fan", {"x": block()}, T + 0.1)) == (1, False)


def test_a_damaged_message_leaves_its_node_in_doubt() -> None:
    bench = Bench()
    node = born(bench)
    bench.order(node.data("fan", {"x": block()}, T))
    node.seq += 1
    with pytest.raises(Exception, match="not a Sparkplug B payload"):
        bench.take((node.topic("DDATA", "fan"), b"\x12\x05"))
    assert bench.order(node.data("fan", {"x": block()}, T + 0.2)) == (2, False)
    assert bench.order(node.data("fan", {"x": block()}, T + 0.3)) == (3, False)


def test_deaths_end_channels_and_births() -> None:
    bench = Bench()
    node = born(bench)
    bench.order(node.data("fan", {"x": block()}, T))
    assert bench.take(node.device_death("pump")).ended == []
    assert bench.take(node.device_death("fan")).ended == [X]
    assert reasons(bench.take(node.data("fan", {"x": block()}, T + 1))) == [Reason.NO_BIRTH]
    bench.take(node.device_birth("fan", {"x": FLOAT_ARRAY}))
    assert bench.order(node.data("fan", {"x": block()}, T + 0.4)) == (4, False)
    assert bench.take(node.death()).ended == [X]
    assert reasons(bench.take(node.data("fan", {"x": block()}, T + 1))) == [Reason.NO_BIRTH]


def test_the_death_of_an_earlier_session_that_comes_late() -> None:
    bench = Bench()
    node = born(bench)
    bench.order(node.data("fan", {"x": block()}, T))
    before = SparkplugNode(session=5).death()
    node.session = 7
    bench.take(node.birth())
    bench.take(node.device_birth("fan", {"x": FLOAT_ARRAY}))
    assert bench.take(before).ended == []
    # The number before may be a wrong one of this session; the births stay in case it is not.
    assert bench.take(SparkplugNode(session=6).death()).ended == [X]
    assert not bench.take(node.data("fan", {"x": block()}, T + 0.1)).rejected


def test_a_node_is_asked_once_for_its_births() -> None:
    bench = Bench()
    node = SparkplugNode(aliases={"fan/x": 1})
    for _ in range(5):
        bench.take(node.data("fan", {"x": block()}, T))
    assert bench.nodes.rebirths.due() == [NODE]
    assert bench.nodes.rebirths.due() == []
    bench.now_s = UNANSWERED_S - 1
    bench.take(node.data("fan", {"x": block()}, T))
    assert bench.nodes.rebirths.due() == []
    # It answers; what is missing later is asked for again, but not at once.
    bench.take(node.birth())
    bench.take(node.device_birth("fan", {"x": FLOAT_ARRAY}))
    node.seq += 2
    bench.take(node.data("fan", {"x": block()}, T))
    assert bench.nodes.rebirths.due() == []
    bench.now_s += ASK_AGAIN_S + 1
    node.seq += 2
    bench.take(node.data("fan", {"x": block()}, T))
    assert bench.nodes.rebirths.due() == [NODE]
    assert bench.nodes.rebirths.requested == 2


def test_nobody_is_asked_unless_configured() -> None:
    bench = Bench()
    bench.nodes.configure(bench.nodes._wanted, 10, asks=False)
    bench.take(SparkplugNode(aliases={"fan/x": 1}).data("fan", {"x": block()}, T))
    assert bench.nodes.rebirths.due() == []


def test_made_up_births_take_bounded_room() -> None:
    bench = Bench(most=10)
    rejected = 0
    for number in range(500):
        node = SparkplugNode(name=f"node-{number}", aliases={"fan/x": 1})
        bench.take(node.birth())
        rejected += bool(bench.take(node.device_birth("fan", {"x": FLOAT_ARRAY})).rejected)
        bench.take(node.data("fan", {"x": block()}, T))
    known = list(bench.nodes._nodes.values())
    assert rejected == 490
    assert sum(len(device.types) for node in known for device in node.devices.values()) == 10
    assert sum(len(node.devices) for node in known) <= 160
    assert len(bench.nodes.rebirths._next_s) <= 10
    # A death makes room.
    bench.take(SparkplugNode(name="node-0").death())
    heard = bench.take(SparkplugNode(name="late").device_birth("fan", {"x": FLOAT_ARRAY}))
    assert not heard.rejected


def test_too_large_a_birth_is_counted() -> None:
    bench = Bench(most=10)
    heard = bench.take(SparkplugNode().device_birth("fan", {f"x{i}": FLOAT_ARRAY for i in range(11)}))
    assert reasons(heard) == [Reason.CHANNEL_LIMIT]


def test_other_metrics_are_wanted_after_a_reload() -> None:
    bench = Bench()
    node = born(bench)
    wanted = Wanted([("spBv1.0/{group}/DDATA/{node}/{device}/y", "")])
    bench.nodes.configure(wanted, 10, asks=True)
    assert reasons(bench.take(node.data("fan", {"x": block()}, T))) == [Reason.NO_BIRTH]
    bench.take(node.device_birth("fan", {"x": FLOAT_ARRAY, "y": FLOAT_ARRAY}))
    assert bench.samples(node.data("fan", {"x": block(), "y": block(3)}, T)) == {X[:-1] + "y": [3]}


@pytest.mark.parametrize(
    "topic",
    [
        "spBv1.0/plant/DDATA/gateway", "spBv1.0/plant/NDATA/gateway/fan", "spBv1.0/plant/NCMD/gateway",
        "spBv1.0/STATE/host", "spBv1.0/plant/DDATA/gateway/fan/x", "spBv1.0//DDATA/gateway/fan", "spAv1.0/p/NDATA/g",
        "spBv1.0/plant/ddata/gateway/fan", "spBv1.0", f"spBv1.0/plant/NDATA/{'g' * 600}",
    ],
)  # fmt: skip
def test_topics_of_other_messages(topic: str) -> None:
    assert address_of(topic) is None


def test_all_messages_of_a_node_are_subscribed_to() -> None:
    assert message_filters("spBv1.0/plant/DDATA/{node}/fan/x/{axis}") == [
        "spBv1.0/plant/NBIRTH/+", "spBv1.0/plant/NDATA/+", "spBv1.0/plant/NDEATH/+",
        "spBv1.0/plant/DBIRTH/+/+", "spBv1.0/plant/DDATA/+/+", "spBv1.0/plant/DDEATH/+/+",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "pattern", ["plant/{x}", "spBv1.0/{g}/DDATA/{n}/{d}", "spBv1.0/{g}/DBIRTH/{n}/{d}/{m}", "a/b/c/d/e/f"]
)
def test_patterns_that_name_no_metric(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"write spBv1\.0/\{group\}/DDATA/\{node\}/\{device\}/\{metric\}"):
        require_metric_topic(pattern)
