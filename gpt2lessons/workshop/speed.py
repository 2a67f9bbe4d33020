"""How many texts per second a sweep writes and scores, beside one `generate` per setting: a section of the bench."""

import statistics
import time

import torch

from gpt2lessons.tuning.space import SearchSpace
from gpt2lessons.tuning.sweep import sweep

GRID = {"top_k": [0, 25, 50], "top_p": [0.8, 0.9, 0.95], "temperature": [0.7, 0.8, 1.0]}


def loop(lm, settings, prompt, max_new_tokens):
    """Write one text for each setting with transformers and score it by `labels=`, one after another."""
    ids = lm.encode(prompt)
    scores = []
    for setting in settings:
        text = lm.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_new_tokens, do_sample=True, pad_token_id=0,
            **setting,
        )  # fmt: skip
        with torch.no_grad():
            scores.append(lm.model(text, labels=text).loss.exp().item())
    return scores


def texts_per_second(lm, *, samples_per_setting, max_new_tokens, loop_settings=27, turns=3, prompt="Once upon a time"):
    """Return (the sweep's, the loop's, median of the turns' ratios); the loop takes the first few of 27 settings."""
    settings = SearchSpace(**GRID).grid()
    arguments = {"samples_per_setting": samples_per_setting, "max_new_tokens": max_new_tokens, "progress": False}
    few = settings[:: -(-len(settings) // loop_settings)]
    sweep(lm, settings[:2], [prompt], samples_per_setting=1, max_new_tokens=2, progress=False)
    loop(lm, settings[:1], prompt, 2)
    ours, theirs = [], []
    for _ in range(turns):
        start = time.perf_counter()
        written = len(sweep(lm, settings, [prompt], **arguments))
        middle = time.perf_counter()
        ours.append(written / (middle - start))
        theirs.append(len(loop(lm, few, prompt, max_new_tokens)) / (time.perf_counter() - middle))
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return statistics.median(ours), statistics.median(theirs), ratio
