"""Training written out: losses row by row, without padding, and plain gradient descent over recorded steps.

An independent account of what a run must have done: it shares the tokens with TRL, and nothing else.
"""

import json

import torch
import torch.nn.functional as F


def log_probabilities(model, prompt, answer, max_length=1024):
    """Of each token after the first, and which of them are the answer's."""
    ids = (prompt + answer)[:max_length]
    logits = model(torch.tensor([ids])).logits[0, :-1]
    logs = logits.log_softmax(-1)[range(len(ids) - 1), ids[1:]]
    return logs, torch.arange(1, len(ids)) >= len(prompt)


def answers(model, row, max_length=1024):
    """Summed log-probability of chosen and of rejected, (2,)."""
    sums = []
    for answer in ("chosen_ids", "rejected_ids"):
        logs, own = log_probabilities(model, row["prompt_ids"], row[answer], max_length)
        sums.append(logs[own].sum())
    return torch.stack(sums)


def dpo(model, batch, beta=0.1):
    """Rafailov et al. 2023, equation 7: the mean over rows, with their reference log-probabilities."""
    losses = []
    for row in batch:
        chosen, rejected = answers(model, row)
        ratio = chosen - row["ref_chosen_logps"] - (rejected - row["ref_rejected_logps"])
        losses.append(-F.logsigmoid(beta * ratio))
    return torch.stack(losses).mean()


def orpo(model, batch, beta=0.1):
    """Hong et al. 2024, equations 6 and 7; the likelihood of prompt and chosen is a mean over tokens."""
    nll = []
    for row in batch:
        logs, _ = log_probabilities(model, row["chosen_input_ids"], [])
        nll.append(-logs)
    odds = torch.stack([log_odds(model, row) for row in batch])
    return torch.cat(nll).mean() - beta * F.logsigmoid(odds).mean()


def log_odds(model, row):
    """The logarithm of the odds ratio of chosen and rejected, by mean log-probabilities (equation 4)."""
    logits = []
    for answer in ("chosen", "rejected"):
        ids = row[f"{answer}_input_ids"]
        own = sum(label == -100 for label in row[f"{answer}_labels"])
        logs, of_answer = log_probabilities(model, ids[:own], ids[own:])
        mean = logs[of_answer].mean()
        logits.append(mean - torch.log(-torch.expm1(mean)))
    return logits[0] - logits[1]


def read_record(folder):
    """Lines of every process's record, as lists."""
    return [
        [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for path in sorted(folder.glob("process-*.jsonl"))
    ]


def rows_of(line):
    """(concept, language) of each row of a recorded batch."""
    return [(concept, tag) for concept, tags in line["concepts"].items() for tag in tags]


def descend(model, rows, record, loss, rate):
    """Take the recorded steps, each down the mean of its micro-batches' losses, weighed by their rows."""
    found = {(row["concept_id"], row["language"]): row for row in rows}
    steps = {}
    for line in (line for lines in record for line in lines):
        steps.setdefault(line["step"], []).append([found[key] for key in rows_of(line)])
    weights = list(model.parameters())
    for _, batches in sorted(steps.items()):
        total = sum(map(len, batches))
        value = sum(loss(model, batch) * len(batch) / total for batch in batches)
        for weight, slope in zip(weights, torch.autograd.grad(value, weights), strict=True):
            weight.data -= rate * slope
    return model
