"""Our GPT-2 against transformers': logits, intermediates, cache, padding; and what it says about bad input."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from transformers import GPT2Config as TheirConfig
from transformers import GPT2LMHeadModel

from gpt2lessons.gpt2 import GPT2, GPT2Config, KeyValueCache

SHAPES = [(1, 1, 8), (2, 2, 8), (3, 4, 32), (2, 3, 48)]  # n_layer, n_head, n_embd
BOUND = 1e-4


def pair(seed=0, n_layer=2, n_head=2, n_embd=16, **changes):
    """A small transformers GPT-2 with weights large enough that every part matters, and ours."""
    torch.manual_seed(seed)
    sizes = {"vocab_size": 37, "n_positions": 24, "n_layer": n_layer, "n_head": n_head, "n_embd": n_embd}
    theirs = GPT2LMHeadModel(TheirConfig(**sizes, **changes)).eval()
    theirs.set_attn_implementation("eager")
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            parameter.normal_(1.0 if "ln_" in name and name.endswith("weight") else 0.0, 0.3)
    return theirs, GPT2.from_transformers(theirs)


def some_ids(rows, columns, seed=0, vocab_size=37):
    return torch.randint(vocab_size, (rows, columns), generator=torch.Generator().manual_seed(seed))


def left_padded(seed=0, lengths=(7, 3, 5), width=9):
    mask = torch.stack([torch.arange(width) >= width - n for n in lengths]).long()
    return some_ids(len(lengths), width, seed), mask


@torch.no_grad()
def logits_of(theirs, ids, mask=None):
    extra = {}
    if mask is not None:
        extra = {"attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}
    return theirs(ids, **extra).logits


def gap(ours, theirs):
    return (ours - theirs).abs().max().item()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n_layer", "n_head", "n_embd"), SHAPES)
def test_logits_equal_transformers(seed, n_layer, n_head, n_embd):
    theirs, ours = pair(seed, n_layer, n_head, n_embd)
    for rows, columns in ((1, 1), (1, 24), (4, 9)):
        ids = some_ids(rows, columns, seed)
        expected = logits_of(theirs, ids)
        assert expected.std() > 0.3, "the models must say something for the comparison to mean something"
        assert gap(ours(ids), expected) < BOUND
        assert gap(ours(ids, record={}), expected) < BOUND
        assert gap(ours(ids, last_only=True), expected[:, -1:]) < BOUND


def test_logits_equal_transformers_for_the_bundled_model(mini):
    ids = mini.encode("I am a large language model. Once upon a time there was a king")
    assert gap(mini.scratch(ids), logits_of(mini.model, ids)) < BOUND


@pytest.mark.parametrize("seed", range(4))
def test_left_padding_equals_transformers_and_each_text_alone(seed):
    theirs, ours = pair(seed)
    ids, mask = left_padded(seed)
    expected, real = logits_of(theirs, ids, mask), mask.bool()
    for record in (None, {}):
        got = ours(ids, attention_mask=mask, record=record)
        assert got.isfinite().all(), "padding must not turn into nan"
        assert gap(got[real], expected[real]) < BOUND
    for row in range(len(ids)):
        alone = ours(ids[row : row + 1, real[row]])
        assert gap(ours(ids, attention_mask=mask)[row, real[row]], alone[0]) < BOUND
    assert gap(ours(ids)[real], expected[real]) > 0.1, "without the mask the padding shows"


def test_what_the_padding_holds_changes_nothing():
    _, ours = pair()
    ids, mask = left_padded()
    other = torch.where(mask.bool(), ids, 36 - ids)
    changed = ours(other, attention_mask=mask)[mask.bool()]
    assert torch.equal(changed, ours(ids, attention_mask=mask)[mask.bool()])


@pytest.mark.parametrize("pieces", [(1,) * 9, (4, 5), (6, 1, 1, 1), (1, 8), (9,), (3, 3, 3)])
@pytest.mark.parametrize("padded", [False, True])
def test_cache_gives_the_same_logits_in_any_pieces(pieces, padded):
    _, ours = pair(seed=1)
    ids, mask = left_padded()
    if not padded:
        mask = None
    cache, parts, recorded = ours.new_cache(3, 12), [], []
    twin = ours.new_cache(3, 9)
    for size in pieces:
        start = cache.length
        seen = None if mask is None else mask[:, : start + size]
        piece = ids[:, start : start + size]
        parts.append(ours(piece, attention_mask=seen, cache=cache))
        recorded.append(ours(piece, attention_mask=seen, cache=twin, record={}))
    expected = ours(ids, attention_mask=mask)
    assert cache.length == twin.length == 9
    assert gap(torch.cat(parts, 1), expected) < 1e-5
    assert gap(torch.cat(recorded, 1), expected) < 1e-5


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_cache_and_padding_for_any_lengths(data):
    theirs, ours = pair(seed=2, n_layer=1)
    lengths = data.draw(st.lists(st.integers(1, 8), min_size=1, max_size=4))
    ids, mask = left_padded(data.draw(st.integers(0, 99)), lengths, max(lengths) + data.draw(st.integers(0, 2)))
    cut = data.draw(st.integers(1, ids.shape[1]))
    cache = ours.new_cache(len(ids), ids.shape[1])
    parts = [ours(ids[:, :cut], attention_mask=mask[:, :cut], cache=cache)]
    if cut < ids.shape[1]:
        parts.append(ours(ids[:, cut:], attention_mask=mask, cache=cache))
    real = mask.bool()
    assert gap(torch.cat(parts, 1)[real], logits_of(theirs, ids, mask)[real]) < BOUND


@pytest.mark.parametrize("rows", [[2, 0, 1], [1, 1, 1], [0], [2, 2, 0, 0, 1]])
def test_cache_select_moves_whole_histories(rows):
    _, ours = pair()
    ids, rows = some_ids(3, 6), torch.tensor(rows)
    cache = ours.new_cache(3, 8)
    ours(ids[:, :5], cache=cache)
    cache.select(rows)
    assert cache.batch_size == len(rows)
    got = ours(ids[rows, 5:], cache=cache)
    assert gap(got, ours(ids[rows])[:, -1:]) < 1e-5
    assert cache.length == 6


def test_cache_works_in_inference_mode():
    _, ours = pair()
    with torch.inference_mode():
        cache = ours.new_cache(1, 4)
        ours(some_ids(1, 3), cache=cache)
        cache.select(torch.tensor([0]))
        assert ours(some_ids(1, 1), cache=cache).shape == (1, 1, 37)


def test_record_holds_every_intermediate_in_order():
    theirs, ours = pair(n_layer=2)
    ids, record = some_ids(2, 5), {}
    logits = ours(ids, record=record)
    with torch.no_grad():
        expected = theirs(ids, output_hidden_states=True, output_attentions=True)
    assert gap(record["embeddings"], expected.hidden_states[0]) < 1e-6
    assert gap(record["h.0.out"], expected.hidden_states[1]) < 1e-5
    assert gap(record["ln_f"], expected.hidden_states[2]) < 1e-5
    for layer in range(2):
        assert gap(record[f"h.{layer}.attn.pattern"], expected.attentions[layer]) < 1e-6
    assert record["logits"] is logits
    block = ["ln_1", "attn.q", "attn.k", "attn.v", "attn.scores", "attn.pattern", "attn.heads", "attn.out", "mid"]
    block += ["ln_2", "mlp.c_fc", "mlp.gelu", "mlp.out", "out"]
    layers = [f"h.{i}.{name}" for i in range(2) for name in block]
    assert list(record) == ["wte", "wpe", "embeddings", *layers, "ln_f", "logits"]


def test_record_adds_up():
    _, ours = pair(n_layer=1)
    record = {}
    ours(some_ids(1, 6), record=record)
    assert torch.equal(record["embeddings"], record["wte"] + record["wpe"])
    assert torch.equal(record["h.0.mid"], record["embeddings"] + record["h.0.attn.out"])
    assert torch.equal(record["h.0.out"], record["h.0.mid"] + record["h.0.mlp.out"])
    visible = torch.ones(6, 6).tril().bool()
    scores = record["h.0.attn.scores"].masked_fill(~visible, -math.inf)
    assert gap(record["h.0.attn.pattern"], scores.softmax(-1)) < 1e-6
    assert (record["h.0.attn.pattern"][..., ~visible] == 0).all()


def test_attention_by_hand():
    """One head on two positions with weights that can be followed on paper."""
    ours = GPT2(GPT2Config(vocab_size=2, n_positions=2, n_embd=2, n_layer=1, n_head=1))
    attention = ours.h[0].attn
    with torch.no_grad():
        attention.c_attn.weight.copy_(torch.eye(2).repeat(3, 1))  # q = k = v = x
        attention.c_proj.weight.copy_(torch.eye(2))
        x = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
        out = attention(x, ours._mask(None, 0, 2), None, 0, {})
    # second position: scores 0 / sqrt 2 and 4 / sqrt 2, so weights 1 : e^(2 sqrt 2)
    share = math.exp(2 * math.sqrt(2)) / (1 + math.exp(2 * math.sqrt(2)))
    assert gap(out, torch.tensor([[[1.0, 0.0], [1 - share, 2 * share]]])) < 1e-6


def test_a_future_token_moves_no_earlier_logits():
    _, ours = pair()
    ids = some_ids(1, 8)
    other = ids.clone()
    other[0, 5] = (ids[0, 5] + 1) % 37
    difference = (ours(ids) - ours(other)).abs().amax(-1)[0]
    assert (difference[:5] == 0).all()
    assert (difference[5:] > 1e-3).all()


def test_every_tensor_of_the_checkpoint_is_copied_once():
    theirs, ours = pair(n_layer=2)
    names = {name.removeprefix("transformer.") for name, _ in theirs.named_parameters()}
    assert {name for name, _ in ours.named_parameters()} == names
    for name, weight in theirs.named_parameters():
        mine = ours.get_parameter(name.removeprefix("transformer."))
        conv = weight.dim() == 2 and name.split(".")[-2] in ("c_attn", "c_fc", "c_proj")
        assert torch.equal(mine, weight.t() if conv else weight)
        assert mine.data_ptr() != weight.data_ptr(), "a copy, not a view: training ours must not change theirs"
        before = theirs(some_ids(1, 4)).logits
        with torch.no_grad():
            kept = weight.clone()
            weight += torch.randn(weight.shape)  # a constant would vanish in the LayerNorms
            assert gap(GPT2.from_transformers(theirs)(some_ids(1, 4)), before) > 1e-4, f"{name} is not used"
            weight.copy_(kept)
    assert sum(p.numel() for p in ours.parameters()) == theirs.num_parameters()


def test_copies_keep_dtype_and_need_no_gradient():
    theirs, _ = pair()
    ours = GPT2.from_transformers(theirs.double())
    assert {p.dtype for p in ours.parameters()} == {torch.float64}
    assert not any(p.requires_grad for p in ours.parameters())
    assert ours.new_cache(1, 2).kv.dtype == torch.float64
    assert gap(ours(some_ids(2, 9)), logits_of(theirs, some_ids(2, 9))) < 1e-12


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda m: m.transformer.h[1].register_parameter("extra", torch.nn.Parameter(torch.ones(1))), "h.1.extra unkn"),
        (lambda m: delattr(m.transformer.h[0].mlp.c_fc, "bias"), "h.0.mlp.c_fc.bias missing"),
        (lambda m: delattr(m.transformer, "wpe"), "wpe.weight missing"),
        (
            lambda m: setattr(m.transformer.wpe, "weight", torch.nn.Parameter(torch.ones(25, 16))),
            r"wpe.weight should be \(24, 16\).* is \(25, 16\)",
        ),
        (
            lambda m: setattr(m.transformer.h[0].attn.c_attn, "weight", torch.nn.Parameter(torch.ones(48, 16))),
            r"c_attn.weight should be \(48, 16\).* is \(16, 48\)",
        ),
    ],
)
def test_damaged_checkpoint_is_named(damage, message):
    theirs, _ = pair()
    damage(theirs)
    with pytest.raises(ValueError, match=message):
        GPT2.from_transformers(theirs)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("activation_function", "relu"),
        ("n_inner", 10),
        ("scale_attn_weights", False),
        ("scale_attn_by_inverse_layer_idx", True),
    ],
)
def test_another_architecture_is_refused(setting, value):
    theirs = GPT2LMHeadModel(TheirConfig(vocab_size=5, n_embd=4, n_head=2, n_layer=1, **{setting: value}))
    with pytest.raises(ValueError, match=f"{setting}={value!r} is another architecture"):
        GPT2.from_transformers(theirs)


def test_an_untied_head_is_refused():
    config = TheirConfig(vocab_size=5, n_embd=4, n_head=2, n_layer=1, tie_word_embeddings=False)
    with pytest.raises(ValueError, match=r"lm_head\.weight unknown"):
        GPT2.from_transformers(GPT2LMHeadModel(config))


def test_published_parameter_counts():
    with torch.device("meta"):
        small, medium = GPT2(GPT2Config()), GPT2(GPT2Config(n_embd=1024, n_layer=24, n_head=16))
    assert sum(p.numel() for p in small.parameters()) == 124_439_808
    assert sum(p.numel() for p in medium.parameters()) == 354_823_168


def test_it_starts_as_gpt2_does_and_learns():
    torch.manual_seed(0)
    ours = GPT2(GPT2Config(vocab_size=11, n_positions=16, n_embd=32, n_layer=2, n_head=4))
    ids = torch.arange(12).remainder(5).expand(4, -1)
    first = F.cross_entropy(ours(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    assert abs(first.item() - math.log(11)) < 0.1, "an untrained model should find all tokens about equally likely"
    assert abs(ours.h[0].mlp.c_proj.weight.std().item() / (0.02 / 2) - 1) < 0.1
    optimizer = torch.optim.AdamW(ours.parameters(), lr=1e-2)
    for _ in range(40):
        loss = F.cross_entropy(ours(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1 * first
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in ours.parameters())


def test_gradients_equal_transformers():
    theirs, ours = pair()
    ids = some_ids(2, 9)
    ours.requires_grad_(True)
    for logits in (theirs(ids).logits, ours(ids)):
        F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    assert gap(ours.wte.weight.grad, theirs.transformer.wte.weight.grad) < 1e-5
    assert gap(ours.h[0].attn.c_attn.weight.grad, theirs.transformer.h[0].attn.c_attn.weight.grad.t()) < 1e-5


def test_padding_does_not_use_up_positions():
    _, ours = pair()
    ids, mask = some_ids(1, 26), torch.ones(1, 26, dtype=torch.long)
    mask[:, :2] = 0  # 26 columns, 24 tokens: as many as there are positions
    assert gap(ours(ids, attention_mask=mask)[:, 2:], ours(ids[:, 2:])) < 1e-5


BAD = [
    (lambda m: m(some_ids(1, 25)), ValueError, "25 tokens, but this model has 24 positions: keep its last"),
    (lambda m: m(some_ids(1, 25), attention_mask=torch.ones(1, 25).long()), ValueError, "25 tokens, but .* 24 pos"),
    (lambda m: m(torch.tensor([1, 2])), ValueError, r"be \(B, T\), T at least 1, not \(2,\); one text: ids\[None\]"),
    (
        lambda m: m(torch.tensor([[1]], device="meta")),
        ValueError,
        r"on meta, the weights on cpu: input_ids.to\('cpu'\)",
    ),
    (lambda m: m(torch.ones(1, 0).long()), ValueError, r"T at least 1, not \(1, 0\)"),
    (lambda m: m(torch.ones(1, 2)), TypeError, "whole numbers .* not torch.float32"),
    (lambda m: m(torch.ones(1, 2).bool()), TypeError, "whole numbers .* not torch.bool"),
    (lambda m: m(torch.tensor([[1, 37]])), ValueError, "ids run from 1 to 37, but this model knows 0 to 36"),
    (lambda m: m(torch.tensor([[-1, 3]])), ValueError, "ids run from -1 to 3, but"),
    (lambda m: m([[1, 2]]), TypeError, r"input_ids should be a tensor .* not list"),
    (lambda m: m(some_ids(2, 3), attention_mask=torch.ones(2, 2).long()), ValueError, r"be \(2, 3\) .* not \(2, 2\)"),
    (lambda m: m(some_ids(1, 3), attention_mask=torch.zeros(1, 3)), ValueError, "1 token, 0 padding.* torch.float32"),
    (lambda m: m(some_ids(2, 3), cache=m.new_cache(1, 9)), ValueError, "1 rows and 9 columns, but 2 and 3"),
    (lambda m: m(some_ids(1, 5), cache=m.new_cache(1, 4)), ValueError, "1 rows and 4 columns, but 1 and 5"),
    (lambda m: m.new_cache(0, 4), ValueError, "batch_size and max_length should be at least 1, not 0 and 4"),
    (lambda m: GPT2Config(n_embd=10, n_head=3), ValueError, "n_embd=10 cannot be shared out evenly among n_head=3"),
    (lambda m: GPT2Config(n_layer=0), ValueError, "every size must be at least 1"),
]


@pytest.mark.parametrize(("act", "error", "message"), BAD)
def test_bad_input_says_what_to_do(act, error, message):
    _, ours = pair()
    with pytest.raises(error, match=message):
        act(ours)


def test_a_refused_call_leaves_the_cache_as_it_was():
    _, ours = pair()
    cache = ours.new_cache(1, 4)
    ours(some_ids(1, 3), cache=cache)
    with pytest.raises(ValueError, match="the cache has room"):
        ours(some_ids(1, 2), cache=cache)
    assert cache.length == 3
    assert isinstance(cache, KeyValueCache)
    assert gap(ours(some_ids(1, 4)[:, 3:], cache=cache), ours(some_ids(1, 4))[:, -1:]) < 1e-5
