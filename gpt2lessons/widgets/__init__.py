"""The interactive twins of the plots: one class per widget, each with a picture for readers who cannot run it."""

import importlib

_CLASSES = {
    "TokenExplorer": "token_explorer",
    "AttentionExplorer": "attention_explorer",
    "ModelDownloader": "model_downloader",
    "NextTokenBench": "next_token_bench",
    "LoopMicroscope": "loop_microscope",
    "BeamTree": "beam_tree",
    "CumulativeCut": "cumulative_cut",
    "SamplerBench": "sampler_bench",
    "TraceViewer": "trace_viewer",
    "StrategyComparer": "strategy_comparer",
    "SurprisalPainter": "surprisal_painter",
    "TuningExplorer": "tuning_explorer",
    "BlindStudy": "blind_study",
    "OverlapViewer": "overlap_viewer",
    "TrainingWatcher": "training_watcher",
    "SpeculationViewer": "speculation_viewer",
}
__all__ = list(_CLASSES)


def __getattr__(name):
    if name in _CLASSES:
        return getattr(importlib.import_module(f"{__name__}.{_CLASSES[name]}"), name)
    raise AttributeError(f"gpt2lessons.widgets has no {name!r}; it has: {', '.join(__all__)}")
