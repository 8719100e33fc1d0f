"""What a timeline's SVG is made of: pieces of text with places for numbers and for text that has been escaped."""

from __future__ import annotations

__all__ = ["BAR", "FIGURE", "GRID", "LABEL", "LEGEND", "PALETTE", "PICTURE", "TITLE"]

#: For each kind, in order of appearance: its color on white, and on black.
PALETTE = (
    ("#6e7781", "#8b949e"),
    ("#0969da", "#58a6ff"),
    ("#bc4c00", "#f0883e"),
    ("#1a7f37", "#3fb950"),
    ("#8250df", "#bc8cff"),
    ("#bf3989", "#f778ba"),
    ("#9a6700", "#d29922"),
    ("#cf222e", "#ff7b72"),
    ("#1b7c83", "#39c5cf"),
)

PICTURE = """\
<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {height}" width="{width}" height="{height}">
<title>{title}</title>
<style>
text {{ font: 12px system-ui, sans-serif; fill: #1f2328 }}
.name {{ font-size: 15px; font-weight: 600 }}
.part {{ font-weight: 600 }}
.figure {{ font-variant-numeric: tabular-nums; text-anchor: end }}
.tick {{ fill: #59636e; text-anchor: middle }}
.paper {{ fill: #ffffff }}
.grid {{ stroke: #d1d9e0; stroke-width: 1 }}
{light}
@media (prefers-color-scheme: dark) {{
text {{ fill: #f0f6fc }}
.tick {{ fill: #9198a1 }}
.paper {{ fill: #0d1117 }}
.grid {{ stroke: #3d444d }}
{dark}
}}
</style>
<rect class="paper" width="100%" height="100%"/>
<text class="name" x="12" y="24">{title}</text>
{body}
</svg>
"""
TITLE = '<text class="part" x="12" y="{y}">{text}</text>'
LABEL = '<text x="12" y="{y}">{text}</text>'
FIGURE = '<text class="figure" x="{x}" y="{y}">{text}</text>'
GRID = '<path class="grid" d="M{x:.1f} {top}V{bottom}"/><text class="tick" x="{x:.1f}" y="{y}">{text}</text>'
BAR = '<rect class="k{kind}" x="{x:.2f}" y="{y}" width="{width:.3f}" height="{height}"><title>{text}</title></rect>'
LEGEND = '<rect class="k{kind}" x="12" y="{y}" width="12" height="12" rx="2"/><text x="32" y="{text_y}">{text}</text>'
