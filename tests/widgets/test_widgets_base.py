"""What all widgets share: letters that stand out on any shade, and controls that stay within a narrow page."""

import re

import ipywidgets
from hypothesis import example, given
from hypothesis import strategies as st

from gpt2lessons.widgets.base import Twin, shade

BYTE = st.integers(0, 255)


def light(rgb):
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (value / 255 for value in rgb)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@given(st.floats(0, 1), st.tuples(BYTE, BYTE, BYTE))
@example(0.7, (0, 114, 178))
@example(0.45, (0, 60, 110))
def test_letters_stand_out_on_every_shade(share, dark):
    css = shade(share, dark)
    rgb = tuple(map(int, re.search(r"background:rgb\((\d+),(\d+),(\d+)\)", css).groups()))
    letters = {"black": 0.0, "white": 1.0}[css.rpartition("color:")[2]]
    low, high = sorted((light(rgb), letters))
    assert (high + 0.05) / (low + 0.05) >= 4.5  # WCAG 2.2, 1.4.3


def test_a_shade_goes_from_white_to_its_colour():
    assert shade(0, (10, 20, 30)) == "background:rgb(255,255,255);color:black"
    assert shade(1, (10, 20, 30)) == shade(7, (10, 20, 30)) == "background:rgb(10,20,30);color:white"


class Bare(Twin):
    def render(self):
        return "<p>here</p>"


def test_every_control_stays_within_the_page_those_in_rows_too():
    wide, inner = ipywidgets.Text(layout={"width": "60em"}), ipywidgets.IntSlider(layout={"width": "50em"})
    own = ipywidgets.Button(layout={"max_width": "10em"})
    widget = Bare([wide, ipywidgets.HBox([inner, own])], watch=[])
    assert [c.layout.max_width for c in (wide, inner, own)] == ["98%", "98%", "10em"]
    assert widget.view.value.endswith("</style><p>here</p>")
    assert "gl-view" in widget.view._dom_classes
