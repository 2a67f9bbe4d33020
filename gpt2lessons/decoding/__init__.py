"""How a next-token distribution becomes a text: filters, the decoding loop, beam search, speculation.

May import: `adapters`, and `gpt2` for drafts. Begin with `processors` (logits in, logits out), then `generation`.
"""
