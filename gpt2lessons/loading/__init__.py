"""Where a model comes from: the bundled gpt2-mini, a folder, this machine's cache, the hub.

May import: `checksums` and `gpt2`. Begin with `models` (`load`, `LanguageModel`); `hub` downloads.
"""
