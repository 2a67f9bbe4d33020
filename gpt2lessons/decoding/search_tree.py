"""What a beam search leaves behind: the hypotheses it returns, and the tree of everything it looked at."""

from dataclasses import dataclass, field

import torch


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """One text that beam search returns.

    `ids` LongTensor (T + N,), prompt included, and `new_ids` (N,); `log_prob`: the model's own log-probability of the
    new tokens, nats; `score`, by which hypotheses are ranked; `row`: the prompt that it continues; `node`: its
    `Candidate` in the tree.
    """

    ids: torch.Tensor
    new_ids: torch.Tensor
    log_prob: float
    score: float
    row: int
    node: "Candidate"


@dataclass(eq=False)
class Candidate:
    """One continuation that beam search looked at: `parent` (None: the prompt) extended by `token` at `step` 1, 2, …

    `log_prob`: the model's log-probability of this token, nats. `total`: what the search has added up along the path:
    the log-probabilities, unless a repetition penalty changed them. `rank`: its place among the step's candidates, 1 is
    best, None for a banned one. `state`: "kept" (searched on), "finished", "pruned" or "banned", and `reason`, why.
    `score`: total / length ** length_penalty of a finished one, else None. `group`: of diverse beam search, from 0.
    """

    number: int
    step: int
    parent: "Candidate | None"
    token: int
    log_prob: float
    total: float
    rank: int | None
    group: int = 0
    score: float | None = None
    state: str = ""
    reason: str = ""

    def path(self):
        """Return the candidates from the first new token to this one, a list."""
        return [*(self.parent.path() if self.parent else []), self]

    def new_ids(self):
        """Return the new tokens up to this one, a tuple of ids."""
        return tuple(node.token for node in self.path())

    def keep(self, size):
        """Mark it as searched on, one of `size`."""
        self.state, self.reason = (
            "kept",
            f"number {self.rank}: one of the {size} best that do not end here",
        )

    def finish(self, length_penalty, ends):
        """Mark it as finished and give it its score; `ends` if an end token did it, not the length limit."""
        self.state, self.score = "finished", self.total / self.step**length_penalty
        why = "it ends here" if ends else "the length limit"
        self.reason = f"{why}: score {self.total:.2f} / {self.step}^{length_penalty:g} = {self.score:.2f}"

    def prune(self, size, ends, last_step):
        """Mark it as dropped."""
        self.state = "pruned"
        self.reason = f"number {self.rank}: {size} better ones go on"
        if ends:
            self.reason = f"it ends here, but only as number {self.rank}: just the {size} best may finish"
        elif last_step:
            self.reason = f"number {self.rank} at the length limit: only the {size} best are finished"

    def ban(self):
        """Mark it as one that would have been kept, had its token been allowed."""
        self.state, self.reason = "banned", "good enough, but it would repeat an n-gram of the text"


@dataclass
class SearchTree:
    """The whole search: `nodes` in the order in which they were looked at, best first within a step and group.

    Recorded are the candidates that were considered at a step, those that only the ban kept out, and, while there are
    no more than 100, all others that have a probability above 0. `stopped`: why the search ended, in words. `rows`: how
    many next-token distributions the model computed, the cost of the search.
    """

    prompt_ids: tuple
    num_beams: int
    length_penalty: float
    nodes: list = field(default_factory=list)
    stopped: str = ""
    rows: int = 0

    @property
    def num_steps(self):
        """How many tokens deep the search went."""
        return max((node.step for node in self.nodes), default=0)

    def at(self, step, *states):
        """Return the candidates of one step (1, 2, …), only those in `states` if any are named."""
        return [n for n in self.nodes if n.step == step and (not states or n.state in states)]

    def children(self, node):
        """Return the candidates that extend `node` (None: the prompt)."""
        return [n for n in self.nodes if n.parent is node]

    def add(self, **values):
        """Append a `Candidate` and return it."""
        self.nodes.append(Candidate(number=len(self.nodes), **values))
        return self.nodes[-1]
