"""The sweep against single runs, interrupts at every place, and the intervals against their formulas."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch

import gpt2lessons as gl
from gpt2lessons.metrics import student_interval
from gpt2lessons.tuning import SearchSpace, compare, gaps, summarize, sweep

SPACE = {"temperature": [0.5, 1.0], "top_k": [None, 5], "top_p": [0.8, 0.95]}
SMALL = {"samples_per_setting": 3, "max_new_tokens": 6, "batch_size": 10, "progress": False}
PROMPTS = ["Once upon a time", "The king"]


@pytest.fixture(scope="module")
def table(mini):
    return sweep(mini, SearchSpace(**SPACE), PROMPTS, **SMALL)


def test_grid_is_every_combination_in_order():
    settings = SearchSpace(top_k=[None, 5], temperature=[0.7, 1.0]).grid()
    assert [(s["top_k"], s["temperature"]) for s in settings] == [(None, 0.7), (None, 1.0), (5, 0.7), (5, 1.0)]


def test_random_points_stay_in_range_and_repeat_with_the_seed():
    space = SearchSpace(temperature=(0.5, 2.0), top_k=(1, 3), top_p=[0.9, None], min_p=(0.1, 0.2))
    points = space.sample(300, seed=4)
    assert points == space.sample(300, seed=4) != space.sample(300, seed=5)
    assert {p["top_k"] for p in points} == {1, 2, 3}
    assert {p["top_p"] for p in points} == {0.9, None}
    assert all(0.5 <= p["temperature"] <= 2 and 0.1 <= p["min_p"] <= 0.2 for p in points)
    # on a log scale half of the temperatures lie below 1, on a linear one a third
    assert 0.4 < np.mean([p["temperature"] < 1 for p in points]) < 0.6


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"temperature": 0.7, "top_k": 25, "top_p": 0.8}, "k 25, p 0.8, T 0.7"),
        ({"temperature": 1.0, "top_k": 0, "top_p": 1.0}, "no filter"),
        ({"top_k": None, "min_p": 0.05}, "min-p 0.05"),
        ({"top_k": math.nan, "repetition_penalty": 1.2, "temperature": 2}, "penalty 1.2, T 2"),
    ],
)
def test_a_setting_in_short(setting, text):
    assert gl.tuning.describe(setting) == text


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "at least one of"),
        ({"beams": [1]}, "beams cannot be searched"),
        ({"top_p": []}, "give a list of values"),
        ({"top_p": 0.9}, "give a list of values"),
        ({"top_p": [1.5]}, "top_p=1.5 is not allowed"),
        ({"temperature": [0]}, "do_sample=False"),
        ({"temperature": [None]}, "temperature=None is not allowed"),
        ({"top_k": [-1]}, "top_k=-1 is not allowed"),
        ({"top_p": (0.9, 0.1)}, "is not a range"),
    ],
)
def test_impossible_spaces_say_what_is_allowed(values, message):
    with pytest.raises((ValueError, TypeError), match=message):
        SearchSpace(**values)


def test_a_range_has_no_grid():
    with pytest.raises(ValueError, match="range and has no grid"):
        SearchSpace(top_p=(0.8, 0.9)).grid()


def test_table_has_one_row_per_setting_prompt_and_sample(table):
    places = list(table[["prompt", "sample", "setting"]].itertuples(index=False, name=None))
    assert sorted(places) == [(p, s, k) for p in range(2) for s in range(3) for k in range(8)]
    assert table.attrs["complete"]
    assert set(table["top_k"]) == {None, 5}


def test_each_row_is_what_its_setting_alone_would_write(mini, table):
    """Row r of the first batch equals row r of a batch in which every row has r's setting."""
    stream = int(np.random.SeedSequence([0, 0]).generate_state(1)[0])
    ids = mini.encode(PROMPTS[0]).expand(10, -1)
    for r, row in table.head(10).iterrows():
        alone = gl.generate(
            mini,
            ids,
            max_new_tokens=6,
            do_sample=True,
            temperature=row.temperature,
            top_k=row.top_k,
            top_p=row.top_p,
            generator=torch.Generator().manual_seed(stream),
        )
        assert row.text == mini.decode(alone.new_tokens[r])


def test_prompts_of_different_length_share_a_batch_and_come_out_as_alone(mini):
    """The padding on the left is invisible: rows of a mixed batch equal those of a batch of that prompt only."""
    prompts = [PROMPTS[1], PROMPTS[0] + " there was a queen who"]
    arguments = {"samples_per_setting": 2, "max_new_tokens": 8, "progress": False}
    mixed = sweep(mini, [{"top_k": 5}, {"top_p": 0.9}], prompts, batch_size=8, **arguments)
    stream = int(np.random.SeedSequence([0, 0]).generate_state(1)[0])
    for r, row in mixed.iterrows():
        alone = gl.generate(
            mini,
            mini.encode(prompts[row.prompt]).expand(8, -1),
            max_new_tokens=8,
            do_sample=True,
            top_k=row.top_k,
            top_p=row.top_p,
            generator=torch.Generator().manual_seed(stream),
        )
        assert row.text == mini.decode(alone.new_tokens[r])
        assert math.isclose(row.perplexity, math.exp(-alone.log_probs[r].mean()), rel_tol=1e-4)


def test_perplexity_is_that_of_the_continuation_alone(mini):
    # the text is kept so short that decoding and encoding it again gives the same ids
    rows = sweep(mini, [{"top_k": 3}], PROMPTS, samples_per_setting=4, max_new_tokens=3, progress=False)
    checked = 0
    for row in rows.itertuples():
        prompt = mini.encode(PROMPTS[row.prompt])
        whole = mini.encode(PROMPTS[row.prompt] + row.text)
        if whole.shape[1] == prompt.shape[1] + 3:
            expected = gl.perplexity(mini, whole, prompt_length=prompt.shape[1])
            assert math.isclose(row.perplexity, expected, rel_tol=1e-4)
            checked += 1
    assert checked >= 4


def test_other_objectives_and_their_numbers(mini):
    def first_token(tokens, log_probs):
        return tokens[0]

    rows = sweep(
        mini,
        [{"top_k": 1}],
        PROMPTS[:1],
        samples_per_setting=1,
        max_new_tokens=2,
        objectives={"first": first_token},
        progress=False,
    )
    assert rows["first"].tolist() == [mini.model(mini.encode(PROMPTS[0])).logits[0, -1].argmax().item()]


@pytest.mark.parametrize(
    ("tokens", "distinct", "repeated"), [([1, 2, 3, 4], 1.0, 0.0), ([1, 2, 1, 2], 2 / 3, 0.5), ([7], 1.0, 0.0)]
)
def test_diversity_objectives_by_hand(tokens, distinct, repeated):
    from gpt2lessons.tuning import OBJECTIVES

    assert OBJECTIVES["distinct_2"](tokens, None) == distinct
    assert OBJECTIVES["repetition"](tokens, None) == repeated


class Interrupting:
    """An objective that interrupts at its n-th call, as a learner does."""

    def __init__(self, n):
        self.left = n

    def __call__(self, tokens, log_probs):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return float(len(tokens))


def same(a, b):
    pd.testing.assert_frame_equal(a, b)


@pytest.mark.parametrize("call", [1, 11, 47])
def test_an_interrupt_loses_no_finished_batch_and_changes_nothing(mini, capsys, call):
    arguments = {**SMALL, "objectives": {"count": Interrupting(10**9)}}
    full = sweep(mini, SearchSpace(**SPACE), PROMPTS, **arguments)
    part = sweep(mini, SearchSpace(**SPACE), PROMPTS, **{**arguments, "objectives": {"count": Interrupting(call)}})
    assert not part.attrs["complete"]
    assert len(part) == {1: 0, 11: 10, 47: 40}[call]  # batches of 10; the third holds rows of both prompts
    assert f"{len(part)} of 48 texts are kept" in capsys.readouterr().out
    rest = sweep(mini, SearchSpace(**SPACE), PROMPTS, **arguments, resume=part)
    assert rest.attrs["complete"]
    same(rest, full)


def test_a_checkpoint_survives_a_torn_last_line(mini, tmp_path, table):
    file = tmp_path / "sweep.jsonl"
    sweep(mini, SearchSpace(**SPACE), PROMPTS, **SMALL, checkpoint=file)
    lines = file.read_text("utf8").splitlines()
    file.write_text("\n".join([*lines[:3], lines[3][:40]]), "utf8")
    again = sweep(mini, SearchSpace(**SPACE), PROMPTS, **SMALL, checkpoint=file)
    same(again, table)
    third = sweep(mini, SearchSpace(**SPACE), PROMPTS, **SMALL, checkpoint=file)
    same(third, table)


def test_numbers_of_numpys_are_numbers(mini, tmp_path):
    space = {"top_k": [1, 7], "top_p": [0.5, 1.0]}
    numpys = {"top_k": list(np.array([1, 7])), "top_p": list(np.array([0.5, 1.0], dtype=np.float32))}
    arguments = {"max_new_tokens": 2, "progress": False, "checkpoint": tmp_path / "sweep.jsonl"}
    plain = sweep(mini, SearchSpace(**space), ["Once"], samples_per_setting=1, seed=3, **arguments)
    kept = arguments["checkpoint"].read_text("utf8")
    again = sweep(mini, SearchSpace(**numpys), ["Once"], samples_per_setting=np.int64(1), seed=np.int64(3), **arguments)
    assert again["text"].tolist() == plain["text"].tolist()
    assert arguments["checkpoint"].read_text("utf8") == kept, "it is the same sweep: nothing is written anew"


def test_another_sweeps_rows_are_refused(mini, tmp_path, table):
    with pytest.raises(ValueError, match="belongs to another sweep"):
        sweep(mini, SearchSpace(**SPACE), PROMPTS, **SMALL, seed=1, resume=table)
    file = tmp_path / "other.jsonl"
    file.write_text(json.dumps("other") + "\n", "utf8")
    with pytest.raises(ValueError, match=r"other\.jsonl belongs to another sweep"):
        sweep(mini, SearchSpace(**SPACE), PROMPTS, **SMALL, checkpoint=file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": "Once"}, "in brackets"),
        ({"prompts": []}, "at least one"),
        ({"prompts": ["a", ""]}, "none of them empty"),
        ({"space": []}, "no setting to try"),
        ({"space": [{"top_p": 2}]}, "top_p=2 is not allowed"),
        ({"samples_per_setting": 0}, "samples_per_setting=0"),
        ({"objectives": ("beauty",)}, "no objective 'beauty'"),
    ],
)
def test_bad_input_says_what_to_do(mini, change, message):
    arguments = {"space": [{"top_p": 0.9}], "prompts": ["Once"], "samples_per_setting": 1, "max_new_tokens": 1} | change
    space, prompts = arguments.pop("space"), arguments.pop("prompts")
    with pytest.raises(ValueError, match=message):
        sweep(mini, space, prompts, **arguments)


def test_summary_is_mean_and_interval_per_setting(table):
    summary = summarize(table)
    assert summary["texts"].tolist() == [6] * 8
    group = table[table["setting"] == 3]
    assert math.isclose(summary["perplexity"][3], math.exp(np.log(group["perplexity"]).mean()))
    assert math.isclose(summary["distinct_2"][3], group["distinct_2"].mean())
    assert (summary["perplexity_low"] < summary["perplexity"]).all()
    assert (summary["perplexity"] < summary["perplexity_high"]).all()
    assert summary.equals(summarize(table))


def test_comparison_is_paired_by_prompt():
    """Prompts differ by 10, settings by exactly 1: unpaired the interval would be wide, paired it is a point."""
    rows = [(s, p, i, 10.0 * p + s) for s in (0, 1) for p in range(5) for i in range(2)]
    table = pd.DataFrame(rows, columns=["setting", "prompt", "sample", "score"])
    assert compare(table, 1, 0, objective="score") == (1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="no setting 7"):
        compare(table, 7, 0, objective="score")
    ratio = table.assign(perplexity=2.0 ** table["score"])
    assert math.isclose(compare(ratio, 1, 0, objective="perplexity")[0], math.log(2))


def hand_made(scores):
    """A table of one text per (setting, prompt); `scores` (settings, prompts)."""
    rows = [(s, p, 0, value) for s, row in enumerate(scores) for p, value in enumerate(row)]
    table = pd.DataFrame(rows, columns=["setting", "prompt", "sample", "score"])
    table.attrs["objectives"] = ["score"]
    return table


def test_gaps_are_signed_means_over_units_with_students_interval():
    table = hand_made([[3.0, 5.0, 8.0], [8.0, 10.0, 12.0]])
    got = gaps(table, [5, 7, 9], objective="score")
    assert got["gap"].tolist() == [-5 / 3, 3]
    low, high = student_interval([-2, -2, -1])
    assert (got["low"][0], got["high"][0]) == (low, high)
    assert (got["low"][1], got["high"][1]) == (3, 3)  # each prompt exactly 3 above
    perplexities = table.assign(perplexity=2.0 ** table["score"])
    assert np.allclose(gaps(perplexities, [2**5, 2**7, 2**9])["gap"], [-5 / 3 * math.log(2), 3 * math.log(2)])


def test_gaps_of_opposite_sign_cancel_and_the_interval_says_so():
    got = gaps(hand_made([[4.0, 8.0, 4.0, 8.0]]), [6, 6, 6, 6], objective="score")
    assert got["gap"][0] == 0
    assert got["low"][0] < -2
    assert got["high"][0] > 2


@pytest.mark.parametrize("target", [[1.0], [1.0, 2.0, 3.0], 1.0])
def test_gaps_refuse_a_target_of_another_length(target):
    with pytest.raises(ValueError, match="one number for each of the 2 prompts"):
        gaps(hand_made([[1.0, 2.0]]), target, objective="score")


def test_prompts_of_one_group_count_once():
    """Two prompts of book "a" at 0 and 2, ten of book "b" at 5: two units, 1 and 5."""
    scores = [0.0, 2.0, *[5.0] * 10]
    table, books = hand_made([scores, [2 * s for s in scores]]), [*"aa", *"b" * 10]
    summary = summarize(table, over=books)
    assert summary["score"].tolist() == [3, 6]
    assert (summary["score_low"][0], summary["score_high"][0]) == student_interval([1, 5])
    assert gaps(table, [0] * 12, objective="score", over=books)["gap"].tolist() == [3, 6]
    assert compare(table, 1, 0, objective="score", over=books) == (3, *student_interval([1, 5]))
    with pytest.raises(ValueError, match="over has 2 groups"):
        summarize(table, over=["a", "b"])
    with pytest.raises(ValueError, match="no pairs"):
        compare(table, 1, 0, objective="score", over="texts")


def test_an_interval_over_prompts_counts_each_prompt_once():
    """Two prompts far apart, a hundred equal texts each: over texts it looks certain, over prompts it cannot."""
    rows = [(0, p, i, 10.0 * p) for p in range(2) for i in range(100)]
    table = pd.DataFrame(rows, columns=["setting", "prompt", "sample", "score"])
    table.attrs["objectives"] = ["score"]
    texts, prompts = summarize(table), summarize(table, over="prompts")
    assert texts["score"][0] == prompts["score"][0] == 5
    assert texts["score_low"][0] > 4
    assert (prompts["score_low"][0], prompts["score_high"][0]) == student_interval([0, 10])
    with pytest.raises(ValueError, match="'texts', 'prompts'"):
        summarize(table, over="words")


def test_the_interval_of_a_share_stays_a_share():
    table = hand_made([[1.0, 1.0, 0.9]]).rename(columns={"score": "distinct_2"})
    table.attrs["objectives"] = ["distinct_2"]
    summary = summarize(table)
    assert student_interval([1.0, 1.0, 0.9])[1] > 1
    assert summary["distinct_2_high"][0] == 1


def test_gaps_over_groups_hold_the_truth_as_often_as_they_say():
    """Books differ (sd 1), passages of a book too (sd 1): 400 studies of 5 books with 4 passages each."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(400, 5, 1)) + rng.normal(size=(400, 5, 4))
    books = [book for book in "abcde" for _ in range(4)]
    table = hand_made(scores.reshape(400, 20).tolist())
    held = {}
    for over in (books, "prompts"):
        got = gaps(table, [0] * 20, objective="score", over=over)
        held[str(over)] = ((got["low"] < 0) & (got["high"] > 0)).mean()
    assert 0.92 < held[str(books)] < 0.98
    assert held["prompts"] < 0.85  # passages taken for independent: far too narrow


def test_the_speed_section_counts_the_texts_of_both_sides(mini):
    from gpt2lessons.workshop import speed

    arguments = {"samples_per_setting": 1, "max_new_tokens": 2, "loop_settings": 3, "turns": 1}
    sweep_rate, loop_rate, ratio = speed.texts_per_second(mini, **arguments)
    assert sweep_rate > 0
    assert math.isclose(ratio, sweep_rate / loop_rate)
    assert len(speed.loop(mini, SearchSpace(top_k=[1, 2]).grid(), "Once", 2)) == 2
