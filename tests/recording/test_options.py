import click
import pytest
from click.testing import CliRunner

from monitor.cli.options.recording import recording_options
from monitor.errors import ConfigurationError
from monitor.recording.options import RecordingOptions


@click.command()
@click.argument("recordings", nargs=-1)
@recording_options
def example(recordings: tuple[str, ...], options: RecordingOptions) -> None:
    """Print the options that arrive."""
    click.echo(repr((recordings, options)))


def test_options_reach_the_command_as_one_object() -> None:
    arguments = ["a.npz", "b.npz", "--sampling-rate-hz", "12000", "--channel", "up", "--decimate", "4"]
    arguments += ["--unit", "m/s2", "--record-interval", "10s"]
    result = CliRunner().invoke(example, arguments)
    assert result.exit_code == 0
    assert result.output.strip() == repr((("a.npz", "b.npz"), RecordingOptions(12000.0, "up", 4, "m/s2", 10.0)))


def test_without_options() -> None:
    assert CliRunner().invoke(example, ["a"]).output.strip() == repr((("a",), RecordingOptions()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--record-interval", "soon"], "'soon' is not a duration; write for example 500ms, 1s, 5m or 2h"),
        (["--decimate", "0"], "0 is not in the range 1<=x<=1000"),
        (["--unit", "ips"], "'ips' is not one of 'g', 'mg', 'm/s2'"),
    ],
)
def test_usage_errors(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(example, arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_all_problems_of_options_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        RecordingOptions(sampling_rate_hz=-1, decimate=0, unit="ips", record_interval_s=0)
    assert str(caught.value) == (
        "reading recordings: --sampling-rate-hz is -1; it must be above 0 and below 1e9\n"
        "--decimate is 0; it must be a whole number from 1 to 1000\n"
        "--unit is 'ips'; it must be one of g, mg, m/s2\n"
        "--record-interval is 0 s; it must be above 0"
    )
