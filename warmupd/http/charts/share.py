"""A whole in its parts, as one bar."""

from collections.abc import Sequence

from markupsafe import Markup

WIDTH, HEIGHT = 160.0, 10.0


def share_bar(title: str, parts: Sequence[tuple[str, str, int]]) -> Markup:
    """Parts beside one another: each a name, a tone and how many. Empty when there are none."""
    whole = sum(number for _, _, number in parts)
    if not whole:
        return Markup("")
    left, drawn = 0.0, []
    for name, tone, number in parts:
        width = WIDTH * number / whole
        if number:
            drawn.append(
                Markup(
                    '<g><title>{}: {:,}</title><rect class="{}" x="{:.1f}" y="0" width="{:.1f}" height="{}"/></g>'
                ).format(name, number, tone, left, max(0.0, width - 1), HEIGHT)
            )
        left += width
    told = ", ".join(f"{name} {number:,}" for name, _, number in parts)
    return Markup('<svg class="chart share" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, f"{title}: {told}", Markup("").join(drawn)
    )
