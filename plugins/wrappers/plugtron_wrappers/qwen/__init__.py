"""Qwen's mixtures of experts."""
