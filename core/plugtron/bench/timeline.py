"""A timeline as an SVG that any browser shows: a row for each name, colors for kinds, and what share each kind has."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from plugtron.bench.timeline_template import BAR, FIGURE, GRID, LABEL, LEGEND, PALETTE, PICTURE, TITLE

__all__ = ["ENGINE", "REST", "Bar", "Panel", "draw"]

#: The kind of bars that others lie within, which has no share; and that of what is in none of the others.
ENGINE, REST = "engine", "all else"
_LEFT, _CHART, _RIGHT = 250, 860, 70
_WIDTH = _LEFT + _CHART + _RIGHT
_ROW, _BAR = 18, 14


@dataclass(frozen=True, slots=True)
class Bar:
    """Something that took from `begin` to `end`, in nanoseconds."""

    name: str
    kind: str
    begin: int
    end: int

    @property
    def size(self) -> int:
        """How many nanoseconds that are."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Panel:
    """Bars over a time axis of their own. The kinds other than ENGINE fill the time; none of them overlap.

    Args:
        name: what the legend calls it.
    """

    name: str
    title: str
    bars: list[Bar]

    def spent(self, *, name: str | None = None, kind: str | None = None) -> int:
        """Nanoseconds of the bars of a name or a kind; of none: of all that have a share."""
        if name is None and kind is None:
            return sum(bar.size for bar in self.bars if bar.kind != ENGINE)
        return sum(bar.size for bar in self.bars if name == bar.name or kind == bar.kind)


def draw(title: str, panels: Sequence[Panel]) -> str:
    """Return the picture: panels below each other, each with all rows, and a legend."""
    bars = sorted((bar for panel in panels for bar in panel.bars), key=lambda bar: bar.kind == REST)
    names, kinds = list(dict.fromkeys(bar.name for bar in bars)), list(dict.fromkeys(bar.kind for bar in bars))
    body: list[str] = []
    y = 52
    for panel in panels:
        body += _panel(panel, names, kinds, y)
        y += (len(names) + 3) * _ROW
    body += _legend(panels, kinds, y)
    return PICTURE.format(
        width=_WIDTH,
        height=y + (len(kinds) + 1) * _ROW,
        title=escape(title),
        light=_colors(kinds, 0),
        dark=_colors(kinds, 1),
        body="\n".join(body),
    )


def _panel(panel: Panel, names: Sequence[str], kinds: Sequence[str], y: int) -> Iterator[str]:
    begin = min(bar.begin for bar in panel.bars)
    length = max(bar.end for bar in panel.bars) - begin
    scale, whole = _CHART / length, panel.spent()
    top, bottom = y + 8, y + 10 + len(names) * _ROW
    yield TITLE.format(y=y, text=escape(panel.title))
    for tick in _ticks(length / 1e6):
        x = _LEFT + tick * 1e6 * scale
        yield GRID.format(x=x, top=top, bottom=bottom, y=bottom + 13, text=f"{tick:g} ms" if tick else "0")
    for row, name in enumerate(names):
        at = top + row * _ROW
        share = panel.spent(name=name)
        yield LABEL.format(y=at + 13, text=escape(_short(name)))
        yield FIGURE.format(x=_WIDTH - 12, y=at + 13, text=f"{100 * share / whole:.1f} %")
        for bar in panel.bars:
            if bar.name == name:
                yield BAR.format(
                    kind=kinds.index(bar.kind),
                    x=_LEFT + (bar.begin - begin) * scale,
                    y=at + 3,
                    width=bar.size * scale,
                    height=_BAR,
                    text=escape(f"{name}: {bar.size / 1e6:.3f} ms"),
                )


def _legend(panels: Sequence[Panel], kinds: Sequence[str], y: int) -> Iterator[str]:
    """What each kind has of each panel's time."""
    for row, kind in enumerate(kinds):
        at = y + row * _ROW
        shares = [f"{100 * panel.spent(kind=kind) / panel.spent():.1f} % of {panel.name}" for panel in panels]
        text = kind if kind == ENGINE else f"{kind}: {', '.join(shares)}"
        yield LEGEND.format(kind=row, y=at - 10, text_y=at, text=escape(text))


def _ticks(length: float) -> Iterable[float]:
    """Round numbers of milliseconds, about ten of them."""
    power = 10.0 ** math.floor(math.log10(length / 10))
    step = next(power * factor for factor in (1, 2, 5, 10) if length / (power * factor) <= 12)
    return [round(number * step, 9) for number in range(int(length / step) + 1)]


def _colors(kinds: Sequence[str], which: int) -> str:
    return "\n".join(f".k{number} {{ fill: {PALETTE[number % len(PALETTE)][which]} }}" for number in range(len(kinds)))


def _short(name: str) -> str:
    return name if len(name) <= 38 else f"{name[:37]}…"
