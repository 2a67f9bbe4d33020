"""Which sampling setting is best, asked soundly: a batched sweep with replicates, intervals, held-out prompts."""

from gpt2lessons.tuning.compare import compare, gaps, pareto_front, summarize
from gpt2lessons.tuning.space import OFF, SearchSpace, describe
from gpt2lessons.tuning.sweep import OBJECTIVES, sweep

__all__ = ["OBJECTIVES", "OFF", "SearchSpace", "compare", "describe", "gaps", "pareto_front", "summarize", "sweep"]
