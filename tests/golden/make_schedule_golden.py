#!/usr/bin/env python3
"""Writes the lists that PyTorch's own schedule generators make, which tests/runtime/schedule_golden_test.cpp must equal.

Needs PyTorch 2.6 or later (Debian 12 has 1.13):
    python3 -m venv /tmp/torch && /tmp/torch/bin/pip install torch && /tmp/torch/bin/python tests/golden/make_schedule_golden.py
A schedule object is made without its constructor, which wants process groups and modules; its generator needs sizes alone.
"""

import json
import pathlib
import platform

import torch
from torch.distributed.pipelining import schedules

# (ranks, chunks, microbatches)
LOOPED = [(1, 1, 1), (1, 2, 3), (2, 1, 4), (2, 2, 4), (2, 3, 6), (3, 2, 2), (4, 2, 3), (4, 2, 8), (4, 2, 10), (4, 3, 12),
          (5, 2, 4), (8, 2, 16), (8, 4, 8)]
IN_A_V = [(1, 2, 1), (1, 2, 5), (2, 2, 1), (2, 2, 4), (2, 2, 7), (3, 2, 5), (3, 2, 6), (4, 2, 3), (4, 2, 8), (4, 2, 13),
          (6, 2, 12), (8, 2, 16), (8, 2, 20)]


def bare(kind, ranks, chunks, microbatches):
    """A schedule object with no more than its generator reads."""
    made = kind.__new__(kind)
    made.pp_group_size = ranks
    made.n_local_stages = chunks
    made.num_stages = made._num_stages = ranks * chunks
    made._n_microbatches = microbatches
    made.number_of_rounds = max(1, microbatches // ranks)
    made.microbatches_per_round = microbatches // made.number_of_rounds
    return made


def gpipe(ranks, chunks, microbatches):
    """ScheduleGPipe runs a loop rather than a list; _get_pipeline_order states that list. (Schedule1F1B has one, too, but
    in PyTorch 2.15 it names forward passes that do not exist.)"""
    return bare(schedules.ScheduleGPipe, ranks, chunks, microbatches)._get_pipeline_order()


def by_rank(kind):
    def generate(ranks, chunks, microbatches):
        made = bare(kind, ranks, chunks, microbatches)
        return {rank: made._calculate_single_rank_operations(rank) for rank in range(ranks)}

    return generate


def cases():
    for sizes in [(1, 1, 1), (1, 1, 4), (2, 1, 1), (2, 1, 4), (4, 1, 3), (4, 1, 8), (8, 1, 16)]:
        yield "gpipe", gpipe, sizes
    for sizes in LOOPED:
        yield "interleaved-1f1b", by_rank(schedules.ScheduleInterleaved1F1B), sizes
        yield "interleaved-zb", by_rank(schedules.ScheduleInterleavedZeroBubble), sizes
    for sizes in IN_A_V:
        yield "zb-v", by_rank(schedules.ScheduleZBVZeroBubble), sizes
    for sizes in IN_A_V:
        if sizes[2] >= 2 * sizes[0]:  # PyTorch's rule, too
            yield "dualpipev", by_rank(schedules.ScheduleDualPipeV), sizes


def main():
    lists = []
    for name, generate, (ranks, chunks, microbatches) in cases():
        order = generate(ranks, chunks, microbatches)
        # Empty cells say when PyTorch expects a rank to idle; a list that waits for its inputs needs none.
        rows = [",".join(str(action) for action in order[rank] if action is not None) for rank in range(ranks)]
        lists.append({"schedule": name, "ranks": ranks, "chunks": chunks, "microbatches": microbatches, "rows": rows})
    golden = {"made_by": "tests/golden/make_schedule_golden.py",
              "versions": {"torch": torch.__version__, "python": platform.python_version()},
              "lists": lists}
    path = pathlib.Path(__file__).with_name("schedules_torch.json")
    path.write_text(json.dumps(golden, indent=1) + "\n")
    print(f"{path}: {len(lists)} schedules")


if __name__ == "__main__":
    main()
