"""The model of the web pages, `assets/site/gpt2.js`, under Node: the same numbers and the same texts as in Python."""

import json
import random
import shutil
import subprocess

import pytest
import torch

import gpt2lessons as gl
from gpt2lessons.checksums import ASSETS, MINI
from gpt2lessons.decoding import processors

SCRIPT = ASSETS / "site" / "gpt2.js"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("node") is None, reason="needs Node 18 or newer: nodejs of your system"),
]
PROMPTS = [
    *("Once upon a time", "The king said", "It was a dark night, and", "“Who are you?” said the", "In the garden"),
    *(
        "The",
        "She looked at him and",
        "There was once a poor woman who had",
        "Far away in the north",
        "At last the boy",
    ),
    *(
        "It is a truth that",
        "The sea was calm",
        "His hat",
        "My dear Watson",
        "When the moon rose",
        "Nobody knew",
        "“No,",
    ),
    *("The ship was three days out when", "Alice was", "And then"),
]
SETTINGS = [
    {},
    {"temperature": 0.7},
    {"top_k": 50},
    {"top_p": 0.9},
    {"min_p": 0.05},
    {"temperature": 1.5, "top_k": 200, "top_p": 0.95, "min_p": 0.01},
]
HARD = [
    "it's we'll I'D",
    "  two  spaces\n\n\tand\ttabs ",
    "naïve café — “quotes” …",
    "日本語とкириллица",
    "👩‍👩‍👧 🏳️‍🌈 é é",
]
HARD += [
    "a\x00b\x1fc\x85d\u2028e\ufefff\u3000g",
    "<|endoftext|>",
    "x<|endoftext|><|endoftext|> y",
    "1234567890 ½ ² ٣",
    " ",
    "\n",
]


@pytest.fixture(scope="module")
def lm():
    return gl.load("gpt2-mini")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Return a function that runs JavaScript with the page's model (G, model, tokenizer, given); it returns JSON."""
    folder = tmp_path_factory.mktemp("page")

    def page(given, source):
        (folder / "given.json").write_text(json.dumps(given), "utf8")
        start = f"""
            import fs from "node:fs";
            import * as G from {json.dumps(SCRIPT.as_uri())};
            const read = (name) => fs.readFileSync({json.dumps(str(MINI))} + "/" + name);
            const weights = new Uint8Array(read("model.safetensors")).buffer;
            const model = new G.GPT2(JSON.parse(read("config.json")), G.readSafetensors(weights));
            const tokenizer = new G.Tokenizer(JSON.parse(read("vocab.json")), read("merges.txt").toString());
            const given = JSON.parse(fs.readFileSync({json.dumps(str(folder / "given.json"))}));
        """
        (folder / "run.mjs").write_text(f"{start}\nconsole.log(JSON.stringify((() => {{ {source} }})()));", "utf8")
        done = subprocess.run(["node", str(folder / "run.mjs")], capture_output=True, text=True, encoding="utf8")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return page


def hard_strings(count):
    """Strings of signs that a tokenizer may trip over, and words of all lengths."""
    shuffle = random.Random(7)
    signs = [
        "'s",
        "'LL",
        " ",
        "  ",
        "\n",
        "\t",
        "é",
        "e\u0301",
        "–",
        "…",
        "日",
        "д",
        "👍🏽",
        "\u00a0",
        "\u200d",
        "\x85",
        "\ufeff",
        "\x1c",
    ]
    words = [
        "the",
        "Once",
        "kingdom",
        "hippopotamus",
        "42",
        "007",
        "x-ray",
        "don't",
        "WE'RE",
        "...",
        "?!",
        "<|endoftext|>",
        "<|endof",
        "Ġ",
        "Ċ",
    ]
    made = ["".join(shuffle.choices(signs + words, k=shuffle.randint(1, 12))) for _ in range(count - len(HARD))]
    return HARD + made


def test_a_thousand_hard_strings_have_the_same_ids_and_come_back(page, lm):
    strings = hard_strings(1000)
    found = page(
        strings, "return given.map((text) => [tokenizer.encode(text), tokenizer.decode(tokenizer.encode(text))])"
    )
    assert len(strings) == 1000
    for text, (ids, back) in zip(strings, found, strict=True):
        assert ids == lm.encode(text)[0].tolist(), repr(text)
        assert back == text


def test_the_logits_agree(page, lm):
    texts = [*PROMPTS, f"{PROMPTS[0]} {' '.join(PROMPTS)}"]
    found = page(texts, "return given.map((t) => [...model.read(tokenizer.encode(t), new G.Cache())])")
    for text, logits in zip(texts, found, strict=True):
        torch.testing.assert_close(
            torch.tensor(logits, dtype=torch.float64),
            lm.scratch(lm.encode(text))[0, -1].detach(),
            rtol=0,
            atol=1e-9,  # both add up in 64 bits; what is promised is 1e-3
        )


def test_greedy_texts_of_a_hundred_tokens_are_equal(page, lm):
    found = page(
        PROMPTS,
        """const write = (text) => G.generate(model, tokenizer.encode(text), {max_new_tokens: 100});
           return given.map((text) => [...write(text)].map((step) => step.token))""",
    )
    assert len(PROMPTS) == 20
    for prompt, tokens in zip(PROMPTS, found, strict=True):
        assert tokens == gl.generate(lm, lm.encode(prompt), max_new_tokens=100).new_tokens[0].tolist(), prompt


def test_the_kept_tokens_are_equal(page, lm):
    cases = [[prompt, settings] for prompt in PROMPTS for settings in SETTINGS]
    found = page(
        cases,
        """return given.map(([text, settings]) => {
             const scores = G.pipeline(model.read(tokenizer.encode(text), new G.Cache()), settings).at(-1)[1];
             return [...scores.keys()].filter((id) => scores[id] > -Infinity);
           })""",
    )
    for (prompt, settings), kept in zip(cases, found, strict=True):
        scores = lm.scratch(lm.encode(prompt))[:, -1].detach()
        for name in processors.SETTINGS:
            if name in settings:
                scores = processors.SETTINGS[name].apply(scores, None, settings[name])
        assert kept == scores[0].isfinite().nonzero()[:, 0].tolist(), (prompt, settings)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_same_seed_writes_the_same_text(page, lm, settings):
    cases = [[prompt, seed] for seed, prompt in enumerate(PROMPTS[:6])] + [[PROMPTS[0], 2**32 - 1]]
    found = page(
        [cases, settings],
        """const [cases, settings] = given;
           return cases.map(([text, seed]) => [
             ...G.generate(model, tokenizer.encode(text), {max_new_tokens: 40, do_sample: true, seed, ...settings}),
           ].map((s) => s.token))""",
    )
    for (prompt, seed), tokens in zip(cases, found, strict=True):
        generator = torch.Generator().manual_seed(seed)
        ours = gl.generate(lm, lm.encode(prompt), max_new_tokens=40, do_sample=True, generator=generator, **settings)
        assert tokens == ours.new_tokens[0].tolist(), (prompt, seed)


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 2.0])
def test_beam_search_finds_the_same_texts(page, lm, length_penalty):
    end = lm.encode(".").item()  # as an end that is often reached
    options = {"num_beams": 4, "max_new_tokens": 12, "length_penalty": length_penalty, "end": end}
    found = page(
        [PROMPTS[:6], options],
        """const [prompts, options] = given;
           return prompts.map((t) => G.beamSearch(model, tokenizer.encode(t), options).finished
             .map(({ path, score }) => [path, score]))""",
    )
    options["eos_token_id"] = options.pop("end")
    for prompt, finished in zip(PROMPTS, found, strict=False):
        ours = gl.beam_search(lm, lm.encode(prompt), num_return_sequences=4, **options).hypotheses
        assert [path for path, _ in finished] == [h.new_ids.tolist() for h in ours], prompt
        assert [score for _, score in finished] == pytest.approx([h.score for h in ours], abs=1e-9)


def test_attention_is_that_of_the_model(page, lm):
    text = PROMPTS[0]
    found = page(
        text,
        """const patterns = [];
           model.read(tokenizer.encode(given), new G.Cache(), patterns);
           return patterns.map((layers) => layers.map((heads) => heads.map((weights) => [...weights])))""",
    )
    record = {}
    lm.scratch(lm.encode(text), record=record)
    for layer in range(lm.model.config.n_layer):
        pattern = record[f"h.{layer}.attn.pattern"][0].detach()
        for position, layers in enumerate(found):
            torch.testing.assert_close(
                torch.tensor(layers[layer], dtype=torch.float64),
                pattern[:, position, : position + 1],
                rtol=0,
                atol=1e-9,
            )


def test_bad_input_gets_a_sentence(page):
    message = "try { return model.read(given, new G.Cache()) } catch (error) { return error.message }"
    assert page([], message) == "there is no token to read: give at least one."
    assert page([9999], message) == "the model has the token ids 0 to 8448, not 9999."
    assert page([0] * 513, message) == "513 tokens are more than the 512 positions of the model."


def test_the_module_is_short_and_needs_nothing():
    source = SCRIPT.read_text("utf8")
    assert len(source.splitlines()) <= 400
    assert "import " not in source
    assert "http" not in source
