"""What the course adds to every kernel of its environment: a word where a cell runs before the set-up cell.

After a restart, the first thing that many a learner runs is an exercise. Python then says only that `gl` is not
defined, and no check can say more, since none is imported. `ipython_kernel_config.json`, which an installation lays
into the environment's `etc/ipython`, names this module as an extension of IPython.
"""

NAMES = ("gl", "lm")  # what only a set-up cell binds
SENTENCE = "Run the set-up cell at the top of the lesson first, then this one"


def load_ipython_extension(shell):
    """Add the sentence to the `NameError` of a name in `NAMES`; all else stays as it is."""
    shell.set_custom_exc((NameError,), _say)


def _say(shell, kind, error, trace, tb_offset=None):
    if getattr(error, "name", None) in NAMES and error.args:
        error.args = (f"{error.args[0]}. {SENTENCE}: Run ▸ Run All Above Selected Cell.",)
    shell.showtraceback((kind, error, trace), tb_offset=tb_offset)
