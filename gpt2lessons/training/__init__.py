"""How a GPT-2 learns, and how gpt2-mini was made: corpus, loss, optimizers, loop, card.

May import: everything below it (`bpe`, `gpt2`, `scoring`, `decoding`, `loading`). Begin with `loop`.
"""

from gpt2lessons.training.loop import Progress, Recipe, loss_of, optimizers, run

__all__ = ["Progress", "Recipe", "loss_of", "optimizers", "run"]
