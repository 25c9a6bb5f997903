from monitor.core.continuity import Arrival, Continuity


def test_without_seq_and_t_everything_is_contiguous() -> None:
    stream = Continuity(1000.0)
    assert [stream.judge(10, None, None).arrival for _ in range(3)] == [Arrival.CONTIGUOUS] * 3


def test_sequence_numbers() -> None:
    stream = Continuity(1000.0)
    judged = [(stream.judge(10, seq, None)) for seq in (5, 6, 9, 9, 8, 10, 10_000, 1)]
    assert [verdict.arrival for verdict in judged] == [
        Arrival.CONTIGUOUS,
        Arrival.CONTIGUOUS,
        Arrival.MISSING,
        Arrival.REPEATED,
        Arrival.LATE,
        Arrival.CONTIGUOUS,
        Arrival.MISSING,
        Arrival.RESTARTED,
    ]
    assert judged[2].missing_samples == 20


def test_times_with_jitter() -> None:
    stream = Continuity(1000.0)
    times = (0.0, 0.1001, 0.1998, 0.5, 0.5001, 0.4, 0.6)
    judged = [stream.judge(100, None, t) for t in times]
    assert [verdict.arrival for verdict in judged] == [
        Arrival.CONTIGUOUS,
        Arrival.CONTIGUOUS,
        Arrival.CONTIGUOUS,
        Arrival.MISSING,
        Arrival.REPEATED,
        Arrival.LATE,
        Arrival.CONTIGUOUS,
    ]
    assert judged[3].missing_samples == 200


def test_a_slow_drift_of_the_sensors_clock_is_no_loss() -> None:
    stream = Continuity(1000.0)
    assert all(stream.judge(100, None, 0.1001 * i).arrival is Arrival.CONTIGUOUS for i in range(10_000))


def test_the_sequence_number_decides_over_the_time() -> None:
    stream = Continuity(1000.0)
    stream.judge(100, 1, 0.0)
    assert stream.judge(100, 2, 55.0).arrival is Arrival.CONTIGUOUS
