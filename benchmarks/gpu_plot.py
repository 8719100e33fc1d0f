"""Draw the GPU benchmark: python gpu_plot.py RESULTS.json; writes RESULTS.png. Needs matplotlib."""

# What this file imports may be in another environment.
# pyright: reportMissingImports=false

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from gpu_bounds import batch_bound, decode_bound


def main() -> None:
    """Two panels a shape: decode beside its limit, and output over the number of rows beside the first side's bound."""
    plt.switch_backend("Agg")
    path = Path(sys.argv[1])
    results = json.loads(path.read_text())
    shapes = results["sides"]
    figure, panels = plt.subplots(2, len(shapes), figsize=(6 * len(shapes), 9), squeeze=False)
    for (shape, sides), decode, batches in zip(shapes.items(), panels[0], panels[1], strict=True):
        draw_decode(decode, sides, results["limits"])
        draw_batches(batches, sides, results)
        decode.set_title(f"{shape}: decode of one row, tokens/s")
        batches.set_title(f"{shape}: output of several rows, tokens/s")
    figure.suptitle(results["limits"]["device"])
    figure.tight_layout()
    figure.savefig(path.with_suffix(".png"), dpi=70)


def draw_decode(panel: Any, sides: dict[str, Any], limits: dict[str, Any]) -> None:
    """One bar a variant, and a mark where every weight is read once a step."""
    names = [name for name, record in sides.items() if "decode" in record][::-1]
    colors = ["tab:gray" if name.startswith("transformers") else "tab:orange" for name in names]
    panel.barh(names, [sides[name]["decode"] for name in names], color=colors)
    panel.plot([decode_bound(sides[name], limits) for name in names], names, "k|", markersize=14, label="byte limit")
    panel.legend()


def draw_batches(panel: Any, sides: dict[str, Any], results: dict[str, Any]) -> None:
    """One line a variant, over the batches that it was measured with."""
    rows = results["sizes"]["rows"]
    for name, record in sides.items():
        if record.get("rows"):
            panel.plot([int(count) for count in record["rows"]], list(record["rows"].values()), marker="o", label=name)
    for name, record in [item for item in sides.items() if "weight_bytes" in item[1]][:1]:
        bounds = [batch_bound(record, results["limits"], results["sizes"], count) for count in rows]
        panel.plot(rows, bounds, "k--", label=f"bound of {name}")
    panel.set_xscale("log", base=2)
    panel.set_xticks(rows, rows)
    panel.set_yscale("log")
    panel.set_xlabel("rows")
    panel.legend()


if __name__ == "__main__":
    main()
