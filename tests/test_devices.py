"""The default device does not matter: here it holds no numbers, while the model and its ids lie where they lie.

So what a function makes without a place of its own (and what would fail beside a model on a graphics card) fails here
too. Every public function is held, or named with the reason why it cannot be.
"""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import gpt2lessons as gl
from gpt2lessons.decoding.speculative import PromptLookup, Reader
from gpt2lessons.widgets.training_watcher import TrainingWatcher

PACKAGE = Path(gl.__file__).parent
PROMPT = "Once upon a time there was a king, and the king said"
TEXTS = [PROMPT, "The dog ran.", "A cat sat on a mat and slept.", "It rained, and nobody walked home."]
ROWS = torch.tensor([[2.0, 1.0, 1.0, -1.0, 0.5], [0.0, 3.0, -torch.inf, 1.0, 1.0]])
IDS = torch.tensor([[0, 1, 0, 1], [3, 1, 1, 4]])
TWO = torch.tensor([0.5, 0.9])


def seeded(seed=1):
    return torch.Generator("cpu").manual_seed(seed)


def recorded(lm):
    record = {}
    lm.scratch(lm.encode(PROMPT), record=record)
    return record["h.0.attn.pattern"]


def padded(lm):
    """Two prompts of different lengths, and their mask, both of them where the model is."""
    long, short = lm.encode(PROMPT), lm.encode("The dog")
    ids, mask = long.repeat(2, 1), torch.ones_like(long).repeat(2, 1)
    ids[1, -short.shape[1] :], mask[1, : -short.shape[1]] = short[0], 0
    return {"input_ids": ids, "attention_mask": mask}


def beams(lm, **settings):
    found = gl.beam_search(lm, lm.encode(PROMPT), num_beams=4, max_new_tokens=6, **settings)
    return [hypothesis.ids for hypothesis in found.hypotheses]


def sampled(lm, **settings):
    g = gl.generate(
        lm, **padded(lm), max_new_tokens=6, do_sample=True, num_return_sequences=2, generator=seeded(),
        eos_token_id=[0, 7], stop=[[1, 2]], trace=True, **settings,
    )  # fmt: skip
    return g.sequences, g.lengths, g.log_probs, [(step.token, step.entropy) for step in g.trace]


def speculated(lm, assistant, **settings):
    found = gl.speculative.speculate(lm, assistant, lm.encode(PROMPT), max_new_tokens=8, **settings)
    return found.sequences, [(r.proposed, r.accepted, r.added, r.p) for r in found.rounds]


def swept(lm):
    space = gl.tuning.SearchSpace(top_k=[0, 20], temperature=[0.7, 1.0], repetition_penalty=[1.0, 1.2])
    table = gl.tuning.sweep(
        lm, space, ["The", PROMPT], samples_per_setting=1, max_new_tokens=4, progress=False, batch_size=6
    )
    means = gl.tuning.summarize(table)
    apart = gl.tuning.compare(table, 0, 1, objective="distinct_2")
    return (
        [frame.to_dict("list") for frame in (table, means)],
        apart,
        gl.tuning.describe(space.grid()[3]),
    )


def measured(name, **texts):
    return lambda lm: gl.metrics.load(name).compute(
        predictions=TEXTS, **texts, **({"model": lm} if name in ("perplexity", "mauve") else {})
    )


def read_twice(lm):
    reader = Reader(lm, 40)
    ids = lm.encode(PROMPT)[0].tolist()
    return reader.read(ids, 2), reader.read([*ids, 5], 1)


def of_blocks(lm):
    draft = gl.speculative.early_exit(lm, 1, lm.encode(PROMPT))
    return draft(lm.encode("The dog"))


def model_in_parts(lm):
    """The GPT-2 as it is called on its own: copied, with a cache, with padding."""
    copy = gl.GPT2.from_transformers(lm.model)
    cache, ids = copy.new_cache(1, 20), lm.encode(PROMPT)
    return copy(ids, cache=cache), copy(ids[:, :3], cache=cache), copy(**padded(lm))


def losses(lm):
    model = gl.GPT2.from_transformers(lm.model)
    ids = lm.encode(PROMPT)
    groups = gl.training.optimizers(model, gl.training.Recipe(steps=3))
    return gl.training.loss_of(model(ids[:, :-1]), ids[:, 1:]), [len(g.param_groups[0]["params"]) for g in groups]


def toy_in_parts(_):
    toy = gl.toy.random_toy(3)
    ids = toy.encode("w0 w1")
    return ids, toy(ids), toy.decode(ids), gl.toy.ToyModel(toy.words[:4], {"": dict.fromkeys(toy.words[:4], 0.25)})(ids)


def with_each(process, *values):
    """A use of a processor for each value of its setting; the values are made here, on the processor."""
    return [lambda _, value=value: process(ROWS, value) for value in values]


def seeded_globally(function):
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return function()


P, s, m, i = gl.processors, gl.scoring, gl.speculative, gl.induction
HELD = {
    "beam.beam_search": [
        lambda lm: beams(lm, no_repeat_ngram_size=2, num_return_sequences=4, repetition_penalty=1.2, eos_token_id=0),
        lambda lm: beams(lm, num_beam_groups=2, diversity_penalty=0.5),
    ],
    "generation.generate": [
        lambda lm: gl.generate(lm, **padded(lm), max_new_tokens=6, no_repeat_ngram_size=2).sequences,
        lambda lm: sampled(lm, temperature=0.8, top_k=50, top_p=0.9, min_p=0.01, typical_p=0.9, epsilon=1e-4),
        lambda lm: sampled(
            lm, temperature=TWO, top_k=torch.tensor([3, 9], device="cpu"), top_p=TWO, repetition_penalty=TWO + 1
        ),
        lambda lm: gl.generate(lm.model, **padded(lm), max_new_tokens=6).sequences,
        lambda lm: seeded_globally(
            lambda: gl.generate(lm, lm.encode("The"), max_new_tokens=3, do_sample=True).sequences
        ),
    ],
    "generation.generate_text": [
        lambda lm: gl.generate_text(lm, PROMPT, max_new_tokens=8, do_sample=True, seed=3, stop=["."]),
    ],
    "gpt2.GPT2": [model_in_parts],
    "corpus.answer_rows": [lambda lm: gl.corpus.answer_rows([("One", " two")], lm.encode)],
    "country.babble": [lambda lm: gl.country.babble(lm.scratch, gl.BPE.mini(), length=3)],
    "induction.after_earlier": [lambda lm: i.after_earlier(lm.encode(PROMPT))],
    "induction.head_scores": [lambda lm: i.head_scores(lm.scratch, lm.encode(PROMPT))],
    "induction.repeated_tokens": [lambda lm: i.repeated_tokens(50, 4, 2, generator=seeded())],
    "induction.rounds": [lambda lm: i.rounds(50, 9, (3, 4), 2, generator=seeded())],
    "induction.without_head": [lambda lm: i.without_head(lm.scratch, 0, 1)(lm.encode(PROMPT))],
    "metrics.load": [
        measured("bleu", references=TEXTS[::-1]),
        measured("rouge", references=TEXTS[::-1]),
        measured("perplexity", prompts=["", *TEXTS[1:]], add_bos=True),
        measured("mauve", references=["No more of this.", *TEXTS[1:]]),
        *(measured(name) for name in ("distinct_n", "self_bleu", "loops", "repetition", "zipf")),
    ],
    "models.LanguageModel": [
        lambda lm: [lm.decode(lm.encode(PROMPT)), lm.decode([5, 6]), lm.decode(7)],
        lambda lm: dataclasses.replace(lm).scratch(lm.encode(PROMPT)),
    ],
    "processors.apply_temperature": with_each(P.apply_temperature, 0.7, TWO),
    "processors.keep_top_k": with_each(P.keep_top_k, 2, torch.tensor([1, 3])),
    "processors.keep_top_p": with_each(P.keep_top_p, 0.7, TWO),
    "processors.keep_min_p": with_each(P.keep_min_p, 0.7, TWO),
    "processors.keep_typical": with_each(P.keep_typical, 0.7, TWO),
    "processors.keep_epsilon": with_each(P.keep_epsilon, 0.1, TWO / 2),
    "processors.penalize_repetition": with_each(lambda x, v: P.penalize_repetition(x, IDS, v), 1.3, TWO),
    "processors.ban_repeated_ngrams": with_each(lambda x, v: P.ban_repeated_ngrams(x, IDS, v), 2, torch.tensor([1, 2])),
    "processors.keep_eta": with_each(P.keep_eta, 0.1, TWO / 2),
    "processors.keep_top_h": with_each(P.keep_top_h, 0.5, TWO),
    "processors.penalize_frequency": with_each(lambda x, v: P.penalize_frequency(x, IDS, v), 0.3, TWO),
    "processors.penalize_presence": with_each(lambda x, v: P.penalize_presence(x, IDS, v), 0.3, TWO),
    "processors.ban_words": with_each(lambda x, v: P.ban_words(x, IDS, [[1]]), 1, TWO),
    "processors.add_bias": with_each(lambda x, v: P.add_bias(x, {1: 0.5}), 1, TWO),
    "recorded.lm": [
        lambda _: (
            gl.generate(gl.recorded.lm(), gl.recorded.lm().encode(gl.recorded.prompts()[0]), max_new_tokens=1).sequences
        )
    ],
    "recorded.compare": [lambda lm: gl.recorded.compare(lm).to_dict("list")],
    "recorded.distribution": [lambda _: gl.recorded.distribution(gl.recorded.prompts()[1])[::997]],
    "recorded.attention": [lambda _: gl.recorded.attention(gl.recorded.prompts()[1])[0, 3]],
    "recorded.scores": [lambda _: gl.recorded.scores(gl.recorded.prompts()[1])[0, 3]],
    "scoring.bits_per_byte": [lambda lm: [s.bits_per_byte(lm, PROMPT), s.bits_per_byte(lm, PROMPT, add_bos=False)]],
    "scoring.perplexity": [
        lambda lm: s.perplexity(lm, PROMPT, prompt_length=3),
        lambda lm: s.perplexity(
            lm, [[5, 6, 7], [8, 9, 10]], attention_mask=[[1, 1, 1], [1, 1, 0]], prompt_length=[1, 0]
        ),
        lambda lm: s.perplexity(lm, lm.encode(PROMPT * 3), stride=4, context=9, add_bos=True, per_row=True),
    ],
    "scoring.surprisal": [lambda lm: s.surprisal(lm, PROMPT), lambda lm: s.surprisal(lm.model, **padded(lm))],
    "scoring.token_log_probs": [
        lambda lm: s.token_log_probs(lm, **padded(lm)),
        lambda lm: s.token_log_probs(lm, [[5, 6]]),
    ],
    "speculative.PromptLookup": [lambda lm: speculated(lm, PromptLookup())],
    "speculative.Reader": [read_twice],
    "speculative.early_exit": [of_blocks],
    "speculative.judge": [
        lambda _: m.judge(
            [0, 1], ROWS.softmax(-1).repeat(2, 1)[:3], ROWS.flip(1).softmax(-1), lambda w: int(w.argmax())
        )
    ],
    "speculative.overlap": [lambda _: m.overlap(ROWS.softmax(-1), ROWS.flip(1).softmax(-1))],
    "speculative.residual": [lambda _: m.residual(ROWS.softmax(-1), ROWS.flip(1).softmax(-1))],
    "speculative.speculate": [
        lambda lm: speculated(lm, gl.speculative.early_exit(lm, 2)),
        lambda lm: speculated(
            lm, lm.model, use_cache=False, do_sample=True, temperature=0.8, top_p=0.9, generator=seeded()
        ),
        lambda lm: seeded_globally(lambda: speculated(lm, PromptLookup(1), do_sample=True, top_k=40)),
    ],
    "toy.ToyModel": [toy_in_parts],
    "toy.random_toy": [toy_in_parts],
    "training.loss_of": [losses],
    "training.optimizers": [losses],
    "tuning.sweep": [swept],
    "widgets": [
        lambda lm: gl.widgets.AttentionExplorer(lm, PROMPT).view.value,
        lambda lm: gl.widgets.BeamTree(lm, PROMPT, max_new_tokens=3).view.value,
        lambda lm: gl.widgets.CumulativeCut(lm, PROMPT).view.value,
        lambda lm: gl.widgets.LoopMicroscope(lm, repetitions=2).view.value,
        lambda lm: gl.widgets.NextTokenBench(lm, PROMPT).view.value,
        lambda lm: gl.widgets.SamplerBench(lm, PROMPT, new_tokens=3).view.value,
        lambda lm: gl.widgets.SpeculationViewer(lm, {"lookup": PromptLookup()}, PROMPT, new=4).view.value,
        lambda lm: gl.widgets.StrategyComparer(lm, new_tokens=3).view.value,
        lambda lm: gl.widgets.SurprisalPainter(lm, PROMPT).view.value,
        lambda lm: gl.widgets.TokenExplorer().view.value,
        lambda lm: (
            gl.widgets.TraceViewer(lm, gl.generate(lm, lm.encode(PROMPT), max_new_tokens=3, trace=True)).view.value
        ),
        lambda lm: TrainingWatcher({1: lm.scratch}, [3.0], lm, PROMPT, new_tokens=3).view.value,
    ],
}
# numbers, texts, tables and files (those of tuning are used with its sweep)
WITHOUT_TENSORS = {
    *(
        "bpe.apply_merges",
        "bpe.count_pairs",
        "bpe.learn",
        "bpe.merge",
        "corpus.authors_of",
        "corpus.demand_new_authors",
        "country.kinds",
        "country.question",
        "country.tell",
    ),
    *(
        "gpt2.Link",
        "gpt2.check_architecture",
        "human.Passage",
        "human.passages",
        "human.translations",
        "metrics.student_interval",
    ),
    "training.Validation",
    *("baselines.Counts", "baselines.bits_per_byte", "baselines.compressed"),
    *("bpe.BPE", "bpe.Merge", "corpus.Batches", "corpus.Book", "corpus.books", "corpus.encode", "corpus.encode_parts"),
    *(
        "gpt2.GPT2Config",
        "metrics.bootstrap_interval",
        "metrics.cohen_kappa",
        "metrics.fleiss_kappa",
        "metrics.kappa_interval",
        "metrics.permutation_test",
    ),
    *("metrics.reference_texts", "metrics.wilson_interval", "recorded.Text", "recorded.metrics", "recorded.prompts"),
    *("models.gpt2_tokenizer", "recorded.texts", "recorded.tuning", "speculative.expected_speedup"),
    *("speculative.expected_tokens", "training.Progress", "training.Recipe", "tuning.gaps"),
    *("tuning.SearchSpace", "tuning.compare", "tuning.describe", "tuning.summarize"),
}
# their tensors are those of a function that is held, or of the caller
CONTAINERS = {"beam.BeamResult", "recorded.RecordedLanguageModel", "speculative.Round", "speculative.Speculated"}
CONTAINERS |= {f"gpt2.{part}" for part in ("Attention", "Block", "KeyValueCache", "MLP")}
# the default device is where PyTorch makes new weights, and where its AdamW counts its steps
BY_DEFAULT = {"models.load", "training.run"}
BY_DEFAULT |= {f"make_mini.{name}" for name in ("curve", "finish", "measure", "say", "sizes", "table", "train")}
# the checks call the learner's functions, which make their tensors by default; so they do the same
LEFT_OUT = {"checks", "plots", "widgets"}


def public_names():
    """What a module defines, or, if it is a room, what it offers; functions and classes, not the toys ready made."""
    for name in sorted(set(gl._MODULES) - LEFT_OUT):
        module = getattr(gl, name)
        for attribute in getattr(module, "__all__", vars(module)):
            value = getattr(module, attribute)
            own = getattr(value, "__module__", "") == module.__name__ or hasattr(module, "__all__")
            if own and not attribute.startswith("_") and callable(value) and not isinstance(value, gl.toy.ToyModel):
                yield f"{name}.{attribute}"


def test_every_public_function_is_held_or_named():
    named = set(HELD) | WITHOUT_TENSORS | CONTAINERS | BY_DEFAULT | LEFT_OUT
    public = set(public_names()) | LEFT_OUT
    assert public - named == set(), "hold them here with an example"
    assert named - public == set(), "these are gone"


def plain(value):
    """The value as lists, numbers and texts, so that two can be compared."""
    if isinstance(value, torch.Tensor):
        assert value.device.type == "cpu", "made on the default device, not where the model is"
        return [str(value.dtype), value.tolist()]
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize(
    "use", [pytest.param(use, id=f"{name}-{n}") for name, uses in HELD.items() for n, use in enumerate(uses)]
)
def test_the_default_device_does_not_matter(mini, use):
    wanted = plain(use(mini))
    with torch.device("meta"):
        found = plain(use(mini))
    np.testing.assert_equal(found, wanted)


def test_this_would_notice():
    with torch.device("meta"), pytest.raises(AssertionError, match="made on the default device"):
        plain([torch.zeros(2)])


def test_pictures_make_no_tensors():
    """Every figure takes tensors through `plots.style.numbers`, which brings them to the processor."""
    for path in sorted((PACKAGE / "plots").glob("*.py")):
        source = path.read_text("utf8")
        assert not re.search(r"^\s*(import|from) torch", source, re.M), path.name
        assert path.name == "style.py" or ".detach(" not in source, path.name


def test_what_becomes_numpy_is_brought_to_the_processor_first():
    for path in PACKAGE.rglob("*.py"):
        for line in path.read_text("utf8").splitlines():
            assert ".numpy()" not in line or ".cpu()" in line, f"{path.name}: {line.strip()}"
