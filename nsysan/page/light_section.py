"""The speed of light on the page: from the floor to the measured step as a waterfall, and each product's speed."""

from __future__ import annotations

from nsysan.light.speed_of_light import LightSpeed
from nsysan.light.waterfall import LOSSES
from nsysan.page.charts import entitled
from nsysan.page.elements import plot, safe, section, table
from nsysan.page.figure import Figure
from nsysan.page.palette import COLOURS
from nsysan.report.light_text import PRODUCT_HEADS, light_sentence, product_rows, sentences
from nsysan.report.report import Report
from nsysan.text import percent, us

_NOTE = (
    "The least that a step of the model can take on these GPUs: every rank reads its share of the weights and of the "
    "KV cache once, at the memory's peak, or computes at the tensor cores' where that is longer, and every call takes "
    "its floor. Beside it what the measured step has above that; all parts sum to the period. Waiting hides whatever "
    "the rank that is waited for is late with, its host too."
)
_TITLE = "Speed of light"
#: Colours of the floor's two parts: those of their lines, by which the chart's others go too.
_FLOOR = (("kernels, at the least", "compute"), ("calls, at their floor", "wire"))


def light_section(plots: dict[str, str], report: Report) -> str:
    """HTML: the section; nothing where the speed of light is not told."""
    light = report.light.found
    if light is None:
        return ""
    told = "".join(f"<li>{safe(sentence)}.</li>" for sentence in sentences(light))
    doubts = "".join(f"<li>{safe(doubt)}.</li>" for doubt in light.doubts)
    products = table(
        PRODUCT_HEADS, product_rows(light), caption="Groups of products: what a rank reads of each in a step, and takes"
    )
    return section(
        _TITLE,
        _NOTE,
        f"<ul>{told}{doubts}</ul>",
        plot(plots, "waterfall", _waterfall(light)),
        _parts(light),
        products,
        anchor="light",
        folded=light_sentence(light),
    )


def _steps(light: LightSpeed) -> list[tuple[str, int, str]]:
    """Each part of the period: its name, ns, and whose colour it has."""
    floors = zip(_FLOOR, (light.compute_floor, light.comm_floor), strict=True)
    return [(name, ns, line) for (name, line), ns in floors] + [
        (f"{loss} above it" if loss in ("kernels", "wire") else loss.value, ns, LOSSES[loss].line)
        for loss, ns in light.lost.items()
    ]


def _waterfall(light: LightSpeed) -> Figure:
    figure = Figure()
    names, at = [name for name, _, _ in _steps(light)], 0
    for number, (name, ns, line) in enumerate(_steps(light)):
        figure.add_bar(
            x=[ns / 1e3],
            y=[name],
            base=[at / 1e3],
            orientation="h",
            marker={"color": COLOURS[line], "line": {"color": COLOURS[line], "width": 1.5}},
            opacity=1.0 if number < len(_FLOOR) else 0.7,
            hovertemplate="%{y}: %{x:,.1f} µs<extra></extra>",
            showlegend=False,
        )
        at += ns
    figure.add_bar(
        x=[light.period / 1e3],
        y=["measured"],
        orientation="h",
        marker={"color": COLOURS["launch"]},
        hovertemplate="%{y}: %{x:,.1f} µs<extra></extra>",
        showlegend=False,
    )
    figure.update_layout(barmode="overlay", height=120 + 30 * (len(names) + 1))
    figure.update_yaxes(categoryorder="array", categoryarray=["measured", *names[::-1]])
    figure.update_xaxes(title="µs of the median step")
    return entitled(figure, "From the floor to the measured step")


def _parts(light: LightSpeed) -> str:
    meanings = [
        "what the model reads and computes, at the GPU's peaks",
        "the least that such calls take in this trace",
    ]
    meanings += [LOSSES[loss].meaning for loss in light.lost]
    rows = [
        [name, us(ns), percent(ns, light.period), meaning]
        for (name, ns, _), meaning in zip(_steps(light), meanings, strict=True)
    ]
    rows.append(["measured", us(light.period), percent(light.period, light.period), "the median period"])
    return table(
        ["part", "µs a step", "of the period", "what it is"],
        rows,
        text=(0, 3),
        wrap=3,
        caption="The same in figures",
    )
