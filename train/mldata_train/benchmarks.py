"""Public multilingual benchmarks and questions of one's own, scored by lm-eval, language by language.

Scoring is lm-eval's; what is here names its tasks by language, says what a score's gap to the anchor is, and
keeps two promises: texts are data, never templates, and no code from the hub runs.
"""

from __future__ import annotations

import contextlib
import copy
import difflib
import functools
import importlib
import logging
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import langcodes
from pydantic import BaseModel, ConfigDict, Field
from rich import box
from rich.table import Table

from mldata.errors import EngineError, InputError
from mldata.languages import canonical
from mldata_train.questions import Question, read_questions

UNDETERMINED = "und"
"""BCP-47 tag of results whose language isn't known: tasks given by lm-eval's own name."""
PROBE_SECONDS = 5.0
"""How long the hub may take to answer before it counts as out of reach. Left to itself, `datasets` retries
for 23 s for each data set, measured where the name doesn't resolve."""
BOOTSTRAPS = 1000
"""Resamples for the standard error of metrics without a formula. lm-eval's own 100 000 take minutes."""
SHOWN = 3
"""Missing data sets that an error names in full."""
PYTHON_SEED, SEED = 0, 1234
"""lm-eval's defaults, of Python's generator and of all others: examples and orders are its command line's."""


@dataclass(frozen=True)
class Family:
    """A benchmark that exists in several languages."""

    tasks: Mapping[str, str]
    """BCP-47 tag -> lm-eval's name of the task or group."""
    metrics: tuple[str, ...] = ("acc",)
    """What is reported, as lm-eval names it: the metric, and after a comma its filter if there is one."""


def _each(template: str, tags: str) -> dict[str, str]:
    return {tag: template.format(tag) for tag in tags.split()}


FAMILIES: dict[str, Family] = {
    # OpenAI's translations have no English part: the questions they were made of are MMLU's test split.
    "mmmlu": Family(
        {
            "en": "mmlu",
            "ar": "mmmlu_ar_xy",
            "bn": "mmmlu_bn_bd",
            "de": "mmmlu_de_de",
            "es-419": "mmmlu_es_la",
            "fr": "mmmlu_fr_fr",
            "hi": "mmmlu_hi_in",
            "id": "mmmlu_id_id",
            "it": "mmmlu_it_it",
            "ja": "mmmlu_ja_jp",
            "ko": "mmmlu_ko_kr",
            "pt-BR": "mmmlu_pt_br",
            "sw": "mmmlu_sw_ke",
            "yo": "mmmlu_yo_ng",
            "zh": "mmmlu_zh_cn",
        }
    ),
    "global_mmlu": Family(
        _each(
            "global_mmlu_full_{}",
            "en am ar bn cs de el es fa fil fr ha he hi id ig it ja ko ky lt mg ms ne nl ny pl pt ro ru si "
            "sn so sr sv sw te tr uk vi yo zh",
        )
    ),
    # The Catalan, Basque and Galician ones are left out: they take the number from the answer in other ways.
    "mgsm": Family(
        _each("mgsm_direct_{}", "en bn de es fr ja ru sw te th zh"), ("exact_match,flexible-extract",)
    ),
    # All of one translation; lambada_openai_mt_* without "stablelm" is another, of fewer languages.
    "lambada": Family(_each("lambada_openai_mt_stablelm_{}", "en de es fr it nl pt")),
    # Catalan, Basque and Galician are later translations of the same pairs.
    "pawsx": Family(_each("paws_{}", "en ca de es eu fr gl ja ko zh")),
    # No English: lm-eval's `copa` asks COPA's validation questions, these ask translations of its test split.
    "xcopa": Family(_each("xcopa_{}", "et eu ht id it qu sw ta th tr vi zh")),
}
LOCAL_METRICS = ("acc", "acc_norm")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class Score(_Model):
    """One metric in one language."""

    value: float
    stderr: float | None = Field(description="standard error; none where lm-eval gives none")
    n: int = Field(description="questions that were scored")


class LanguageResults(_Model):
    """What one language of a family scored."""

    task: str = Field(description="lm-eval's name of the task or group")
    version: str = Field(description="lm-eval's version of the task")
    shots: int = Field(description="examples that precede each question")
    scores: dict[str, Score] = Field(description="metric, as lm-eval names it -> score")


class FamilyResults(_Model):
    """A benchmark in all the languages that were run."""

    anchor: str | None = Field(description="the family's tag for the anchor; none if it lacks it")
    languages: dict[str, LanguageResults]
    lacking: list[str] = Field(description="languages asked for that the family doesn't have")
    gaps: dict[str, float | None] = Field(description="metric -> gap to the anchor; none without one")


class TaskResults(_Model):
    """Scores of one model, by family and language."""

    format_version: Literal[1] = 1
    lm_eval: str = Field(description="lm-eval's version")
    limit: int | None = Field(description="questions a task at most; none: all")
    families: dict[str, FamilyResults]

    def markdown(self) -> str:
        """The scores and gaps as a Markdown table."""
        lines = [_COLUMNS, ("---", "---", "---", "---:", "---:"), *self._rows()]
        cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
        return "\n".join(f"| {' | '.join(line)} |" for line in cells) + "\n"

    def table(self) -> Table:
        """The same for the screen."""
        made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in _COLUMNS:
            made.add_column(name, justify="right" if name in ("value", "n") else "left", overflow="fold")
        for row in self._rows():
            made.add_row(*row)
        return made

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for name, family in self.families.items():
            for tag, language in family.languages.items():
                for metric, score in language.scores.items():
                    error = "" if score.stderr is None else f" ± {score.stderr:.3f}"
                    yield name, tag, metric, f"{score.value:.3f}{error}", str(score.n)
            for metric, value in family.gaps.items():
                if value is not None:
                    yield name, f"gap to {family.anchor}", metric, f"{value:+.3f}", ""


_COLUMNS = ("task", "language", "metric", "value", "n")


def gap(values: Mapping[str, float], anchor: str | None) -> float | None:
    """The anchor's accuracy minus the unweighted mean accuracy of the other languages.

    `values` maps tags to accuracies in [0, 1]; positive means that the anchor is ahead. None where the
    anchor or every other language is missing.
    """
    others = [value for tag, value in values.items() if tag != anchor]
    if anchor is None or anchor not in values or not others:
        return None
    return values[anchor] - sum(others) / len(others)


def _covering(wanted: str, tags: Sequence[str]) -> list[str]:
    """The `tags` meant by `wanted`: itself, else those of its language and script ("es": "es-419")."""
    if wanted in tags:
        return [wanted]
    return [tag for tag in tags if _written(tag) == _written(wanted)]


def _written(tag: str) -> tuple[str | None, str | None]:
    full = langcodes.Language.get(langcodes.standardize_tag(tag, macro=True)).maximize()
    return full.language, full.script


@dataclass(frozen=True)
class _Unit:
    """What is scored at once: one language of a family."""

    family: str
    language: str
    name: str
    metrics: tuple[str, ...] | None
    """None: all that lm-eval gives."""
    questions: tuple[Question, ...] = ()
    """A local file's; none for tasks of lm-eval's own."""


@dataclass(frozen=True)
class _Planned:
    """A family and the part of it that is run."""

    units: list[_Unit]
    anchor: str | None
    lacking: list[str]


def run_tasks(
    model: Any,
    tokenizer: Any,
    tasks: Sequence[str],
    *,
    languages: Sequence[str] | None,
    anchor: str = "en",
    limit: int | None = None,
    batch_size: int = 8,
) -> TaskResults:
    """Score a loaded causal model of transformers (or PEFT) on `tasks` with lm-eval.

    A task is the name of a family in `FAMILIES`, the path of a JSONL file of multiple-choice questions
    (`read_questions`), or any name that lm-eval's registry has. `languages` are BCP-47 tags; None runs all
    that a family has, and the anchor runs in any case. `limit` is the number of questions for each task of
    lm-eval, of which a group as mmmlu has one a subject. The model is on its own device, in its own type,
    and no chat template is applied. The model is left in the mode it came in, the tokenizer and the
    generators of random numbers as they were.

    A local question is put as it is, and each choice scored as its continuation after a blank: `acc` takes
    the likeliest, `acc_norm` the likeliest for its length in characters.

    Raises InputError before anything is scored where a task, a file or data are missing; EngineError where
    lm-eval fails while it scores.
    """
    for name, number in (("limit", limit), ("batch size", batch_size)):
        if number is not None and number < 1:
            raise InputError(f"the {name} is {number}; give 1 or more")
    if not tasks:
        raise InputError(f"no tasks; name some of {' '.join(FAMILIES)}, or a JSONL file of questions")
    wanted = None if languages is None else [canonical(tag) for tag in languages]
    given = {task: _questions_of(task) for task in dict.fromkeys(tasks)}
    lm_eval = _lm_eval()
    planned = {task: _plan(task, questions, wanted, canonical(anchor)) for task, questions in given.items()}
    units = [unit for family in planned.values() for unit in family.units]
    results: dict[str, dict[str, LanguageResults]] = {}
    with _quiet(), _seeded(model), _no_code_from_the_hub() as refused:
        loaded = _load(units, refused)
        was_training = bool(model.training)
        try:
            engine = importlib.import_module("lm_eval.models.huggingface").HFLM(
                # A copy: lm-eval gives a tokenizer without a padding token one.
                pretrained=model,
                tokenizer=copy.deepcopy(tokenizer),
                backend="causal",
                batch_size=batch_size,
            )
            for unit, task in zip(units, loaded, strict=True):
                for name, language in _score(engine, unit, task, limit, refused).items():
                    results.setdefault(name, {})[unit.language] = language
        finally:
            model.train(was_training)
    return TaskResults(
        lm_eval=lm_eval,
        limit=limit,
        families={
            name: _family(found, planned.get(name, _Planned([], None, []))) for name, found in results.items()
        },
    )


def _family(languages: dict[str, LanguageResults], planned: _Planned) -> FamilyResults:
    """A family's scores, the anchor first, with their gaps."""
    order = sorted(languages, key=lambda tag: (tag != planned.anchor, tag))
    metrics = [m for m in languages[order[0]].scores if all(m in languages[tag].scores for tag in order)]
    gaps = {
        metric: gap({tag: languages[tag].scores[metric].value for tag in order}, planned.anchor)
        for metric in (metrics if planned.anchor is not None else ())
    }
    return FamilyResults(
        anchor=planned.anchor,
        languages={tag: languages[tag] for tag in order},
        lacking=planned.lacking,
        gaps=gaps,
    )


def _lm_eval() -> str:
    """lm-eval's version; InputError with the install command where it is missing."""
    try:
        importlib.import_module("lm_eval")
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] != "lm_eval":
            raise
        raise InputError("--tasks needs lm-eval: pip install 'mldata[train,benchmarks]'") from error
    from importlib.metadata import version

    return version("lm_eval")


@functools.cache
def _registry() -> Any:
    """lm-eval's tasks by name. Reading its 14 000 configurations takes some 6 s."""
    return importlib.import_module("lm_eval.tasks").TaskManager()


def _questions_of(task: str) -> dict[str, list[Question]] | None:
    """The questions of a file; None if `task` is a name."""
    return read_questions(Path(task)) if task.endswith(".jsonl") else None


def _plan(
    task: str, questions: dict[str, list[Question]] | None, wanted: Sequence[str] | None, anchor: str
) -> _Planned:
    """The units of one task as the user named it."""
    if questions is not None:
        family = Family({tag: f"{Path(task).stem}_{tag}" for tag in questions}, LOCAL_METRICS)
    elif task in FAMILIES:
        family = FAMILIES[task]
    else:
        _check_name(task)
        return _Planned([_Unit(task, UNDETERMINED, task, None)], None, [])
    tags = list(family.tasks)
    chosen, lacking = set(tags), []
    if wanted is not None:
        lacking = [tag for tag in wanted if not _covering(tag, tags)]
        chosen = {tag for asked in wanted for tag in _covering(asked, tags)}
        if not chosen:
            raise InputError(f"{task} has none of {' '.join(wanted)}; it has {' '.join(sorted(tags))}")
    own_anchor = next(iter(_covering(anchor, tags)), None)
    units = [
        _Unit(task, tag, name, family.metrics, tuple((questions or {}).get(tag, ())))
        for tag, name in family.tasks.items()
        if tag in chosen or tag == own_anchor
    ]
    return _Planned(units, own_anchor, lacking)


def _check_name(task: str) -> None:
    """InputError unless lm-eval's registry has the name.

    lm-eval would also take the path of a YAML file, and run the Python that it names.
    """
    names = _registry().task_index
    if task not in names:
        # Comparing with all 14 000 takes 6 s.
        near = [name for name in (*FAMILIES, *names) if name[:2] == task[:2]]
        close = difflib.get_close_matches(task, near, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"families: {' '.join(FAMILIES)}"
        raise InputError(f'"{task}" is no task that lm-eval has, and no .jsonl file; {hint}')


def _load(units: Sequence[_Unit], refused: list[str]) -> list[dict[str, Any]]:
    """lm-eval's tasks for each unit with their data: all of them, before the first is scored."""
    public = [unit for unit in units if not unit.questions]
    for unit in public:
        _check_code(unit.name)
    # Questions of one's own need no hub, so nothing asks for it.
    with _hub() if public else contextlib.nullcontext(False) as out_of_reach:
        if out_of_reach:
            _check_data(public)
        return [_local(unit) if unit.questions else _public(unit, refused) for unit in units]


def _local(unit: _Unit) -> dict[str, Any]:
    """A task of lm-eval made of a file's questions.

    `doc_to_text` and its kin name columns. lm-eval then takes the column's value as it is; only what isn't
    a column's name would be a template. The table is made here and not by its JSON reader, which turns
    choices like "1999-12-31" into timestamps.
    """
    import datasets

    rows = [row.model_dump(include={"question", "choices", "answer"}) for row in unit.questions]
    features = datasets.Features(
        question=datasets.Value("string"),
        choices=datasets.List(datasets.Value("string")),
        answer=datasets.Value("int64"),
    )

    def questions(**_: Any) -> Any:
        return datasets.DatasetDict(test=datasets.Dataset.from_list(rows, features=features))

    config = {
        "task": unit.name,
        "custom_dataset": questions,
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "question",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "target_delimiter": " ",
        "num_fewshot": 0,
        "metric_list": [
            {"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in LOCAL_METRICS
        ],
        "metadata": {"version": 1},
    }
    task = importlib.import_module("lm_eval.api.task").ConfigurableTask(config=config)
    return {"tasks": {unit.name: task}, "groups": {}}


def _public(unit: _Unit, refused: list[str]) -> dict[str, Any]:
    """A task or group of lm-eval's own with its data."""
    try:
        loaded: dict[str, Any] = _registry().load([unit.name])
    except Exception as error:  # lm-eval's edge: tasks run their own code, and fail in their own ways
        if not refused:
            raise InputError(f'lm-eval can\'t load "{unit.name}": {_first_line(error)}') from error
    if refused:
        _refuse(unit.name, refused[0])
    for task in loaded["tasks"].values():
        if task.get_config("num_fewshot") is None:
            task.set_config(key="num_fewshot", value=0)
        task.set_fewshot_seed(seed=SEED)
    return loaded


def _score(
    engine: Any, unit: _Unit, loaded: dict[str, Any], limit: int | None, refused: list[str]
) -> dict[str, LanguageResults]:
    """What lm-eval says of one unit: family -> scores. Of a tag of lm-eval's, each task is a family."""
    evaluator = importlib.import_module("lm_eval.evaluator")
    try:
        # Not simple_evaluate: it also lists the machine's packages and asks the hub about the model.
        found = evaluator.evaluate(
            lm=engine, task_dict=loaded, limit=limit, bootstrap_iters=BOOTSTRAPS, log_samples=False
        )
    except Exception as error:  # lm-eval's edge, and the model's: out of memory, a task's own code
        if not refused:
            raise EngineError(f'lm-eval failed on "{unit.name}": {_first_line(error)}') from error
    if refused:
        _refuse(unit.name, refused[0])
    whole = _scores(found["results"].get(unit.name, {}), unit.metrics)
    names = [unit.name] if whole else sorted(loaded["tasks"])
    scored = {}
    for name in names:
        scores = _scores(found["results"][name], unit.metrics)
        if not scores:
            raise EngineError(f'lm-eval gave "{name}" no {" or ".join(unit.metrics or ("score",))}')
        scored[unit.family if whole else name] = LanguageResults(
            task=name,
            version=str(found["versions"].get(name)),
            shots=int(found["n-shot"].get(name) or 0),
            scores=scores,
        )
    return scored


def _scores(results: Mapping[str, Any], metrics: tuple[str, ...] | None) -> dict[str, Score]:
    """lm-eval's "acc,none" and "acc_stderr,none" as scores, of `metrics` only where they are given."""
    scores = {}
    for key, value in results.items():
        metric, comma, chosen = key.partition(",")
        if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
            continue
        name = metric if chosen == "none" else key
        if metrics is None or name in metrics:
            stderr = results.get(f"{metric}_stderr,{chosen}")
            scores[name] = Score(
                value=value,
                stderr=stderr if isinstance(stderr, int | float) else None,
                n=results["sample_len"],
            )
    return scores


def _leaves(name: str | dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The configurations of the tasks that `name` stands for: a task, a group or a tag; Python unresolved."""
    index = _registry().task_index
    if isinstance(name, dict):
        inner = name.get("group", name.get("task"))
        if isinstance(inner, str) and inner in index:
            yield from ({**leaf, **name} for leaf in _leaves(inner))
        else:
            yield from _children(name)
    elif index[name].cfg is None:
        for task in sorted(index[name].tags):
            yield from _leaves(task)
    else:
        yield from _children(index[name].cfg)


def _children(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    members = config.get("task")
    if not isinstance(members, list):
        yield config
        return
    for member in members:
        if isinstance(member, dict) or member in _registry().task_index:
            yield from _leaves(member)


def _check_code(name: str) -> None:
    """InputError where a task runs what the model writes, or is scored by code from the hub."""
    importlib.import_module("lm_eval.api.metrics")  # fills the registry
    known = importlib.import_module("lm_eval.api.registry").metric_registry
    for leaf in _leaves(name):
        if leaf.get("unsafe_code"):
            raise InputError(
                f'"{name}" runs code that the model writes, which is never run here; leave it out'
            )
        for metric in leaf.get("metric_list") or ():
            given = metric["metric"]
            if metric.get("hf_evaluate") or ("process_results" not in leaf and given not in known):
                _refuse(name, given)


def _refuse(name: str, metric: str) -> NoReturn:
    raise InputError(
        f'"{name}" is scored by code from the hub (the metric "{metric}" of evaluate), which is never run; '
        "leave it out"
    )


@contextlib.contextmanager
def _no_code_from_the_hub() -> Iterator[list[str]]:
    """While it lasts, `evaluate.load`, which fetches a metric's Python and runs it, raises.

    Gives the metrics that were asked for: lm-eval catches the error and would go on without a score.
    """
    evaluate: Any = importlib.import_module("evaluate")
    refused: list[str] = []

    def load(path: Any, *_: Any, **__: Any) -> NoReturn:
        refused.append(str(path))
        _refuse("a task", str(path))

    original: Callable[..., Any] = evaluate.load
    evaluate.load = load
    try:
        yield refused
    finally:
        evaluate.load = original


@contextlib.contextmanager
def _hub() -> Iterator[bool]:
    """Asks once whether the hub answers; gives whether not, and then keeps `datasets` offline."""
    import datasets
    from huggingface_hub import constants, get_session

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    out_of_reach = any(before)
    if not out_of_reach:
        try:
            get_session().head(constants.ENDPOINT, timeout=PROBE_SECONDS)
        except Exception:  # the client's own classes, of httpx or httpx2; whatever it is, nothing answered
            out_of_reach = True
    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = out_of_reach
    try:
        yield out_of_reach
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def _check_data(units: Sequence[_Unit]) -> None:
    """InputError that names all that lacks its data on this machine, where the hub is out of reach.

    What `huggingface-cli download` fetches isn't enough: offline, `datasets` reads only what it prepared.
    """
    import datasets

    missing: dict[tuple[Any, Any], None] = {}
    lacking: dict[str, list[str]] = {}
    for unit in units:
        for leaf in _leaves(unit.name):
            where = (leaf.get("dataset_path"), leaf.get("dataset_name"))
            if not where[0] or leaf.get("dataset_kwargs") or leaf.get("custom_dataset"):
                continue
            try:
                if where not in missing:
                    datasets.load_dataset_builder(*where)
                    continue
            except (OSError, ValueError):
                missing[where] = None
            tags = lacking.setdefault(unit.family, [])
            if unit.language not in (*tags, UNDETERMINED):
                tags.append(unit.language)
    if not missing:
        return
    names = ", ".join(f"{name} ({' '.join(tags)})" if tags else name for name, tags in lacking.items())
    calls = [f"load_dataset({', '.join(map(repr, filter(None, where)))})" for where in missing]
    more = f" (and {len(calls) - SHOWN} more)" if len(calls) > SHOWN else ""
    raise InputError(
        f"the data of {names} aren't on this machine and the hub can't be reached: where it can, run "
        f'this once or `python -c "from datasets import load_dataset; {"; ".join(calls[:SHOWN])}"`{more}, '
        "then copy that machine's HF_HOME (~/.cache/huggingface) here and set HF_HOME to the copy"
    )


@contextlib.contextmanager
def _seeded(model: Any) -> Iterator[None]:
    """lm-eval's seeds while this lasts, and the caller's state again after it."""
    import numpy as np
    import torch

    python, legacy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
        random.seed(PYTHON_SEED)
        np.random.seed(SEED)
        torch.manual_seed(SEED)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Notes of lm-eval and `datasets` on each task are left out; what they print goes to stderr."""
    loggers = [logging.getLogger(name) for name in ("lm_eval", "datasets")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
