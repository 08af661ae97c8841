#!/usr/bin/python3
"""Trains a small GPT-2 with plain PyTorch and writes what tests/model/torch_golden_test.cpp must reproduce.

Debian's PyTorch is enough:  apt-get install python3-torch && /usr/bin/python3 tests/golden/make_gpt_golden.py
Weights and tokens follow stated integer formulas (see `fraction` and `tokens_of`), which the C++ test computes again.
"""

import json
import math
import pathlib
import platform

import torch
from torch import nn
from torch.nn import functional as F

LAYERS, WIDTH, HEADS, SEQUENCE, VOCABULARY = 2, 32, 4, 16, 256
MICROBATCHES, SEQUENCES = 2, 2
STEPS, LEARNING_RATE, BETA1, BETA2, EPSILON, WEIGHT_DECAY, CLIP = 20, 1e-3, 0.9, 0.95, 1e-8, 0.1, 2.4
WEIGHT_RANGE = 0.3  # elements start in [-WEIGHT_RANGE, WEIGHT_RANGE), around 1 for LayerNorm weights and else around 0


class Conv1D(nn.Module):
    """A linear layer whose weight is stored [in, out], as GPT-2's checkpoints have it."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.empty(outputs))

    def forward(self, x):
        return x @ self.weight + self.bias


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.c_attn = Conv1D(WIDTH, 3 * WIDTH)
        self.c_proj = Conv1D(WIDTH, WIDTH)

    def forward(self, x):
        batch, time, _ = x.shape
        q, k, v = (part.view(batch, time, HEADS, WIDTH // HEADS).transpose(1, 2) for part in self.c_attn(x).split(WIDTH, dim=2))
        scores = (q @ k.transpose(2, 3)) / math.sqrt(WIDTH // HEADS)
        future = torch.ones(time, time, dtype=torch.bool).triu(1)
        weights = torch.softmax(scores.masked_fill(future, -math.inf), dim=3)
        return self.c_proj((weights @ v).transpose(1, 2).reshape(batch, time, WIDTH))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.c_fc = Conv1D(WIDTH, 4 * WIDTH)
        self.c_proj = Conv1D(4 * WIDTH, WIDTH)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1 = nn.LayerNorm(WIDTH, eps=1e-5)
        self.attn = Attention()
        self.ln_2 = nn.LayerNorm(WIDTH, eps=1e-5)
        self.mlp = Mlp()

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Gpt(nn.Module):
    def __init__(self, tied):
        super().__init__()
        self.wte = nn.Embedding(VOCABULARY, WIDTH)
        self.wpe = nn.Embedding(SEQUENCE, WIDTH)
        self.h = nn.ModuleList(Block() for _ in range(LAYERS))
        self.ln_f = nn.LayerNorm(WIDTH, eps=1e-5)
        self.lm_head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        if tied:
            self.lm_head.weight = self.wte.weight  # named_parameters() then lists wte.weight alone

    def forward(self, tokens, targets):
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]))
        for block in self.h:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))
        return F.cross_entropy(logits.view(-1, VOCABULARY), targets.reshape(-1))


def fraction(element, parameter):
    """A number in [-1, 1) that any language with 64-bit unsigned integers can compute exactly."""
    mixed = (2654435761 * (element + 1) + 40503 * element * element + 971234567 * (parameter + 1)) % 2**32
    return mixed / 2**31 - 1.0


def start(name, parameter, index):
    base = 1.0 if ".ln_" in "." + name and name.endswith(".weight") else 0.0
    values = [base + WEIGHT_RANGE * fraction(i, index) for i in range(parameter.numel())]
    rounded = torch.tensor(values, dtype=torch.float64).to(torch.float32)  # both precisions start from the same weights
    parameter.data.copy_(rounded.view(parameter.shape))


def tokens_of(step, microbatch):
    """Rows of SEQUENCE + 1 tokens: inputs are all but the last, targets all but the first. Every other step repeats, so
    that the loss falls."""
    return torch.tensor([[(7 * t * t + 31 * t + 17 * microbatch + 101 * (step % 2) + 11 * row) % VOCABULARY
                          for t in range(SEQUENCE + 1)] for row in range(SEQUENCES)])


def train(tied, dtype):
    model = Gpt(tied)
    names = [name for name, _ in model.named_parameters()]
    for index, (name, parameter) in enumerate(model.named_parameters()):
        start(name, parameter, index)
    model.to(dtype)
    decayed = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}],
                                  lr=LEARNING_RATE, betas=(BETA1, BETA2), eps=EPSILON)
    losses, norms = [], []
    for step in range(STEPS):
        optimizer.zero_grad()
        total = 0.0
        for microbatch in range(MICROBATCHES):
            tokens = tokens_of(step, microbatch)
            loss = model(tokens[:, :-1], tokens[:, 1:]) / MICROBATCHES
            loss.backward()
            total += loss.item()
        norm = math.sqrt(sum(p.grad.double().square().sum().item() for p in model.parameters()))
        if norm > CLIP:
            for p in model.parameters():
                p.grad.mul_(CLIP / norm)
        optimizer.step()
        losses.append(total)
        norms.append(norm)
    return names, model, losses, norms


def comparable(name, parameter):
    """The elements that two implementations must agree on, as a list of indices into the flattened parameter.

    All but the biases of keys: they add the same to all scores of a row, which softmax ignores, so their gradient is
    zero but for rounding, and AdamW divides that noise by its own size.
    """
    return [i for i in range(parameter.numel()) if not (name.endswith("c_attn.bias") and WIDTH <= i < 2 * WIDTH)]


def describe(name, parameter):
    flat, indices = parameter.detach().reshape(-1), comparable(name, parameter)
    count = len(indices)
    probed = [indices[i] for i in sorted({0, count // 5, count // 2, count - 2, count - 1})]
    return {"name": name, "shape": list(parameter.shape), "norm": flat[indices].double().norm().item(),
            "probes": [[i, flat[i].item()] for i in probed]}


def variant(tied):
    names, model, losses, norms = train(tied, torch.float32)
    _, _, exact_losses, exact_norms = train(tied, torch.float64)
    parameters = [describe(name, p) for name, p in zip(names, model.parameters())]
    return {"losses": losses, "losses_float64": exact_losses, "gradient_norms": norms,
            "gradient_norms_float64": exact_norms, "parameters": parameters}


def main():
    torch.set_num_threads(1)
    golden = {
        "made_by": "tests/golden/make_gpt_golden.py",
        "versions": {"torch": torch.__version__, "python": platform.python_version(), "platform": platform.platform()},
        "settings": {"layers": LAYERS, "width": WIDTH, "heads": HEADS, "sequence_length": SEQUENCE,
                     "vocabulary": VOCABULARY, "microbatches": MICROBATCHES, "microbatch_size": SEQUENCES,
                     "steps": STEPS, "learning_rate": LEARNING_RATE, "beta1": BETA1, "beta2": BETA2,
                     "epsilon": EPSILON, "weight_decay": WEIGHT_DECAY, "clip": CLIP, "weight_range": WEIGHT_RANGE},
        "untied": variant(tied=False),
        "tied": variant(tied=True),
    }
    path = pathlib.Path(__file__).with_name("gpt_torch.json")
    path.write_text(json.dumps(golden, indent=1) + "\n")
    for name in ("untied", "tied"):
        noise = max(abs(a - b) / b for a, b in zip(golden[name]["losses"], golden[name]["losses_float64"]))
        print(f"{name}: loss {golden[name]['losses'][0]:.6f} -> {golden[name]['losses'][-1]:.6f}, "
              f"gradient norms {min(golden[name]['gradient_norms']):.3f}..{max(golden[name]['gradient_norms']):.3f}, "
              f"largest relative difference to float64 {noise:.2e}")


if __name__ == "__main__":
    main()
