# ruff: noqa: INP001 - scripts beside their output, not a package
"""The dashboard of the daemon: whether it is healthy, and how much more it can carry."""

from panel import Dashboard, Panel
from queries import DAEMONS, RATE, SERVICE, either, quantile, rate

YES_NO = [{"type": "value", "options": {"0": {"text": "no", "color": "red"}, "1": {"text": "yes", "color": "green"}}}]

PANELS = [
    Panel(
        "Answers", "none", "Whether Prometheus can scrape the daemon.",
        {"{{instance}}": f'up{{job="vibration-monitor",{SERVICE}}}'}, "stat", 4, 4, mappings=YES_NO,
    ),
    Panel(
        "Broker", "none", "Whether the daemon is connected to the broker and subscribed.",
        {"{{instance}}": f"vibration_mqtt_connected{{{SERVICE}}} or vibration_kafka_connected{{{SERVICE}}}"},
        "stat", 4, 4, mappings=YES_NO,
    ),
    Panel(
        "Configuration loaded", "none",
        "Whether the last reload succeeded; if not, the previous configuration is in use.",
        {"{{instance}}": f"vibration_config_last_reload_successful{{{SERVICE}}}"}, "stat", 4, 4, mappings=YES_NO,
    ),
    Panel(
        "Running for", "s", "Time since the start of the process.",
        {"{{instance}}": f"time() - (process_start_time_seconds and on (instance) vibration_build_info{{{SERVICE}}})"},
        "stat", 4, 4,
    ),
    Panel(
        "Version", "none", "Version of each daemon.",
        {"{{version}}": f"vibration_build_info{{{SERVICE}}}"}, "stat", 4, 4,
    ),
    Panel(
        "Model", "none", "Model, engine and device in use.",
        {"{{model}} on {{engine}} ({{device}})": f"vibration_model_info{{{SERVICE}}}"}, "stat", 4, 4,
    ),
    Panel(
        "Messages", "suffix: messages/s", "Messages from the broker.",
        {"{{instance}}": either("messages", "records")}, width=8,
    ),
    Panel(
        "Payload", "Bps", "Payload bytes from the broker.",
        {"{{instance}}": either("bytes", "bytes")}, width=8,
    ),
    Panel(
        "Messages rejected", "suffix: messages/s", "Rejected messages, by reason.",
        {"{{reason}}": rate("vibration_messages_rejected_total", "reason")}, width=8,
    ),
    Panel(
        "Blocks", "suffix: blocks/s", "Blocks received and scored; the two lines coincide when all is well.",
        {
            "received {{instance}}": rate("vibration_blocks_received_total"),
            "scored {{instance}}": rate("vibration_blocks_scored_total"),
        },
        width=8,
    ),
    Panel(
        "Blocks not scored", "suffix: blocks/s",
        "Blocks that were not scored, by reason. Overload: this host is too slow for its channels.",
        {"{{reason}}": rate("vibration_blocks_skipped_total", "reason")}, width=8,
    ),
    Panel(
        "Coverage", "percentunit",
        "Blocks scored / blocks received, over all channels and of the channel with the lowest value.",
        {
            "all {{instance}}": f"{rate('vibration_blocks_scored_total')} / {rate('vibration_blocks_received_total')}",
            "least {{instance}}": f"min by (instance) (vibration_coverage_ratio{{{SERVICE}}})",
        },
        width=8, limits=(0, 1),
    ),
    Panel(
        "Sample to score", "s", "Time from the arrival of a block's last sample to its score.",
        {
            "median {{instance}}": quantile(0.5, "vibration_sample_to_score_seconds"),
            "99 % {{instance}}": quantile(0.99, "vibration_sample_to_score_seconds"),
        },
        width=8,
    ),
    Panel(
        "Time of a batch", "s", "Time that the pipeline takes for a batch.",
        {
            "median {{engine}}": quantile(0.5, "vibration_inference_duration_seconds", "engine"),
            "99 % {{engine}}": quantile(0.99, "vibration_inference_duration_seconds", "engine"),
        },
        width=8,
    ),
    Panel(
        "Blocks in a batch", "none", "Larger batches cost less per block.",
        {
            "mean {{engine}}": f"{rate('vibration_inference_batch_size_sum', 'engine')} / "
            f"{rate('vibration_inference_batch_size_count', 'engine')}",
            "99 % {{engine}}": quantile(0.99, "vibration_inference_batch_size", "engine"),
        },
        width=8,
    ),
    Panel(
        "Oldest waiting block", "s",
        "Age of the oldest block without a score. Under overload it reaches three quarters of limits.buffer, then the "
        "backlog is dropped. If it goes beyond, an inference process hangs.",
        {"{{instance}}": f"vibration_oldest_unscored_block_age_seconds{{{SERVICE}}}"}, width=8,
    ),
    Panel(
        "Queue", "percentunit", "Samples waiting for inference, as a share of the buffers' capacity.",
        {"{{instance}}": f"vibration_queue_bytes{{{SERVICE}}} / vibration_queue_limit_bytes{{{SERVICE}}}"},
        width=8, limits=(0, 1), steps={0.75: "red"},
    ),
    Panel(
        "Channels", "percentunit", "Number of channels, as a share of limits.channels; further channels are rejected.",
        {"{{instance}}": f"vibration_channels{{{SERVICE}}} / vibration_channels_limit{{{SERVICE}}}"},
        width=8, limits=(0, 1), steps={0.9: "orange"},
    ),
    Panel(
        "Memory", "bytes", "Resident memory of each process, including shared buffers. It is constant under any load.",
        {
            "{{instance}}": f"process_resident_memory_bytes and on (instance) vibration_build_info{{{SERVICE}}}",
            "{{instance}} {{model}} {{worker}}": f"vibration_worker_resident_memory_bytes{{{SERVICE}}}",
        },
        width=8,
    ),
    Panel(
        "CPU", "none", "CPU cores used by each process.",
        {
            "{{instance}}": f"rate(process_cpu_seconds_total{RATE}) "
            f"and on (instance) vibration_build_info{{{SERVICE}}}",
            "{{instance}} {{model}} {{worker}}": f"rate(vibration_worker_cpu_seconds_total{{{SERVICE}}}{RATE})",
        },
        width=8,
    ),
    Panel(
        "Open files", "none", "Open file descriptors, and the HTTP connections among them.",
        {
            "{{instance}}": f"process_open_fds and on (instance) vibration_build_info{{{SERVICE}}}",
            "HTTP {{instance}}": f"vibration_http_connections{{{SERVICE}}}",
        },
        width=8,
    ),
    Panel(
        "Internal errors", "none",
        "Unexpected errors in the time shown, by what was being handled. The log has the tracebacks.",
        {"{{where}}": f"increase(vibration_internal_errors_total{{{SERVICE}}}[$__range])"}, "stat", 8, 6, {1.0: "red"},
    ),
    Panel(
        "Reconnects", "none", "Connections to the broker after the first, in the time shown.",
        {"{{instance}}": f"increase(vibration_mqtt_reconnects_total{{{SERVICE}}}[$__range])"}, "stat", 8, 6,
    ),
    Panel(
        "Files", "none", "Evidence files written, and failed writes of evidence and state, in the time shown.",
        {
            "evidence": f"sum(increase(vibration_evidence_files_written_total{{{SERVICE}}}[$__range]))",
            "evidence failed": f"sum(increase(vibration_evidence_write_failures_total{{{SERVICE}}}[$__range]))",
            "state failed": f"sum(increase(vibration_state_write_failures_total{{{SERVICE}}}[$__range]))",
        },
        "stat", 8, 6,
    ),
    Panel(
        "Certificates", "s", "Time until a certificate expires. Empty without TLS.",
        {"{{file}}": f"vibration_certificate_expiry_timestamp_seconds{{{SERVICE}}} - time()"},
        "stat", 8, 6, limits=(None, None),
    ),
]  # fmt: skip

DASHBOARD = Dashboard(
    "Vibration: service", "Is the monitor healthy, and how much headroom does it have?", DAEMONS, PANELS
)
