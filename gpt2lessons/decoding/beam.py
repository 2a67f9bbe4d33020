"""Beam search that keeps its whole tree: what was considered, what was dropped, and why.

The rules are those of transformers' `generate(num_beams=…)`, so that hypotheses and scores equal its own. Diverse beam
search (Vijayakumar et al. 2018), which that library has given up, is the same search in several groups.

The equality holds from two beams on. With one, transformers runs greedy search, whose repetition penalty changes
logits; a beam of one penalises log-probabilities, as every beam search does, so that texts can differ.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from gpt2lessons.adapters import Model, vocabulary_size
from gpt2lessons.decoding.arguments import check_whole
from gpt2lessons.decoding.processors import SETTINGS
from gpt2lessons.decoding.search_tree import Hypothesis, SearchTree
from gpt2lessons.decoding.settings import with_advice
from gpt2lessons.decoding.stepper import Stepper, check_ids_of_prompt, check_prompt, read_ends

# candidates of a step and group; of more than these, only the considered ones are recorded
_ALL_UP_TO = 100


@dataclass
class BeamResult:
    """What a search found: `hypotheses`, prompt by prompt, best first; `trees`, one per prompt (see `search_tree`)."""

    hypotheses: list[Hypothesis]
    trees: list[SearchTree]

    @property
    def tree(self) -> SearchTree:
        """The tree of the first prompt."""
        return self.trees[0]

    @property
    def sequences(self) -> torch.Tensor:
        """The hypotheses' ids, without left padding, as a LongTensor (number, longest); -1 after the end."""
        return torch.nn.utils.rnn.pad_sequence([h.ids for h in self.hypotheses], batch_first=True, padding_value=-1)


@with_advice
@torch.no_grad()
def beam_search(
    model: Model,
    input_ids: torch.Tensor,
    *,
    num_beams: int,
    max_new_tokens: int,
    num_return_sequences: int = 1,
    length_penalty: float = 1.0,
    early_stopping: bool | Literal["never"] = False,
    no_repeat_ngram_size: int = 0,
    repetition_penalty: float = 1.0,
    eos_token_id: int | Sequence[int] | None = None,
    attention_mask: torch.Tensor | None = None,
    num_beam_groups: int = 1,
    diversity_penalty: float = 0.0,
    use_cache: bool = True,
) -> BeamResult:
    """Search for continuations of each prompt in `input_ids` (B, T) that have a high score; return a `BeamResult`.

    `model`: a `LanguageModel` or our `GPT2` (with a cache if `use_cache`), a transformers model, or any callable
    `ids (B, T) -> logits (B, T, V)`. Each prompt is searched by itself, without its padding (0 in `attention_mask`).

    At each step the 2 * `num_beams` best candidates are considered, by the sum of their log-probabilities. Of the best
    `num_beams`, those that end with `eos_token_id` (a number, or several) or reach `max_new_tokens` are finished, with
    the score sum / length ** `length_penalty`; the best `num_beams` that do not end are searched on. Once `num_beams`
    are finished the search may stop: at once if `early_stopping` is True; if False, when the best open one, scored at
    its present length, is no better than the worst finished; if "never", when it could not be better at any length.
    `repetition_penalty` and `no_repeat_ngram_size` are those of `processors`. `num_return_sequences` are
    returned for each prompt, or as many as there are.

    With `num_beam_groups` the beams are shared out among groups that choose in turn; at each step a candidate is put
    back by `diversity_penalty` for every beam of an earlier group that took the same token. That decides what is kept;
    totals and scores are free of it.

    Raises ValueError or TypeError for settings outside these ranges and for texts longer than the context.
    """
    # 1. check
    check_prompt(model, input_ids, attention_mask, max_new_tokens)
    ends = set(read_ends(eos_token_id, vocabulary_size(model)))
    _check_beams(num_beams, num_return_sequences, num_beam_groups)
    _check_scores(length_penalty, early_stopping, diversity_penalty)
    penalty, ban = SETTINGS["repetition_penalty"], SETTINGS["no_repeat_ngram_size"]
    penalty.check(repetition_penalty)
    ban.check(no_repeat_ngram_size)
    rules = _Rules(num_beams // num_beam_groups, length_penalty, early_stopping, ends, max_new_tokens)
    mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask

    # 2. search each prompt by itself, without its padding
    result = BeamResult([], [])
    for row, (ids, real) in enumerate(zip(input_ids, mask, strict=True)):
        prompt = ids[real.bool()][None]
        tree = SearchTree(tuple(prompt[0].tolist()), num_beams, length_penalty)
        groups = [_Group(number, tree, rules) for number in range(num_beam_groups)]
        longest = prompt.shape[1] + max_new_tokens
        texts = Stepper(model, prompt, max_length=longest, use_cache=use_cache)

        # 3. step by step: read, rank and choose, group after group
        running = groups
        while running:
            shared = not tree.nodes  # at first there is one text, the prompt, which all groups share
            if not shared:
                texts.select(ids.new_tensor([source for group in running for source in group.sources]))
                texts.add(ids.new_tensor([beam.token for group in running for beam in group.beams]))
            log_probs = texts.read().log_softmax(-1)
            check_ids_of_prompt(prompt, log_probs.shape[1])
            read_ends(eos_token_id, log_probs.shape[1])
            tree.rows += len(log_probs)
            scores = penalty.apply(log_probs, texts.ids, repetition_penalty)
            allowed = ban.apply(scores, texts.ids, no_repeat_ngram_size)

            taken = torch.zeros_like(log_probs[0])  # how often earlier groups took each token
            start = 0
            for group in running:
                rows = slice(start, start + len(group.beams))
                chosen = group.advance(
                    _Step(log_probs[rows], scores[rows], allowed[rows], diversity_penalty * taken),
                    first_row=start,
                )
                for node in chosen:
                    taken[node.token] += 1
                start = 0 if shared else rows.stop
            running = [group for group in running if not group.stopped]

        # 4. the best of all groups
        tree.stopped = groups[0].stopped
        finished = sorted((n for group in groups for n in group.finished), key=lambda n: -n.score)
        result.hypotheses += [_hypothesis(n, prompt[0], row) for n in finished[:num_return_sequences]]
        result.trees.append(tree)
    return result


@dataclass(frozen=True)
class _Rules:
    """What holds for every group of a search."""

    size: int  # beams of a group
    length_penalty: float
    early_stopping: bool | str
    ends: set
    max_new_tokens: int


@dataclass(frozen=True)
class _Step:
    """What a group sees at one step, each (beams, V) but the last, (V,): the model's log-probabilities,
    those after the repetition penalty, those after the ban, and what earlier groups' choices cost."""

    log_probs: torch.Tensor
    scores: torch.Tensor
    allowed: torch.Tensor
    handicap: torch.Tensor


class _Group:
    """Beams that compete with each other: all of them, or one group of a diverse beam search.

    `beams`: the open hypotheses' last candidates (None: the prompt); `totals` (beams,); `sources`: the
    row that each came from; `finished`: the best that have ended, best first; `stopped`: why, or "".
    """

    def __init__(self, number, tree, rules):
        self.number = number
        self.tree = tree
        self.rules = rules
        self.beams = [None]
        self.totals = torch.zeros(1, device="cpu")
        self.sources = []
        self.step = 0
        self.finished = []
        self.stopped = ""

    def advance(self, step, *, first_row):
        """Take one step: rank, share out, note the banned; return the candidates that were chosen."""
        self.step += 1
        totals = self.totals.to(step.scores)[:, None] + step.scores
        ranking = (self.totals.to(step.scores)[:, None] + step.allowed - step.handicap).flatten()
        order, considered = self._rank(ranking)
        kept, ended = self._share_out(order, considered, step, totals)
        self._note_banned(order, ranking, step, totals)
        self._finish(ended)
        self._keep(kept, totals, first_row)
        self.stopped = self._why_stop()
        return ended + self.beams

    def _rank(self, ranking):
        """Return the places of the best candidates, best first, and how many of them are considered."""
        available = int(ranking.isfinite().sum())
        # with one end token, twice as many as there are beams always leave enough that do not end
        considered = min(max(2, 1 + len(self.rules.ends)) * self.rules.size, available)
        recorded = available if available <= _ALL_UP_TO else considered
        return ranking.topk(recorded).indices.tolist(), considered

    def _share_out(self, order, considered, step, totals):
        """Give each candidate its fate; return the kept ones as (beam, token, node), and the finished."""
        size, last = self.rules.size, self.step == self.rules.max_new_tokens
        kept, ended = [], []
        for rank, place in enumerate(order, start=1):
            beam, token = divmod(place, totals.shape[1])
            node = self._record(beam, token, step, totals, rank)
            ends = token in self.rules.ends
            if rank <= size and (ends or last):
                node.finish(self.rules.length_penalty, ends)
                ended.append(node)
            elif rank <= considered and len(kept) < size and not (ends or last):
                node.keep(size)
                kept.append((beam, token, node))
            else:
                node.prune(size, ends, last)
        return kept, ended

    def _note_banned(self, order, ranking, step, totals):
        """Record what would have been at least as good as the last chosen, had the ban allowed it."""
        worst = -torch.inf
        if order:
            worst = ranking[order[min(self.rules.size, len(order)) - 1]]
        banned = totals.isfinite() & ~step.allowed.isfinite() & (totals - step.handicap >= worst)
        for beam, token in banned.nonzero().tolist()[:_ALL_UP_TO]:
            self._record(beam, token, step, totals, rank=None).ban()

    def _finish(self, ended):
        """Keep the best `size` of all that have finished."""
        ranked = sorted(self.finished + ended, key=lambda node: -node.score)
        for node in ranked[self.rules.size :]:
            node.reason += "; not among the best that are finished"
        self.finished = ranked[: self.rules.size]

    def _keep(self, kept, totals, first_row):
        """Make the kept candidates the open hypotheses."""
        beams = [beam for beam, _, _ in kept]
        tokens = [token for _, token, _ in kept]
        self.beams = [node for _, _, node in kept]
        self.totals = totals[beams, tokens]
        self.sources = [first_row + beam for beam in beams]

    def _record(self, beam, token, step, totals, rank):
        return self.tree.add(
            step=self.step,
            parent=self.beams[beam],
            token=token,
            log_prob=step.log_probs[beam, token].item(),
            total=totals[beam, token].item(),
            rank=rank,
            group=self.number,
        )

    def _why_stop(self):
        """Return the reason in words, "" to go on."""
        rules = self.rules
        if self.step == rules.max_new_tokens:
            return "the length limit is reached"
        if not self.beams:
            return "no candidate is left to go on with"
        if len(self.finished) < rules.size:
            return ""
        if rules.early_stopping is True:
            return f"early_stopping=True, and {rules.size} are finished"
        longest = rules.early_stopping == "never" and rules.length_penalty > 0
        length = rules.max_new_tokens if longest else self.step
        best = self.totals.max().item() / length**rules.length_penalty
        worst = self.finished[-1].score
        if best > worst:
            return ""
        return f"the best open one would score {best:.2f} at {length} tokens, the worst finished has {worst:.2f}"


def _hypothesis(node, prompt, row):
    new = prompt.new_tensor(node.new_ids(), dtype=torch.long)
    log_prob = math.fsum(each.log_prob for each in node.path())
    return Hypothesis(torch.cat([prompt, new]), new, log_prob, node.score, row, node)


def _check_beams(num_beams, num_return_sequences, num_beam_groups):
    check_whole(num_beams, "num_beams", 1)
    check_whole(num_return_sequences, "num_return_sequences", 1)
    check_whole(num_beam_groups, "num_beam_groups", 1)
    if num_return_sequences > num_beams:
        raise ValueError(
            f"num_return_sequences={num_return_sequences}, but {num_beams} beams find at most "
            f"{num_beams} texts: ask for fewer, or search with more beams."
        )
    if num_beams % num_beam_groups:
        raise ValueError(f"{num_beams} beams cannot be shared out evenly among num_beam_groups={num_beam_groups}.")


def _check_scores(length_penalty, early_stopping, diversity_penalty):
    penalties = {"length_penalty": length_penalty, "diversity_penalty": diversity_penalty}
    for name, value in penalties.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value):
            raise ValueError(f"{name}={value!r} is not allowed: it is a finite number.")
    if diversity_penalty < 0:
        raise ValueError(
            f"diversity_penalty={diversity_penalty} is not allowed: it is 0 or more; below 0 it would reward sameness."
        )
    if early_stopping is not True and early_stopping is not False and early_stopping != "never":
        raise ValueError(f'early_stopping={early_stopping!r} is not allowed: it is True, False or "never".')
