"""What a widget leaves in a saved notebook: its picture and its text, and nothing that needs the kernel it came from.

A notebook that keeps a widget's type shows "Error displaying widget" when it is opened again, because that type
outranks the picture beside it. Without it, the picture is shown.
"""

WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
CAPTION = "Picture of a widget. Run this cell to make it live."


def keep_pictures(notebook):
    """Drop the widget type from every output of `notebook` (a dict, changed in place) that has a picture beside it.

    Widgets of other libraries bring no picture and stay as they are. What a picture shows is said as its alternative
    text, in the metadata where nbconvert looks for it.
    """
    for cell in notebook.get("cells", ()):
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if WIDGET_MIME in data and "image/png" in data:
                del data[WIDGET_MIME]
                described = output.setdefault("metadata", {}).setdefault("image/png", {})
                described.setdefault("alt", alternative("".join(data.get("text/plain", ""))))


def alternative(summary):
    """Return the alternative text of a widget's picture: that it is one, and the widget's own summary."""
    return f"{CAPTION} {summary}".strip()


def pictured(output):
    """Is this output (a dict) the picture of a widget, kept by `keep_pictures`?"""
    alt = output.get("metadata", {}).get("image/png", {}).get("alt", "")
    return alt.startswith(CAPTION) and WIDGET_MIME not in output.get("data", {})
