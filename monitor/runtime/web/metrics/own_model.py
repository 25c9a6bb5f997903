"""Families about the plant's own models: what becomes of each, how far it is, and what it would gain."""

from monitor.model.own.state import Phase
from monitor.runtime.web.metrics.exposition import MetricsPage, label_text
from monitor.runtime.web.view import View


def write_own_models(page: MetricsPage, view: View) -> None:
    """Write the families; they have series with ``learning.model: own`` only."""
    models = [(label_text(("model",), (one.model,)), one) for one in view.own_models]
    page.family(
        "vibration_own_model_phase",
        "gauge",
        "What becomes of the plant's own model: exactly one phase is 1.",
        ((f'{labels},phase="{phase}"', int(one.phase is phase)) for labels, one in models for phase in Phase),
    )
    page.family(
        "vibration_own_model_sampled_ratio",
        "gauge",
        "Share of the first learning.minimum of running that has been sampled for the plant's own model.",
        ((labels, one.progress) for labels, one in models),
    )
    page.family(
        "vibration_own_model_gain_ratio",
        "gauge",
        "How much more of the signal's energy is foreseen with the plant's own model on held-back stretches.",
        ((labels, one.gain) for labels, one in models if one.gain is not None),
    )
    page.family(
        "vibration_own_model_stretches_lost_total",
        "counter",
        "Stretches of samples for the plant's own model that could not be written.",
        ((labels, one.lost) for labels, one in models),
    )
