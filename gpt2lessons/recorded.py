"""What the real GPT-2 answered, recorded: to be seen offline and without its 548 MB of weights.

Of five prompts there are all 50,257 logits of the next token, and the attention of all 144 heads.
There are fifteen texts that GPT-2 wrote, as published, with settings and token ids;
then the table of a published tuning, and the values of a published evaluation.
The model is GPT-2 small, 124,439,808 parameters. Nothing here was computed by gpt2-mini.

Sources: the prompts' logits and attention were exported by the authors of Transformer Explainer
(github.com/poloclub/transformer-explainer, `src/constants/examples`, commit 6e2ec372; MIT licence).
At which precision the exporting run computed is not stated there.
The texts name their sources one by one.
"""

import functools
import json
from dataclasses import dataclass
from types import SimpleNamespace

import torch

from gpt2lessons import checksums
from gpt2lessons.decoding.processors import apply_temperature, keep_top_k, keep_top_p
from gpt2lessons.gpt2 import GPT2Config
from gpt2lessons.loading.models import LanguageModel, gpt2_tokenizer

FOLDER = checksums.ASSETS / "gpt2-recorded"
SOURCE = "Transformer Explainer (Polo Club of Data Science, MIT), src/constants/examples"
FILTERS = {  # what `compare` counts the kept tokens of: name -> logits (1, V) in, logits (1, V) out
    "top-k 50, top-p 0.85": lambda logits: keep_top_p(keep_top_k(logits, 50), 0.85),
    "top-p 0.8": lambda logits: keep_top_p(logits, 0.8),
    "temperature 0.7, top-p 0.8": lambda logits: keep_top_p(apply_temperature(logits, 0.7), 0.8),
}
_PROMPTS = (
    "Data visualization empowers users to",
    "Artificial Intelligence is transforming the",
    "As the spaceship was approaching the",
    "On the deserted planet they discovered a",
    "IEEE VIS conference highlights the",
)
_ELSEWHERE = 'gl.load("gpt2") fetches the weights, which answer any text'


@dataclass(frozen=True)
class Text:
    """A text that GPT-2 wrote, as published.

    `prompt`; `settings`: the arguments of `generate` (or `beam_search`) that it was written with;
    `ids`: the token ids of prompt and continuation, a tuple; `text`: the same, decoded; `source`.
    A text with `do_sample` was drawn without a known seed: no run can be expected to repeat it.
    """

    name: str
    prompt: str
    settings: dict
    source: str
    text: str
    ids: tuple

    @property
    def continuation(self):
        """The text without the prompt."""
        return self.text[len(self.prompt) :]


def prompts():
    """Return the five prompts with a recorded answer, as a tuple of texts."""
    return _PROMPTS


def distribution(prompt):
    """Return GPT-2's logits for the token after `prompt`, one of `prompts()`: float32 (50257,).

    They lie between −180 and −89, and softmax does not mind. `ValueError` for another prompt.
    """
    return _recorded("logits", prompt)


def attention(prompt):
    """Return the attention patterns of all heads on `prompt`: float32 (12 layers, 12 heads, T, T).

    Row t says where token t looks: its T weights sum to 1, and those to the right of t are 0.
    T is 6 or 7. `ValueError` for a prompt that is not one of `prompts()`.
    """
    return _recorded("pattern", prompt)


def scores(prompt):
    """Return the scores that became `attention(prompt)`: q·k / √64, float32 (12, 12, T, T).

    No mask has been applied yet: row t has scores of the later tokens too.
    Softmax of the masked scores gives the patterns, to 2.4e-7.
    """
    return _recorded("scores", prompt)


def texts():
    """Return the texts that GPT-2 wrote, as published: {name: `Text`}."""
    entries = _published()["texts"]
    return {entry["name"]: Text(**entry | {"ids": tuple(entry["ids"])}) for entry in entries}


def tuning():
    """Return a published tuning: {(top_k, top_p, temperature): perplexity}, 14 of its 27 settings.

    Each value is the perplexity, under GPT-2 itself, of **one** text drawn with this setting.
    The saved output of the notebook that this course grew from is cut off after these 14.
    """
    return {(k, p, t): value for k, p, t, value in _published()["tuning"]["rows"]}


def metrics():
    """Return the values of a published evaluation of GPT-2: those that `source` printed.

    "text", the sentence it used; "perplexity" of that sentence under GPT-2; "rouge1", "rouge2",
    "rougeL" and "bleu" of GPT-2's continuation of it (prompt included, as lesson 11 finds out);
    "bleu in the discussion", another value that its discussion mentions; "source".
    """
    return dict(_published()["metrics"])


def lm():
    """Return the recorded GPT-2 as a `LanguageModel` that knows five prompts.

    It has GPT-2's tokenizer, so it encodes and decodes any text.
    It predicts one token after each of `prompts()`.
    It cannot go on writing, score a text, or answer another prompt: it has no weights.
    """
    model = _Library(_Answers())
    return RecordedLanguageModel(model, _tokenizer(), "GPT-2, recorded", "no weights")


def compare(model, *, filters=None, top=5):
    """Return a table of what `model`, a `LanguageModel`, and GPT-2 expect after each prompt.

    It is a pandas DataFrame with two rows for each of `prompts()`.
    Columns: "tokens" of the prompt; "entropy" of the next token, in nats;
    "most probable", the `top` best tokens with their probabilities;
    and how many tokens each of `filters` keeps, {name: function of logits (1, V)}.
    Entropies are per token, and a token of the smaller vocabulary says less: compare with care.
    Both rows are computed by the same functions; GPT-2's logits are the recorded ones.
    """
    import pandas

    filters, gpt2, rows = FILTERS if filters is None else filters, lm(), {}
    for prompt in prompts():
        for who in (model, gpt2):
            ids = who.encode(prompt)
            with torch.no_grad():
                logits = who.scratch(ids)[0, -1]
            rows[prompt, who.name] = _row(who, ids, logits, filters, top)
    table = pandas.DataFrame.from_dict(rows, orient="index")
    table.index = pandas.MultiIndex.from_tuples(table.index, names=["prompt", "model"])
    return table


def _row(lm, ids, logits, filters, top):
    log_probs = logits.double().log_softmax(-1)
    best = log_probs.exp().topk(top)
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    row = {"tokens": ids.shape[1]}
    row["entropy"] = round(-(log_probs.exp() * log_probs).sum().item(), 2)
    row["most probable"] = ", ".join(f"{lm.decode([i])!r} {p:.3f}" for i, p in pairs)
    return row | {name: int(keep(logits[None]).isfinite().sum()) for name, keep in filters.items()}


class RecordedLanguageModel(LanguageModel):
    """GPT-2's tokenizer and recorded answers to five prompts, in the shape of a `LanguageModel`.

    `scratch(ids)` and `model(ids).logits` give logits (B, T, 50257) for recorded prompts:
    after the last token as recorded; after the others nan, because that was not recorded.
    `scratch(ids, record=record)` fills in "h.0.attn.scores", "h.0.attn.pattern", … (B, 12, T, T).
    Any other text raises `ValueError`, and so does the second new token of a continuation.
    """

    @property
    def scratch(self):
        """The recorded answers, called as our own GPT-2 is called."""
        return self.model.answers

    def __repr__(self):
        return f"RecordedLanguageModel({self.name}: a token after each of {len(_PROMPTS)} prompts)"


class _Library:
    """Stands where transformers' model stands: `config`, `device` and `model(ids).logits`."""

    config, device = GPT2Config(), torch.device("cpu")

    def __init__(self, answers):
        self.answers = answers

    def __call__(self, input_ids, attention_mask=None):
        return SimpleNamespace(logits=self.answers(input_ids, attention_mask=attention_mask))


class _Answers:
    """Stands where our own GPT-2 stands: a lookup in place of a computation."""

    config = GPT2Config()

    def __call__(self, input_ids, *, attention_mask=None, cache=None, last_only=False, record=None):
        ids = input_ids if cache is None else cache.add(input_ids)
        if ids.ndim != 2:
            shape = tuple(ids.shape)
            raise ValueError(f"input_ids should be (B, T), not {shape}; one text: ids[None].")
        mask = torch.ones_like(ids) if attention_mask is None else attention_mask
        if record is not None and not mask.all():
            raise ValueError("recorded attention has no padding: ask for prompts of one length.")
        asked = [_which(row[keep.bool()].tolist()) for row, keep in zip(ids, mask, strict=True)]
        logits = torch.full((*input_ids.shape, self.config.vocab_size), torch.nan, device=input_ids.device)
        logits[:, -1] = torch.stack([distribution(prompt) for prompt in asked])
        if record is not None:
            for name, look_up in (("scores", scores), ("pattern", attention)):
                heads = torch.stack([look_up(prompt) for prompt in asked], 1)  # (12, B, 12, T, T)
                record |= {f"h.{layer}.attn.{name}": rows for layer, rows in enumerate(heads)}
        return logits[:, -1:] if last_only else logits

    def new_cache(self, batch_size, max_length):
        """Return a cache that holds the ids seen so far, by which the prompt is known again."""
        return _Cache(batch_size)


class _Cache:
    """The ids seen so far, (B, length); a smaller `length` forgets the last ones."""

    def __init__(self, batch_size):
        self._ids = torch.empty(batch_size, 0, dtype=torch.long, device="cpu")

    def add(self, ids):
        self._ids = torch.cat([self._ids, ids], dim=1)
        return self._ids

    def select(self, rows):
        self._ids = self._ids[rows]

    @property
    def length(self):
        return self._ids.shape[1]

    @length.setter
    def length(self, length):
        self._ids = self._ids[:, :length]


@functools.cache
def _prompt_of():
    """Return {token ids: prompt}."""
    return {tuple(_arrays()[f"input_ids_{i}"].tolist()): _PROMPTS[i] for i in range(len(_PROMPTS))}


def _which(ids):
    """Return the recorded prompt with these `ids`, or raise `ValueError`."""
    prompt = _prompt_of().get(tuple(ids))
    if prompt is None:
        _refuse(_tokenizer().decode(ids))
    return prompt


def _refuse(text):
    raise ValueError(
        f"what GPT-2 answers to {text!r:.80} was not recorded. "
        f"Recorded are its answers to {'; '.join(map(repr, _PROMPTS))}. {_ELSEWHERE}."
    )


def _recorded(kind, prompt):
    if not isinstance(prompt, str):
        given = f"{type(prompt).__name__}: {prompt!r:.60}"
        raise TypeError(f"a prompt is a str, one of recorded.prompts(), but was given {given}.")
    if prompt not in _PROMPTS:
        _refuse(prompt)
    found = _arrays()[f"{kind}_{_PROMPTS.index(prompt)}"]
    return torch.from_numpy(found.copy())  # so that it may be changed


@functools.cache
def _check():
    checksums.demand(FOLDER, "what GPT-2 answered is")


@functools.cache
def _arrays():
    """Return {name: array} of recorded.npz."""
    import numpy

    _check()
    with numpy.load(FOLDER / "recorded.npz") as file:
        return dict(file)


def _published():
    _check()
    return json.loads((FOLDER / "texts.json").read_text("utf8"))


@functools.cache
def _tokenizer():
    return gpt2_tokenizer()
