"""Draws two runs beside each other as SVG, and prints their epochs as a table for Markdown.

    curve.py HGNET_TRAIN_LOG PYTORCH_LOG OUTPUT.svg

The first file is a train.log of hgnet, the second what `cifar10.py train` printed.
"""

import json
import pathlib
import re
import sys

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 430, 300, 52, 16, 58, 42
COLORS = {"hgnet": "#c2410c", "PyTorch": "#1d4ed8"}


def hgnet_epochs(text):
    """By epoch: top-1 on the test pictures, loss and top-1 in training."""
    epochs = {}
    for part, number, values in re.findall(r"\[(Train|Eval)\]\[Epoch (\d+)(?:/\d+)?\]\[Avg\](.*)", text):
        found = {key: float(value) for key, value in re.findall(r"(\w+): ([-\d.]+)", values)}
        epoch = epochs.setdefault(int(number), {})
        if part == "Eval":
            epoch["test_top1"] = found["top1"]
        else:
            epoch.update(train_loss=found["loss"], train_top1=found["top1"])
    return epochs


def pytorch_epochs(text):
    lines = (json.loads(line) for line in text.splitlines() if line.startswith("{"))
    return {line["epoch"]: line for line in lines}


def panel(x, title, runs, key, percent):
    values = [epoch[key] for run in runs.values() for epoch in run.values() if key in epoch]
    step = 0.1 if percent else 0.25
    low, high = int(min(values) / step) * step, (int(max(values) / step) + 1) * step
    last = max(number for run in runs.values() for number in run)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def place(number, value):
        return (x + LEFT + (number - 1) / max(last - 1, 1) * (right - LEFT),
                bottom - (value - low) / (high - low) * (bottom - TOP))

    parts = [f'<text class="title" x="{x + LEFT}" y="22">{title}</text>']
    for index in range(round((high - low) / step) + 1):
        value = low + index * step
        y = place(1, value)[1]
        label = f"{value * 100:.0f} %" if percent else f"{value:.2f}"
        parts.append(f'<line class="grid" x1="{x + LEFT}" x2="{x + right}" y1="{y:.1f}" y2="{y:.1f}"/>'
                     f'<text class="y" x="{x + LEFT - 7}" y="{y + 4:.1f}">{label}</text>')
    for number in range(1, last + 1):
        parts.append(f'<text class="x" x="{place(number, low)[0]:.1f}" y="{bottom + 17}">{number}</text>')
    parts.append(f'<text class="x" x="{x + (LEFT + right) / 2:.0f}" y="{HEIGHT - 6}">epoch</text>')
    for index, (name, run) in enumerate(runs.items()):
        points = [(number, epoch[key]) for number, epoch in sorted(run.items()) if key in epoch]
        line = " ".join(f"{h:.1f},{v:.1f}" for h, v in (place(*point) for point in points))
        color = COLORS[name]
        dash = ' stroke-dasharray="6 4"' if index else ""
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"{dash}/>')
        for number, value in points:
            horizontal, vertical = place(number, value)
            parts.append(f'<circle cx="{horizontal:.1f}" cy="{vertical:.1f}" r="2.6" fill="{color}"/>')
        final = f"{points[-1][1] * 100:.2f} %" if percent else f"{points[-1][1]:.3f}"
        start = x + LEFT + index * 150
        parts.append(f'<line x1="{start}" x2="{start + 22}" y1="39" y2="39" stroke="{color}" stroke-width="2"{dash}/>'
                     f'<text class="legend" x="{start + 28}" y="43">{name} {final}</text>')
    return "\n".join(parts)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    ours, theirs, output = (pathlib.Path(argument) for argument in sys.argv[1:])
    runs = {"hgnet": hgnet_epochs(ours.read_text()), "PyTorch": pytorch_epochs(theirs.read_text())}
    output.write_text(f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {HEIGHT}" \
font-family="system-ui, sans-serif" role="img" aria-label="CIFAR-10: hgnet and PyTorch by epoch">
<style>text{{font-size:12px;fill:#334155}}.title{{font-size:14px;font-weight:600;fill:#0f172a}}\
.x{{text-anchor:middle}}.y{{text-anchor:end}}.grid{{stroke:#e2e8f0}}</style>
<rect width="{2 * WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff"/>
{panel(0, "Top-1 on the 10 000 test pictures", runs, "test_top1", True)}
{panel(WIDTH, "Loss in training", runs, "train_loss", False)}
</svg>
""")
    print("| epoch | hgnet top-1 | PyTorch top-1 | difference | hgnet loss | PyTorch loss |\n|---|---|---|---|---|---|")
    for number in sorted(set(runs["hgnet"]) & set(runs["PyTorch"])):
        a, b = runs["hgnet"][number], runs["PyTorch"][number]
        if "test_top1" in a:
            print(f"| {number} | {a['test_top1'] * 100:.2f} % | {b['test_top1'] * 100:.2f} % | "
                  f"{(a['test_top1'] - b['test_top1']) * 100:+.2f} | {a['train_loss']:.4f} | {b['train_loss']:.4f} |")


if __name__ == "__main__":
    main()
