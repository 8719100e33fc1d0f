"""Draw the CPU benchmark: python cpu_plot.py RESULTS.json; writes RESULTS.png. Needs matplotlib."""

# What this file imports is in that environment alone.
# pyright: reportMissingImports=false

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path

import matplotlib.pyplot as plt


def main() -> None:
    """One panel a task: medians, and whiskers from the least to the greatest; the limit of each side in decode."""
    plt.switch_backend("Agg")
    path = Path(sys.argv[1])
    results = json.loads(path.read_text())
    figure, panels = plt.subplots(2, 3, figsize=(17, 9))
    for panel, (name, task) in zip(panels.flat, results["tasks"].items(), strict=False):
        rounds = [each["tokens_per_second"] for each in task["rounds"] if each["kept"]]
        slow = task["out_of_the_running"]
        values = {side: [slow[side]] for side in slow} | {side: [each[side] for each in rounds] for side in rounds[0]}
        sides = [side for side in results["versions"] if side in values][::-1]
        medians = [statistics.median(values[side]) for side in sides]
        spread = [
            [median - min(values[side]) for side, median in zip(sides, medians, strict=True)],
            [max(values[side]) - median for side, median in zip(sides, medians, strict=True)],
        ]
        colors = ["tab:orange" if side.startswith("plugtron") else "tab:gray" for side in sides]
        panel.barh(sides, medians, xerr=spread, color=colors)
        if name == "decode":
            reading = statistics.median(each["read_bytes_per_second"] for each in task["rounds"] if each["kept"])
            limits = [reading / results["weight_bytes"][side] for side in sides]
            panel.plot(limits, sides, "k|", markersize=14, label="limit: every weight read once")
            panel.legend()
        panel.set_title(f"{name}, tokens/s")
    figure.suptitle(f"{results['model']} on {results['machine']}")
    figure.tight_layout()
    figure.savefig(path.with_suffix(".png"), dpi=70)


if __name__ == "__main__":
    main()
