"""Whether an error's words are torch's own: the user reads a sentence of ours in their place."""

from __future__ import annotations


def is_torchs(error: Exception) -> bool:
    """Whether torch wrote the message: its compiled operations, or its Python code."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    module = frame.tb_frame.f_globals.get("__name__", "") if frame is not None else ""
    return type(error) is RuntimeError or module.partition(".")[0] == "torch"
