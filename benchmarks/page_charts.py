"""One chart, a line of 181 points with its band, drawn by several libraries: bytes, milliseconds, what a CSP minds.

`python -m benchmarks.page_charts`; pygal and Altair (with vl-convert-python) are measured where they are installed.
"""

from __future__ import annotations

import functools
import gzip
import io
import statistics
import sys
import time
from collections.abc import Callable

from jinja2 import Environment, PackageLoader

from dashboard.charts import draw
from dashboard.pages_format import FILTERS
from dashboard.pages_shape import SHAPES
from dashboard.views import Chart
from tests.support.dashboard_fleet import NOW, chart

REPEATS = 15


def own(shown: Chart) -> str:
    """The page's own figure, with title, legend, marks, readout data and table."""
    return str(_environment().get_template("chart.html").make_module({}).figure(shown, NOW))  # type: ignore[attr-defined]


@functools.cache
def _environment() -> Environment:
    environment = Environment(loader=PackageLoader("dashboard"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(FILTERS | SHAPES)
    environment.globals.update(draw=draw)
    return environment


def by_matplotlib(shown: Chart) -> str:
    """Texts as texts, not as outlines; no marks, no table."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.fonttype"] = "none"
    across, values, low, high = columns(shown)
    figure, axes = plt.subplots(figsize=(6, 2.2))
    axes.fill_between(across, low, high, alpha=0.2)
    axes.plot(across, values)
    written = io.StringIO()
    figure.savefig(written, format="svg")
    plt.close(figure)
    return written.getvalue()


def by_pygal(shown: Chart) -> str:
    """No band, which it does not have: three lines."""
    import pygal  # type: ignore[import-not-found]

    _, values, low, high = columns(shown)
    drawn = pygal.Line(show_dots=False, show_x_labels=False)
    for name, course in (("value", values), ("low", low), ("high", high)):
        drawn.add(name, course)
    return str(drawn.render(is_unicode=True))


def by_altair(shown: Chart) -> str:
    """Vega-Lite, rendered to SVG by vl-convert."""
    import altair as alt  # type: ignore[import-not-found]
    import vl_convert  # type: ignore[import-not-found]

    rows = [dict(zip("xvlh", row, strict=True)) for row in zip(*columns(shown), strict=True)]
    base = alt.Chart(alt.Data(values=rows))
    band = base.mark_area(opacity=0.2).encode(x="x:Q", y="l:Q", y2="h:Q")
    both = (band + base.mark_line().encode(x="x:Q", y="v:Q")).properties(width=600, height=220)
    return str(vl_convert.vegalite_to_svg(both.to_json()))


def columns(shown: Chart) -> tuple[list[float], list[float], list[float], list[float]]:
    """Minutes, values, and both ends of the band."""
    points = [point for point in shown.lines[0].points if point.value is not None]
    minutes = [(point.at - shown.starts_at).total_seconds() / 60 for point in points]
    return minutes, [p.value or 0 for p in points], [p.low or 0 for p in points], [p.high or 0 for p in points]


def main() -> int:
    """Measure and print."""
    libraries: dict[str, Callable[[Chart], str]] = {
        "own": own,
        "matplotlib": by_matplotlib,
        "pygal": by_pygal,
        "Altair": by_altair,
    }
    shown = chart()
    for name, render in libraries.items():
        try:
            markup = render(shown)
        except ImportError:
            print(f"{name}: not installed")
            continue
        times = []
        for _ in range(REPEATS):
            begun = time.perf_counter()
            render(shown)
            times.append((time.perf_counter() - begun) * 1000)
        packed = len(gzip.compress(markup.encode(), 6))
        inline = markup.count(" style=") + markup.count("<style") + markup.count("<script")
        median = statistics.median(times)
        print(
            f"{name}: {len(markup):,} bytes, {packed:,} compressed, {median:.1f} ms, {inline} inline styles and scripts"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
