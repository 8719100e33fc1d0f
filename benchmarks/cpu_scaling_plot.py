"""Draw how decode grows: python cpu_scaling_plot.py RESULTS.json; writes RESULTS.png. Needs matplotlib."""

# What this file imports is in that environment alone.
# pyright: reportMissingImports=false

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path

import matplotlib.pyplot as plt


def main() -> None:
    """Rows on the left, context on the right; the limit is what memory allows."""
    plt.switch_backend("Agg")
    path = Path(sys.argv[1])
    results = json.loads(path.read_text())
    reading = statistics.median(point["read_bytes_per_second"] for point in results["points"])
    figure, panels = plt.subplots(1, 2, figsize=(14, 5))
    for panel, axis, other, fixed in ((panels[0], "rows", "context", 128), (panels[1], "context", "rows", 1)):
        chosen = [point for point in results["points"] if point[other] == fixed]
        places = sorted({point[axis] for point in chosen})
        rates, limits = [], []
        for place in places:
            here = [point for point in chosen if point[axis] == place]
            rates.append(here[0]["rows"] / statistics.median(point["seconds_per_step"] for point in here))
            limits.append(here[0]["rows"] * reading / here[0]["bytes_per_step"])
        panel.loglog(places, rates, "o-", label="measured")
        panel.loglog(places, limits, "k--", label=f"limit of memory, {reading / 1e9:.1f} GB/s")
        panel.set_xticks(places, [str(place) for place in places])
        panel.set_xticks([], minor=True)
        panel.set_title(f"{results['model']}: decode tokens/s by {axis} ({other} {fixed})")
        panel.grid(alpha=0.3)
        panel.legend()
    figure.tight_layout()
    figure.savefig(path.with_suffix(".png"), dpi=70)


if __name__ == "__main__":
    main()
