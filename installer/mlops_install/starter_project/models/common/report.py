"""The report about the data: two tables and a plot in one HTML file."""

import html as escape
import io
from typing import Any

import matplotlib
import pandas as pd

matplotlib.use("svg")
from matplotlib import pyplot as plt

PAGE = """\
<!doctype html>
<meta charset="utf-8">
<title>CO2: data of {today}</title>
<style>body {{ font: 16px sans-serif; margin: 2em auto; max-width: 52em }}
table {{ border-collapse: collapse }} th, td {{ border: 1px solid #ccc; padding: .3em .7em }}
</style>
<h1>CO2 at Mauna Loa, as of {today}</h1>
<h2>Data scope</h2>
{scope}
<h2>Features</h2>
{statistics}
<h2>Plot</h2>
{plot}
"""


def html(scope: dict[str, Any], statistics: pd.DataFrame, series: pd.Series) -> str:
    """The whole page."""
    rows = "".join(
        f"<tr><th>{k}</th><td>{escape.escape(str(v))}</td></tr>" for k, v in scope.items()
    )
    return PAGE.format(
        today=escape.escape(str(scope["today"])),
        scope=f"<table>{rows}</table>",
        statistics=statistics.to_html(float_format="{:.2f}".format, border=0),
        plot=svg(series),
    )


def svg(series: pd.Series) -> str:
    """All data, and the newest five years."""
    figure, (whole, newest) = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
    whole.plot(series.index, series, linewidth=0.8)
    newest.plot(series.index[-260:], series.iloc[-260:], linewidth=1.2)
    whole.set(title="all data", ylabel="ppm")
    newest.set(title="newest five years")
    newest.tick_params(axis="x", labelrotation=30)
    out = io.StringIO()
    figure.savefig(out, format="svg")
    plt.close(figure)
    return out.getvalue()[out.getvalue().index("<svg") :]
