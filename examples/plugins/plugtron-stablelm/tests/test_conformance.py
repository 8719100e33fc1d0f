"""What every family has to keep to: in every execution, over ranks, with quantized weights, beside transformers."""

import torch
from transformers import StableLmConfig, StableLmForCausalLM

from plugtron.testing import NativeWrapperChecks

SIZES = {"vocab_size": 256, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}


class TestStableLM(NativeWrapperChecks):
    plugin = "plugtron_stablelm"
    component = "stablelm"

    @classmethod
    def write(cls, folder):
        torch.manual_seed(0)
        config = StableLmConfig(
            **SIZES, num_attention_heads=4, num_key_value_heads=2, use_qkv_bias=True, eos_token_id=None
        )
        model = StableLmForCausalLM(config)
        for name, parameter in model.named_parameters():
            is_norm = "norm" in name and name.endswith("weight")
            torch.nn.init.normal_(parameter, mean=1.0 if is_norm else 0.0, std=0.2)
        model.save_pretrained(folder)
        return folder

    @classmethod
    @torch.inference_mode()
    def expected(cls, path, prompt, count):
        model, tokens = StableLmForCausalLM.from_pretrained(path).eval(), list(prompt)
        for _ in range(count):
            tokens.append(int(model(torch.tensor([tokens])).logits[0, -1].argmax()))
        return tokens[len(prompt) :]
