"""The metrics of the deliveries: what the document says, and labels that cannot grow."""

from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from stream.sinks.metrics import SinkMetrics

PAGE = Path(__file__).parents[3] / "docs/metrics.md"


def test_the_document_lists_every_metric() -> None:
    """`docs/metrics.md` has one row a metric, in the order of the code: name, type, labels, meaning."""
    rows = []
    for one in vars(SinkMetrics()).values():
        if isinstance(one, MetricWrapperBase):
            family = next(iter(one.describe()))
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = ", ".join(f"`{label}`" for label in one._labelnames)
            rows.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    table = PAGE.read_text(encoding="utf-8").split("<!-- sinks:begin -->\n")[1].split("\n<!-- sinks:end -->")[0]
    assert table.splitlines()[2:] == rows


def test_labels_are_bounded() -> None:
    """A sink's name, a reason, a word for what was sent: nothing out of a verdict."""
    metrics = [one for one in vars(SinkMetrics()).values() if isinstance(one, MetricWrapperBase)]
    assert len(metrics) > 10
    assert {label for one in metrics for label in one._labelnames} == {"sink", "reason", "what"}
