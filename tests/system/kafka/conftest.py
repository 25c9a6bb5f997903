"""A broker for each file of tests, and a calibration for its channels."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kafka.broker import KafkaBroker, kafka
from tests.support.kafka.plant import calibrate


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    with kafka(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return calibrate(tmp_path_factory.mktemp("healthy"))
