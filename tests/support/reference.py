"""What transformers says of a continuation."""

import torch


@torch.inference_mode()
def logits(model, prompt):
    """Return the logits of every position, [T, V] float32 on the CPU."""
    return model(torch.tensor([prompt], device=model.device)).logits[0].float().cpu()


def greedy_along(model, prompt, tokens):
    """Return the model's greedy choice after the prompt and after each of `tokens` but the last, and the gaps.

    If the choices are the tokens, then so is what the model generates greedily by itself: each token follows from
    those before it. One forward pass instead of one for every token.

    Returns:
        The choices, and for each how far the runner-up's logit is below.
    """
    best = logits(model, [*prompt, *tokens[:-1]])[len(prompt) - 1 :].topk(2)
    return best.indices[:, 0].tolist(), (best.values[:, 0] - best.values[:, 1]).tolist()
