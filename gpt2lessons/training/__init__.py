"""How a GPT-2 learns, and how gpt2-mini was made: corpus, loss, optimizers, loop, card.

May import: everything below it (`bpe`, `gpt2`, `scoring`, `metrics`, `decoding`, `loading`). Begin with `loop`.
"""

from gpt2lessons.training.loop import Progress, Recipe, loss_of, optimizers, run
from gpt2lessons.training.validation import Validation

__all__ = ["Progress", "Recipe", "Validation", "loss_of", "optimizers", "run"]
