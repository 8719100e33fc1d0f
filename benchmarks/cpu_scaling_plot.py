"""Draw how decode grows: python cpu_scaling_plot.py RESULTS.json; writes RESULTS.png. Needs matplotlib."""

# What this file imports is in that environment alone.
# pyright: reportMissingImports=false

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path

import matplotlib.pyplot as plt

TITLES = {
    "rows": "by rows (context 128)",
    "context": "by context (1 row)",
    "size": "by bytes of weights in a step (context 128)",
    "threads": "by threads and ranks (1 row)",
}


def place(panel: str, point: dict) -> object:
    """Where a point stands on its panel's axis."""
    if panel == "size":
        return point["weight_bytes"] / 1e9
    if panel == "threads":
        threads, ranks = point["threads"], point["ranks"]
        return f"{ranks} ranks, a thread each" if ranks > 1 else f"{threads} thread{'s' * (threads > 1)}"
    return point[panel]


def curve(panel: str, points: list[dict]) -> tuple[list, list[float], list[float]]:
    """Places, tokens a second, and as many as memory allows."""
    places = list(dict.fromkeys(place(panel, point) for point in points))
    rates, limits = [], []
    for each in places:
        here = [point for point in points if place(panel, point) == each]
        rates.append(here[0]["rows"] / statistics.median(point["seconds_per_step"] for point in here))
        reading = statistics.median(point["read_bytes_per_second"] for point in here)
        limits.append(here[0]["rows"] * reading / here[0]["bytes_per_step"])
    return places, rates, limits


def main() -> None:
    """A panel for each kind of case that was measured; the limit is what memory allows."""
    plt.switch_backend("Agg")
    path = Path(sys.argv[1])
    points = json.loads(path.read_text())["points"]
    panels = list(dict.fromkeys(point["panel"] for point in points))
    figure, axes = plt.subplots(1, len(panels), figsize=(6 * len(panels), 5), squeeze=False)
    for axis, panel in zip(axes[0], panels, strict=True):
        own = [point for point in points if point["panel"] == panel]
        for rows in sorted({point["rows"] for point in own}) if panel != "rows" else [None]:
            some = [point for point in own if rows in (None, point["rows"])]
            places, rates, limits = curve(panel, some)
            name = "" if rows is None or panel != "size" else f", {rows} row{'s' * (rows > 1)}"
            if panel == "threads":
                axis.bar(places, rates, label="measured")
                axis.plot(places, limits, "k_", markersize=40, label="limit of memory")
                continue
            axis.loglog(places, rates, "o-", label=f"measured{name}")
            axis.loglog(places, limits, "--", label=f"limit of memory{name}")
            axis.set_xticks(places, [f"{each:.2g}" if panel == "size" else str(each) for each in places])
            axis.set_xticks([], minor=True)
        model = f"{own[0]['model']}, " if panel != "size" else ""
        axis.set_title(f"{model}decode tokens/s {TITLES[panel]}")
        axis.grid(alpha=0.3)
        axis.legend()
    figure.tight_layout()
    figure.savefig(path.with_suffix(".png"), dpi=70)


if __name__ == "__main__":
    main()
