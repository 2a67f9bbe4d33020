"""What every widget shares: a live view in HTML, a static picture, and errors that stay on the page."""

import base64
import html
import io

import ipywidgets
import matplotlib.pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg

from gpt2lessons.desk import pictures
from gpt2lessons.plots.style import visible

# what is wider than a narrow page scrolls in its place, and the text beside it stays within the page
_FIT = ".gl-view>.widget-html-content{min-width:0;overflow-x:auto;padding:0 3px 3px}"
# when the kernel is gone, one line says so, in the place of a broken link on every control
_GONE = (
    ".gl-twin.jupyter-widgets-disconnected::before,.gl-twin .jupyter-widgets-disconnected::before{display:none}"
    ".gl-twin.jupyter-widgets-disconnected::after"
    f"{{content:'{pictures.CAPTION}';font-style:italic;padding:3px;opacity:.8}}"
)
_STYLE = f"<style>{_FIT}{_GONE}</style>"


class Twin(ipywidgets.VBox):
    """Controls above one HTML view, with a figure that stands in wherever no kernel runs.

    A subclass builds its controls, calls `super().__init__(controls)`, and defines

    - `render() -> str`: the HTML of the view for the present controls, every text passed through `escape`;
    - `picture() -> matplotlib Figure`: the static twin;
    - `summary() -> str`: one deterministic line or more, compared by nbval.

    A `ValueError` raised by `render` becomes a sentence in the view, and the controls keep their values.
    """

    def __init__(self, controls, *, watch=None):
        self.view = ipywidgets.HTML()
        self.view.add_class("gl-view")
        super().__init__([*controls, self.view])
        self.add_class("gl-twin")
        _keep_within_the_page(controls)
        for control in controls if watch is None else watch:
            control.observe(self.refresh, names="value")
        self.refresh()

    def refresh(self, _change=None):
        """Draw the view again from the controls' values."""
        try:
            self.view.value = f"{_STYLE}{self.render()}"
        except ValueError as error:
            self.view.value = f'<p role="alert" style="color:#c2410c">{escape(error)}</p>'

    def render(self):
        """Return the HTML of the view."""
        raise NotImplementedError

    def picture(self):
        """Return the static twin as a matplotlib Figure."""
        raise NotImplementedError

    def summary(self):
        """Return the deterministic text that stands for the widget."""
        raise NotImplementedError

    def __repr__(self):
        try:
            return self.summary()
        except ValueError as error:
            return f"{type(self).__name__}: {error}"

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        data["text/plain"] = repr(self)
        try:
            figure = self.picture()
        except ValueError as error:  # the view says the same, but it goes with the kernel
            figure = plt.figure(figsize=(6, 0.6))
            figure.text(0, 0.5, str(error).replace("$", r"\$"), color="#c2410c", va="center", wrap=True)
        data["image/png"] = _png(figure)
        return data


def _png(figure):
    """Return the figure with a line below it that says what it is, PNG bytes in base64; close it."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()  # puts everything in its place
    box = figure.get_tightbbox(renderer)  # inches
    width, height = figure.get_size_inches()
    place = {"x": box.x0 / width, "y": box.y0 / height - 0.12 / height, "va": "top", "ha": "left"}
    figure.text(s=pictures.CAPTION, fontsize=10, style="italic", color="#595959", **place)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _keep_within_the_page(controls):
    for control in controls:
        control.layout.max_width = control.layout.max_width or "98%"
        _keep_within_the_page(getattr(control, "children", ()))


def shade(share, dark=(0, 114, 178)):
    """Return CSS: a background from white (`share` 0) to `dark` (1), and letters that stand out on it, black or white.

    The background is opaque, so that it reads the same in the light theme and in the dark one.
    """
    rgb = [round(255 + (value - 255) * min(max(float(share), 0), 1)) for value in dark]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (value / 255 for value in rgb)]
    luminance = sum(weight * v for weight, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    # WCAG's contrast (L1 + 0.05) / (L2 + 0.05) is the same with black as with white at 0.179: 4.58
    return f"background:rgb({rgb[0]},{rgb[1]},{rgb[2]});color:{'black' if luminance > 0.179 else 'white'}"


def escape(value):
    """Return `str(value)` safe to put into HTML, quotes included."""
    return html.escape(str(value), quote=True)


def token_html(token):
    """Return a token's text as it is shown in HTML: spaces and line breaks visible, everything escaped."""
    return escape(visible(token).replace(r"\$", "$"))
