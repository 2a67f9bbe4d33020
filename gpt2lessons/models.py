"""load(): the bundled gpt2-mini, the GPT-2 family, or any local folder, as a `LanguageModel`."""

import functools
from dataclasses import dataclass
from pathlib import Path

import torch

ASSETS = Path(__file__).parent / "assets"


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A GPT-2 and its tokenizer: `model` (transformers, eval mode), `tokenizer`, `name`, `source`."""

    model: object
    tokenizer: object
    name: str
    source: str

    def encode(self, text):
        """Return the token ids of `text`: LongTensor (1, T)."""
        return torch.tensor([self.tokenizer.encode(text)], dtype=torch.long)

    def decode(self, ids):
        """Return the text of `ids`: any sequence or tensor of token ids, one row."""
        return self.tokenizer.decode(torch.as_tensor(ids).flatten().tolist())

    @functools.cached_property
    def scratch(self):
        """Our own GPT-2 with the same weights; `scratch(input_ids)` gives logits (B, T, V)."""
        from gpt2lessons.gpt2 import GPT2

        return GPT2.from_transformers(self.model)


def load(name=None):
    """Return a `LanguageModel`. DRAFT: bundled mini or a local folder only."""
    import transformers
    from transformers import GPT2LMHeadModel, GPT2Tokenizer

    transformers.utils.logging.disable_progress_bar()
    folder = ASSETS / "gpt2-mini" if name in (None, "gpt2-mini") else Path(name)
    tokenizer = GPT2Tokenizer.from_pretrained(str(folder))
    model = GPT2LMHeadModel.from_pretrained(str(folder), dtype=torch.float32).eval()
    model.loss_type = "ForCausalLM"
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    model.config.pad_token_id = model.generation_config.pad_token_id = tokenizer.eos_token_id
    lm = LanguageModel(model, tokenizer, folder.name, str(folder))
    print(f"{lm.name}: {model.num_parameters():,} parameters")
    return lm
