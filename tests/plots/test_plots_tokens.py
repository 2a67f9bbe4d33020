"""The figures of lesson 02: boxes cover the right bytes, labels are the tokens, padding looks different."""

import matplotlib.pyplot as plt
import pytest
from matplotlib.patches import Rectangle

from gpt2lessons.bpe import BPE
from gpt2lessons.plots import tokens as plots


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def boxes(ax):
    return [p for p in ax.patches if isinstance(p, Rectangle)]


def texts(ax):
    return [t.get_text() for t in ax.texts]


def overlaps(ax):
    """Pairs of texts whose drawn extents intersect."""
    renderer = ax.figure.canvas.get_renderer()
    ax.figure.draw_without_rendering()
    extents = [(t.get_text(), t.get_window_extent(renderer)) for t in ax.texts if t.get_text()]
    return [(a, b) for i, (a, x) in enumerate(extents) for b, y in extents[i + 1 :] if x.shrunk(0.95, 0.8).overlaps(y)]


def test_levels_cover_the_same_bytes_from_left_to_right():
    bpe, text = BPE.gpt2(), "naïve 🙂"
    ids = bpe.encode(text)
    tokens = [bpe.token_bytes[i] for i in ids]
    ax = plots.plot_levels(text, bpe.split(text), tokens, ids)
    ends = {}
    for box in boxes(ax):
        ends[round(box.get_y(), 3)] = max(ends.get(round(box.get_y(), 3), 0), box.get_x() + box.get_width())
    assert list(ends.values()) == pytest.approx([11] * 5, abs=0.05)
    assert {"text", "pieces", "bytes", "tokens", "ids", "ï", "c3", str(ids[0])} <= set(texts(ax))
    assert overlaps(ax) == []


def test_merges_frame_the_new_token_of_each_row_only():
    steps = BPE.gpt2().explain(" language")
    stages = [[bytes([b]) for b in b" language"], *(s.parts for s in steps)]
    ax = plots.plot_merges(stages, [s.rank for s in steps])
    framed = [b for b in boxes(ax) if b.get_linewidth() > 2]
    assert len(framed) == len(steps)
    assert {f"merge {s.rank:,}" for s in steps} <= set(texts(ax))
    widths = [round(b.get_width()) for b in sorted(framed, key=lambda b: b.get_y())]
    assert widths == [len(s.token) for s in steps]
    assert overlaps(ax) == []


def test_equal_merges_in_one_step_are_both_framed():
    ax = plots.plot_merges([[b"a", b"b", b"c", b"a", b"b"], [b"ab", b"c", b"ab"]], [7])
    assert [b.get_linewidth() > 2 for b in boxes(ax)] == [False] * 5 + [True, False, True]


def test_tokens_are_wrapped_into_lines_and_the_picked_one_is_framed():
    bpe = BPE.gpt2()
    ids = bpe.encode("A text of $5 that is long enough to need more than one line of boxes, " * 3)
    ax = plots.plot_tokens([bpe.show(i) for i in ids], ids, picked=2)
    assert [b.get_linewidth() > 2 for b in boxes(ax)] == [i == 2 for i in range(len(ids))]
    assert len({round(b.get_y(), 3) for b in boxes(ax)}) > 1
    assert [t for t in texts(ax) if t.isdigit() and t != "5"] == [str(i) for i in ids]
    assert overlaps(ax) == []


def test_cost_bars_have_the_given_lengths_and_say_them():
    ax = plots.plot_message_cost(["one", "two"], [12, 33], [14, 84])
    assert [b.get_width() for b in boxes(ax)] == [14, 84, 12, 33]
    assert [t.strip() for t in texts(ax)] == ["14 tokens from 12 pieces", "84 tokens from 33 pieces"]
    assert "tokens" in ax.get_xlabel()
    right = max(t.get_window_extent(ax.figure.canvas.get_renderer()).x1 for t in ax.texts)
    assert right <= ax.figure.bbox.x1


def test_padding_is_hatched_and_has_no_position():
    ax = plots.plot_batch([["a", "b"], ["", "c"]], [[1, 1], [0, 1]], [[0, 1], [0, 0]])
    assert [bool(b.get_hatch()) for b in boxes(ax)] == [False, False, True, False]
    assert texts(ax).count("position 0") == 2
    assert texts(ax).count("padding") == 1
    assert overlaps(ax) == []


def test_a_given_axes_is_used():
    ax = plt.figure().add_subplot()
    assert plots.plot_tokens(["a"], [1], ax=ax) is ax
    assert plots.plot_merges([[b"a"]], [], ax=ax) is ax
