"""Figures as the bench shows them: a table for the terminal, bars for a browser."""

import html
import statistics

CPU = "cpu_us_per_request"
LABELS = {"requests_per_s": "requests/s", CPU: "CPU us"}  # the others are short enough


def figure(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values),
            "rounds": len(values)}


def text_of(value):
    return f"{value:.0f}" if value >= 1000 else f"{value:.2f}" if value < 100 else f"{value:.1f}"


def show(results, names):
    """Medians; behind each but the engine's own what part of it the engine's is, and last the
    spread of the engine's."""
    print(f"{'':29}" + "".join(f"{name:>15}" for name in names) + f"{'spread':>9}")
    for row, by_server in results.items():
        for measure in next(iter(by_server.values())):
            own = by_server.get("engine", {}).get(measure)
            cells = []
            for name in names:
                seen = by_server.get(name, {}).get(measure)
                if seen is None:
                    cells.append(f"{'-':>15}")
                elif name == "engine" or own is None or not seen["median"]:
                    cells.append(f"{text_of(seen['median']):>9}{'':6}")
                else:
                    ratio = own["median"] / seen["median"]
                    cells.append(f"{text_of(seen['median']):>9}{ratio:6.2f}")
            spread = ""
            if own and own["median"]:
                spread = f"{(own['max'] - own['min']) / own['median']:8.0%}"
            print(f"{row:17}{LABELS.get(measure, measure):12}" + "".join(cells) + spread)
    print("behind each figure: the engine's figure divided by it; CPU in microseconds per request")


COLOURS = {"engine": "#1f6feb", "floor": "#9aa4b2", "nginx": "#2da44e", "haproxy": "#bf8700",
           "h2o": "#8250df", "lighttpd": "#cf222e"}
BAR, GAP, LEFT, WIDTH = 14, 18, 150, 620


def plot(results):
    """An SVG: server CPU per request, a group of bars for each row, each row scaled to its longest;
    thin lines show the spread."""
    shapes, y = [], 44
    for row, by_server in results.items():
        seen = {name: m[CPU] for name, m in by_server.items() if CPU in m}
        if not seen:
            continue
        scale = WIDTH / max(f["max"] for f in seen.values())
        shapes.append(f'<text x="{LEFT - 8}" y="{y + BAR * len(seen) / 2 + 4}" '
                      f'text-anchor="end">{html.escape(row)}</text>')
        for name, f in seen.items():
            middle = y + BAR / 2
            shapes.append(
                f'<rect x="{LEFT}" y="{y + 1}" width="{f["median"] * scale:.1f}" height="{BAR - 2}"'
                f' fill="{COLOURS.get(name, "#57606a")}"/>'
                f'<line x1="{LEFT + f["min"] * scale:.1f}" x2="{LEFT + f["max"] * scale:.1f}" '
                f'y1="{middle}" y2="{middle}" stroke="#000"/>'
                f'<text x="{LEFT + f["max"] * scale + 6:.1f}" y="{y + BAR - 3}" class="s">'
                f'{html.escape(name)} {text_of(f["median"])} µs</text>')
            y += BAR
        y += GAP
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 150}" height="{y}" '
            'font-family="sans-serif" font-size="13"><style>.s{font-size:10px}</style>'
            '<rect width="100%" height="100%" fill="#fff"/>'
            '<text x="16" y="24" font-size="15">Server CPU per request: median of the rounds, '
            'line: spread; less is better</text>' + "".join(shapes) + "</svg>\n")
