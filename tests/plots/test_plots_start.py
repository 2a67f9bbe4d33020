"""The picture of the loop: what is written on it is what was given."""

import matplotlib.pyplot as plt

from gpt2lessons import plots


def drawn_texts(ax):
    return [text.get_text() for text in ax.texts]


def test_loop_shows_the_text_the_model_and_what_may_come_next():
    axes = plots.start.plot_loop(["The", " $x"], [464, 9], [" dog", "\n"], [0.75, 0.25], chosen=1, label="tiny")
    text, model, after = axes
    assert drawn_texts(text)[:4] == ["The", "464", r"␣\$x", "9"]
    assert drawn_texts(model) == ["tiny"]
    assert [bar.get_width() for bar in after.patches] == [0.75, 0.25]
    assert [label.get_text() for label in after.get_yticklabels()] == ["␣dog", "⏎"]
    assert [("chosen" in note) for note in drawn_texts(after)] == [False, True]
    plt.close(text.figure)


def test_loop_texts_do_not_overlap():
    words = [" boy", " girl", " house", " man", " neighbourhood"]
    axes = plots.start.plot_loop(
        ["Once", " upon"] * 4, range(8), words, [0.5, 0.2, 0.1, 0.1, 0.1], label="gpt2\n12 blocks"
    )
    figure = axes[0].figure
    figure.draw_without_rendering()
    boxes = [t.get_window_extent() for ax in axes for t in [*ax.texts, ax.title, ax._left_title, *ax.get_yticklabels()]]
    boxes = [box for box in boxes if box.width > 1]
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert not (a.shrunk(0.9, 0.8).overlaps(b.shrunk(0.9, 0.8))), (a, b)
    plt.close(figure)
