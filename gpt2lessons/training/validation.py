"""Looking while a training runs: the loss on texts that are not trained on, and when to stop.

The texts that a training is looked at with choose its weights, so they cannot judge them: the final measurement is made
on others.
"""

import torch

from gpt2lessons.training import loop


class Validation:
    """Rows to measure a model on, every `every` steps and after the last, and the best weights so far.

    `rows` LongTensor (N, context + 1). With `patience`, a number of measurements, training stops when that many in a
    row brought no lower loss, and the model gets the weights back that it had at the lowest (early stopping, Prechelt
    1998). `patience=0`: only look.
    """

    def __init__(self, rows, *, every, patience=0):
        if every < 1 or patience < 0:
            raise ValueError(f"every is at least 1 step, patience at least 0 measurements, not {every} and {patience}.")
        if getattr(rows, "ndim", 0) != 2 or len(rows) < 1 or rows.shape[1] < 2:
            given = tuple(rows.shape) if hasattr(rows, "shape") else type(rows).__name__
            raise ValueError(f"rows should be (N, context + 1), at least one, not {given}.")
        self.rows, self.every, self.patience = rows, every, patience
        self.lowest, self.waited, self.best = float("inf"), 0, {}

    def is_due(self, step, steps):
        """Return whether to look after `step` (0 first) of `steps`."""
        return (step + 1) % self.every == 0 or step + 1 == steps

    def measure(self, model):
        """Return the loss of our `GPT2`, in evaluation mode, on the rows: nats per token."""
        device, total = model.wte.weight.device, 0.0
        with torch.no_grad():
            for rows in self.rows.to(device).split(8):
                total += loop.loss_of(model(rows[:, :-1]), rows[:, 1:]).item() * len(rows)
        return total / len(self.rows)

    def look(self, model):
        """Return what `measure` finds, and remember it: the best weights, and how long they have been the best."""
        loss = self.measure(model)
        if loss < self.lowest:
            self.lowest, self.waited = loss, 0
            if self.patience:
                self.best = {name: p.detach().clone() for name, p in model.named_parameters()}
        else:
            self.waited += 1
        return loss

    @property
    def is_over(self):
        """Whether patience is at an end."""
        return bool(self.patience) and self.waited >= self.patience

    def restore(self, model):
        """Give `model` the best weights back, if patience was asked for."""
        if self.best:
            model.load_state_dict(self.best)

    def numbers(self):
        """Return what `save_state` keeps beside the best weights."""
        return {"lowest": self.lowest, "waited": self.waited}
