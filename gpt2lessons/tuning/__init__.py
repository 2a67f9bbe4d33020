"""Which sampling setting is best, asked soundly: a batched sweep with replicates, intervals, held-out prompts."""

from gpt2lessons.tuning.compare import compare, gaps, summarize
from gpt2lessons.tuning.space import OFF, SearchSpace, describe
from gpt2lessons.tuning.sweep import OBJECTIVES, sweep

__all__ = ["OBJECTIVES", "OFF", "SearchSpace", "compare", "describe", "gaps", "summarize", "sweep"]
