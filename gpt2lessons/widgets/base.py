"""What every widget shares: a live view in HTML, a static picture, and errors that stay on the page."""

import base64
import html
import io

import ipywidgets
import matplotlib.pyplot as plt

from gpt2lessons.plots.style import visible


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
        super().__init__([*controls, self.view])
        for control in controls if watch is None else watch:
            control.observe(self.refresh, names="value")
        self.refresh()

    def refresh(self, _change=None):
        """Draw the view again from the controls' values."""
        try:
            self.view.value = self.render()
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
            figure, buffer = self.picture(), io.BytesIO()
        except ValueError:
            return data  # the view says what is wrong with the controls' values
        figure.savefig(buffer, format="png", dpi=90, bbox_inches="tight", metadata={"Software": None})
        plt.close(figure)
        data["image/png"] = base64.b64encode(buffer.getvalue()).decode("ascii")
        return data


def escape(value):
    """Return `str(value)` safe to put into HTML, quotes included."""
    return html.escape(str(value), quote=True)


def token_html(token):
    """Return a token's text as it is shown in HTML: spaces and line breaks visible, everything escaped."""
    return escape(visible(token).replace(r"\$", "$"))
