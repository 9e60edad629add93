"""Evaluation: how often a model is right. `scenes` judges it on synthetic scenes whose truth is known."""
