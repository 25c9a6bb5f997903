"""What a start with this version and this configuration does to what was learned before; asked before an upgrade."""

import time
from collections.abc import Iterator
from pathlib import Path

from monitor.config.configuration import Config
from monitor.config.file import with_own_place
from monitor.errors import ArtefactError
from monitor.runtime.baselines.history import Baseline, History, require_model
from monitor.runtime.baselines.store import Store
from monitor.runtime.checks.scorable import model_hashes


def lost_baselines(config: Config, config_file: Path) -> Iterator[str]:
    """Say which learned baselines would not judge any more: none or one sentence.

    Raises:
        ArtefactError: a model cannot be used.
    """
    config = with_own_place(config, config_file)
    hashes = set(model_hashes(config, config_file).values())
    store = Store(config.state_dir, time.time)
    judging = [(history, history.baseline) for history in store.histories if history.baseline is not None]
    lost = [(history, why) for history, baseline in judging if (why := _why_lost(store, history, baseline, hashes))]
    if not lost:
        return
    history, why = lost[0]
    then = (
        "their channels learn anew, and a fault that a machine has then counts as healthy"
        if config.learning.enabled
        else "their channels have no score, since learning is not enabled"
    )
    yield (
        f"{len(lost)} of {len(judging)} learned baselines cannot be used any more, such as that of {history.name} "
        f"({why}): {then}. To keep them, keep the model they were learned with; 'Upgrade' in systemd/README.md says how"
    )


def _why_lost(store: Store, history: History, baseline: Baseline, hashes: set[str]) -> str:
    """Why a baseline cannot judge; empty: it can."""
    try:
        if baseline.model_sha256 not in hashes:
            require_model(baseline, next(iter(hashes)))
        store.calibration_file(history, baseline)
    except ArtefactError as error:
        return str(error)
    return ""
