#!/usr/bin/python3
"""Trains four stages twice: once in peace, once with stages that are killed on the way. Compares the weights, and draws loss and
throughput of both runs over time, with the recoveries marked. docs/faults.md tells how it works, docs/chaos.md what else can be done
to a run.

Usage: examples/kill_stages.py [TROUPE [PICTURE]]     PICTURE ends in .svg or .png (default: recoveries.svg)
Needs python3-matplotlib. Exit code 77: cannot run here, which is said on stderr."""

import json
import pathlib
import subprocess
import sys
import tempfile

try:
    import matplotlib
except ImportError:
    print("examples/kill_stages.py: found no Python module matplotlib, expected Debian's python3-matplotlib", file=sys.stderr)
    sys.exit(77)
matplotlib.use("agg")  # no window
matplotlib.rcParams["svg.hashsalt"] = "troupe"  # the same file from the same data
from matplotlib import pyplot

RUN = """--layers 6 --width 64 --heads 4 --seq 64 --stages 4 --microbatches 8 --microbatch-size 2 --steps 120 --lr 3e-3
         --validation-fraction 0 --snapshot-every 4 --quiet""".split()
# One rank, two at once, all of them.
CHAOS = "+".join(f"kill:rank={rank},step={step}" for rank, step in [(1, 30), (0, 60), (2, 60), (0, 90), (1, 90), (2, 90), (3, 90)])


def train(troupe, scratch, name, flags):
    """The report of a run, and its trace."""
    report, trace = scratch / f"{name}.json", scratch / f"{name}.trace.json"
    command = [troupe, "train", "--data", scratch / "text", *RUN, *flags, "--report", report, "--trace", trace]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return json.loads(report.read_text()), json.loads(trace.read_text())


def ends_of_steps(trace):
    """When each step's last action ended, in seconds from the first action on."""
    actions = [event for event in trace if event.get("args", {}).get("mode") == "train"]
    begin = min(event["ts"] for event in actions)
    ends = {}
    for event in actions:
        step = event["args"]["step"]
        ends[step] = max(ends.get(step, 0.0), (event["ts"] + event["dur"] - begin) / 1e6)
    return begin, [ends[step] for step in sorted(ends)]


def draw(axes, report, trace, colour, label):
    begin, ends = ends_of_steps(trace)
    training = report["spec"]["training"]
    tokens = training["microbatches"] * training["microbatch_size"] * report["spec"]["model"]["sequence_length"]
    rates = [tokens / (end - before) for before, end in zip([0.0] + ends, ends)]
    axes[0].plot(ends, report["losses"], color=colour, label=label, linewidth=1.2)
    axes[1].plot(ends, rates, color=colour, label=label, linewidth=1.2, drawstyle="steps-pre")
    return begin


def mark_recoveries(axes, trace, begin):
    """A line where ranks died, and whose they were."""
    dead = {}  # by step
    for event in trace:
        if event["name"] == "recovery":
            dead.setdefault(event["args"]["step"], []).append(((event["ts"] - begin) / 1e6, event["tid"]))
    for deaths in dead.values():
        moment = min(when for when, _ in deaths)
        ranks = sorted({rank for _, rank in deaths})
        for one in axes:
            one.axvline(moment, color="tab:red", linewidth=0.8, linestyle="--")
        label = f"rank {ranks[0]} killed" if len(ranks) == 1 else f"ranks {', '.join(map(str, ranks))} killed"
        axes[0].annotate(label, (moment, 1.0), xycoords=("data", "axes fraction"), xytext=(3, -4),
                         textcoords="offset points", va="top", fontsize=8, color="tab:red")


def main():
    troupe = str(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build/release/troupe").resolve())
    picture = sys.argv[2] if len(sys.argv) > 2 else "recoveries.svg"
    with tempfile.TemporaryDirectory() as directory:
        scratch = pathlib.Path(directory)
        licenses = sorted(path for path in pathlib.Path("/usr/share/common-licenses").iterdir() if path.is_file())
        (scratch / "text").write_bytes(b"".join(path.read_bytes() for path in licenses))
        calm, calm_trace = train(troupe, scratch, "calm", [])
        print(f"--chaos {CHAOS}")
        struck, struck_trace = train(troupe, scratch, "struck", ["--chaos", CHAOS])
    for recovery in struck["recoveries"]:
        print(f"step {recovery['step']}: {recovery['cause']}; lived again after {recovery['resumed_ms'] or 0:.1f} ms, "
              f"{recovery['replayed_microbatches']} microbatches replayed")

    figure, axes = pyplot.subplots(2, 1, sharex=True, figsize=(9, 5.5), constrained_layout=True)
    draw(axes, calm, calm_trace, "tab:gray", "in peace")
    begin = draw(axes, struck, struck_trace, "tab:blue", "with ranks killed")
    mark_recoveries(axes, struck_trace, begin)
    axes[0].set_ylabel("loss (nats per target)")
    axes[1].set_ylabel("tokens/s")
    axes[1].set_xlabel("seconds")
    axes[1].set_ylim(bottom=0)
    axes[1].legend(loc="lower right", fontsize=8)
    figure.savefig(picture, metadata={"Date": None} if picture.endswith(".svg") else {})
    print(f"{len(struck['recoveries'])} recoveries; {picture} shows them")

    for what in ("weights_sha256", "optimizer_sha256", "losses"):
        if struck[what] != calm[what]:
            sys.exit(f"examples/kill_stages.py: {what}: found another one after the recoveries, expected that of the run in peace")
    print(f"weights_sha256 of both runs: {calm['weights_sha256']}")


if __name__ == "__main__":
    main()
