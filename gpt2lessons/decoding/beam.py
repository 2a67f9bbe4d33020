"""Beam search that keeps its whole tree: what was considered, what was dropped, and why.

The rules are those of transformers' `generate(num_beams=…)`, so that hypotheses and scores equal its own. Diverse beam
search (Vijayakumar et al. 2018), which that library has given up, is the same search in several groups.
"""

import math
from dataclasses import dataclass

import torch

from gpt2lessons.decoding.processors import ban_repeated_ngrams, penalize_repetition
from gpt2lessons.decoding.search_tree import Hypothesis, SearchTree
from gpt2lessons.decoding.stepper import Stepper, check_prompt

_ALL_UP_TO = 100  # candidates of a step and group; of more than these, only the considered ones are recorded


@dataclass
class BeamResult:
    """What a search found: `hypotheses`, prompt by prompt, best first; `trees`, one per prompt (see `search_tree`)."""

    hypotheses: list
    trees: list

    @property
    def tree(self):
        """The tree of the first prompt."""
        return self.trees[0]

    @property
    def sequences(self):
        """The hypotheses' ids, without left padding, as a LongTensor (number, longest); -1 after the end."""
        return torch.nn.utils.rnn.pad_sequence([h.ids for h in self.hypotheses], batch_first=True, padding_value=-1)


@torch.no_grad()
def beam_search(
    model,
    input_ids,
    *,
    num_beams,
    max_new_tokens,
    num_return_sequences=1,
    length_penalty=1.0,
    early_stopping=False,
    no_repeat_ngram_size=0,
    repetition_penalty=1.0,
    eos_token_id=None,
    attention_mask=None,
    num_beam_groups=1,
    diversity_penalty=0.0,
    use_cache=True,
):
    """Search for continuations of each prompt in `input_ids` (B, T) that have a high score; return a `BeamResult`.

    `model`: a `LanguageModel` or our `GPT2` (with a cache if `use_cache`), a transformers model, or any callable
    `ids (B, T) -> logits (B, T, V)`. Each prompt is searched by itself, without its padding (0 in `attention_mask`).

    At each step the 2 * `num_beams` best candidates are considered, by the sum of their log-probabilities. Of the best
    `num_beams`, those that end with `eos_token_id` (a number, or several) or reach `max_new_tokens` are finished, with
    the score sum / length ** `length_penalty`; the best `num_beams` that do not end are searched on. Once `num_beams`
    are finished the search may stop: at once if `early_stopping` is True; if False, when the best open one, scored at
    its present length, is no better than the worst finished; if "never", when it could not be better at any length.
    `num_return_sequences` are returned for each prompt, or as many as there are.

    With `num_beam_groups` the beams are shared out among groups that choose in turn; at each step a candidate is put
    back by `diversity_penalty` for every beam of an earlier group that took the same token. That decides what is kept;
    totals and scores are free of it.

    Raises ValueError or TypeError for settings outside these ranges and for texts longer than the context.
    """
    check_prompt(model, input_ids, attention_mask, max_new_tokens)
    mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    eos = _check_eos(eos_token_id)
    _check_settings(num_beams, num_return_sequences, length_penalty, early_stopping, num_beam_groups, diversity_penalty)
    result = BeamResult([], [])
    for row, (ids, real) in enumerate(zip(input_ids, mask, strict=True)):
        prompt = ids[real.bool()][None]
        tree = SearchTree(tuple(prompt[0].tolist()), num_beams, length_penalty)
        rules = (num_beams // num_beam_groups, length_penalty, early_stopping, eos, max_new_tokens)
        groups = running = [_Group(g, tree, *rules, ids.device) for g in range(num_beam_groups)]
        stepper = Stepper(model, prompt, max_length=prompt.shape[1] + max_new_tokens, use_cache=use_cache)
        while running:
            # at first there is one text, the prompt, which all groups share; later each beam is a row
            shared = not tree.nodes
            if not shared:
                stepper.select(ids.new_tensor([source for group in running for source in group.sources]))
                stepper.add(ids.new_tensor([node.token for group in running for node in group.nodes]))
            log_probs, texts = stepper.read().float().log_softmax(-1), stepper.ids
            tree.rows += len(texts)
            scores = penalize_repetition(log_probs, texts, repetition_penalty) if repetition_penalty != 1 else log_probs
            allowed = ban_repeated_ngrams(scores, texts, no_repeat_ngram_size)
            taken, start = torch.zeros_like(log_probs[0]), 0
            for group in running:
                end = start + len(group.nodes)
                layers = [x[start:end] for x in (log_probs, scores, allowed)]
                for node in group.advance(*layers, diversity_penalty * taken, start):
                    taken[node.token] += 1
                start = 0 if shared else end
            running = [group for group in running if not group.stopped]
        tree.stopped = groups[0].stopped
        finished = sorted((node for group in groups for node in group.finished), key=lambda n: -n.score)
        result.hypotheses += [_hypothesis(node, prompt[0], row) for node in finished[:num_return_sequences]]
        result.trees.append(tree)
    return result


class _Group:
    """Beams that compete with each other: all of them, or one group of a diverse beam search."""

    def __init__(self, number, tree, size, length_penalty, early_stopping, eos, max_new_tokens, device):
        self.number, self.tree, self.size, self.eos = number, tree, size, eos
        self.length_penalty, self.early_stopping, self.max_new_tokens = length_penalty, early_stopping, max_new_tokens
        self.nodes, self.sources, self.totals = [None], [], torch.zeros(1, device=device)
        self.step, self.finished, self.stopped = 0, [], ""

    def advance(self, log_probs, scores, allowed, handicap, start):
        """Take one step: rank all candidates, finish, keep and drop; return the finished and the kept ones.

        `log_probs`, `scores`, `allowed` (beams, V): the model's, after the repetition penalty, after the ban.
        """
        self.step += 1
        totals = self.totals[:, None] + scores
        ranking = (self.totals[:, None] + allowed - handicap).flatten()
        available = int(ranking.isfinite().sum())
        # with one end token, twice as many as there are beams always leave enough that do not end
        considered = min(max(2, 1 + len(self.eos)) * self.size, available)
        order = ranking.topk(available if available <= _ALL_UP_TO else considered).indices.tolist()
        last, kept, ended = self.step == self.max_new_tokens, [], []
        for rank, place in enumerate(order, start=1):
            beam, token = divmod(place, totals.shape[1])
            node, ends = self._add(beam, token, log_probs, totals, rank), token in self.eos
            if rank <= self.size and (ends or last):
                node.finish(self.length_penalty, ends)
                ended.append(node)
            elif rank <= considered and len(kept) < self.size and not (ends or last):
                node.keep(self.size)
                kept.append((beam, token, node))
            else:
                node.prune(self.size, ends, last)
        # whatever would have been at least as good as the last that is kept or finished, had it been allowed
        worst = ranking[order[min(self.size, len(order)) - 1]] if order else -torch.inf
        banned = totals.isfinite() & ~allowed.isfinite() & (totals - handicap >= worst)
        for beam, token in banned.nonzero().tolist()[:_ALL_UP_TO]:
            self._add(beam, token, log_probs, totals, None).ban()
        self.finished = sorted(self.finished + ended, key=lambda n: -n.score)
        for node in self.finished[self.size :]:
            node.reason += "; not among the best that are finished"
        del self.finished[self.size :]
        beams, tokens = [k[0] for k in kept], [k[1] for k in kept]
        self.nodes, self.totals = [k[2] for k in kept], totals[beams, tokens]
        self.sources = [start + beam for beam in beams]
        self.stopped = self._why_stop()
        return ended + self.nodes

    def _add(self, beam, token, log_probs, totals, rank):
        log_prob, total = log_probs[beam, token].item(), totals[beam, token].item()
        place = {"step": self.step, "parent": self.nodes[beam], "token": token, "rank": rank, "group": self.number}
        return self.tree.add(**place, log_prob=log_prob, total=total)

    def _why_stop(self):
        """Return the reason in words, "" to go on."""
        if self.step == self.max_new_tokens:
            return "the length limit is reached"
        if not self.nodes:
            return "no candidate is left to go on with"
        if len(self.finished) < self.size:
            return ""
        if self.early_stopping is True:
            return f"early_stopping=True, and {self.size} are finished"
        longest = self.early_stopping == "never" and self.length_penalty > 0
        length = self.max_new_tokens if longest else self.step
        best, worst = self.totals.max().item() / length**self.length_penalty, self.finished[-1].score
        if best > worst:
            return ""
        return f"the best open one would score {best:.2f} at {length} tokens, the worst finished has {worst:.2f}"


def _hypothesis(node, prompt, row):
    new = prompt.new_tensor(node.new_ids(), dtype=torch.long)
    log_prob = math.fsum(n.log_prob for n in node.path())
    return Hypothesis(torch.cat([prompt, new]), new, log_prob, node.score, row, node)


def _check_eos(eos_token_id):
    several = [] if eos_token_id is None else eos_token_id
    return {_whole(i, "eos_token_id", 0) for i in ([several] if isinstance(several, int) else several)}


def _check_settings(
    num_beams, num_return_sequences, length_penalty, early_stopping, num_beam_groups, diversity_penalty
):
    _whole(num_beams, "num_beams", 1)
    _whole(num_return_sequences, "num_return_sequences", 1)
    _whole(num_beam_groups, "num_beam_groups", 1)
    if num_return_sequences > num_beams:
        raise ValueError(
            f"num_return_sequences={num_return_sequences}, but {num_beams} beams find at most {num_beams} texts: "
            "ask for fewer, or search with more beams"
        )
    if num_beams % num_beam_groups:
        raise ValueError(f"{num_beams} beams cannot be shared out evenly among num_beam_groups={num_beam_groups}")
    for name, value in {"length_penalty": length_penalty, "diversity_penalty": diversity_penalty}.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{name} should be a finite number, not {value!r}")
    if diversity_penalty < 0:
        raise ValueError(f"diversity_penalty should be 0 or more, not {diversity_penalty}: below 0 it rewards sameness")
    if early_stopping not in (True, False) and early_stopping != "never":
        raise ValueError(f'early_stopping should be True, False or "never", not {early_stopping!r}')


def _whole(value, name, least):
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} should be a whole number of at least {least}, not {value!r}")
    return value
