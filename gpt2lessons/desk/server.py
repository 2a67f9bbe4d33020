"""What the course adds to a Jupyter server: a notebook that is saved keeps pictures of its widgets.

The server is told of it by `gpt2lessons.json`, which an installation lays into the environment's `etc/jupyter`; the
command `lab` names it once more, for an installation older than this file.
"""

from gpt2lessons.desk import pictures


def _jupyter_server_extension_points():
    return [{"module": __name__}]


def _load_jupyter_server_extension(serverapp):
    serverapp.contents_manager.register_pre_save_hook(before_saving)


def before_saving(*, model, **_):
    """Change `model`, what is about to be saved, if it is a notebook; errors are the server's to log."""
    if model.get("type") == "notebook" and model.get("content"):
        pictures.keep_pictures(model["content"])
