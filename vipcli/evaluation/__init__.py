"""Judging a model: an exam on synthetic scenes."""
