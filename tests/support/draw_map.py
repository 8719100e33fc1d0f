"""`make map`: the rooms of plugtron as boxes on their floors, and imports as arrows; SVG to standard output.

Arrows that follow from others (A to C, where A imports B and B imports C) are thin; one that went up would be red.
"""

from html import escape

from support.imports import FLOOR, imported, modules, room

WIDTH, HEIGHT, GAP, ROW = 124, 30, 18, 74


def arrows():
    """Which room imports which: {room: rooms}."""
    known, found = modules(), {}
    for module, path in known.items():
        own = room(module)
        others = {room(name) for name in imported(path, known) if name in known}
        found.setdefault(own, set()).update(others - {own, "plugtron"})
    found.pop("plugtron")  # the facade hands out names from everywhere
    return found


def levels(arrows):
    """The rooms by how much lies below them: each stands one level above the highest that it imports."""

    def level(name):
        return max((level(other) + 1 for other in arrows.get(name, ())), default=0)

    found = {}
    for name in FLOOR:
        found.setdefault(level(name), []).append(name)
    return [found[number] for number in sorted(found)]


def places(floors):
    """The upper left corner of each box; the highest floor first."""
    widest = (max(map(len, floors)) + 0.5) * (WIDTH + GAP)
    for row, floor in enumerate(reversed(floors)):
        left = (widest - len(floor) * (WIDTH + GAP)) / 2
        # A row is shifted a little, so that arrows do not run behind the boxes of the rows between.
        left += (-1) ** row * (WIDTH + GAP) / 4
        for column, name in enumerate(sorted(floor)):
            yield name, (round(left + column * (WIDTH + GAP) + GAP), 20 + row * ROW)


def follows(arrows, start, end):
    """Whether `end` is reached from `start` by way of a third room."""
    return any(end in arrows.get(middle, ()) or follows(arrows, middle, end) for middle in arrows[start] - {end})


def draw():
    """The picture."""
    edges = arrows()
    floors = levels(edges)
    at = dict(places(floors))
    width = max(x for x, _ in at.values()) + WIDTH + GAP
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{len(floors) * ROW + 10}" '
        'font-family="sans-serif" font-size="13">'
    )
    yield '<rect width="100%" height="100%" fill="white"/>'
    for start in sorted(edges):
        for end in sorted(edges[start]):
            up = FLOOR[end] >= FLOOR[start]
            look = ("red", 2) if up else ("#ccc", 0.6) if follows(edges, start, end) else ("#468", 1.4)
            (x1, y1), (x2, y2) = at[start], at[end]
            x1, y1, x2 = x1 + WIDTH / 2, y1 + HEIGHT, x2 + WIDTH / 2
            bend = (y2 - y1) / 2
            curve = f"M{x1:.0f} {y1} C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} {x2:.0f} {y2}"
            yield f'<path d="{curve}" fill="none" stroke="{look[0]}" stroke-width="{look[1]}"/>'
    for name, (x, y) in sorted(at.items()):
        yield f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="4" fill="#eef3f8" stroke="#468"/>'
        text = escape(name.removeprefix("plugtron_"))
        yield f'<text x="{x + WIDTH / 2:.0f}" y="{y + 20}" text-anchor="middle">{text}</text>'
    yield "</svg>"


if __name__ == "__main__":
    print("\n".join(draw()))
