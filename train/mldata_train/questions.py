"""Multiple-choice questions of one's own, for `mldata-train evaluate --tasks FILE.jsonl`.

A line is {"language": "es", "question": "…", "choices": ["…", "…"], "answer": 0}, and an id if there is one.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError

from mldata.errors import InputError
from mldata.languages import canonical


class Question(BaseModel):
    """A line of a file of multiple-choice questions."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    language: StrictStr
    question: StrictStr = Field(min_length=1)
    choices: list[StrictStr] = Field(min_length=2)
    answer: StrictInt = Field(description="index of the right choice, from 0")
    id: StrictStr | StrictInt | None = None


def read_questions(path: Path) -> dict[str, list[Question]]:
    """The questions of a JSONL file by canonical language tag, in the file's order.

    Raises InputError with the file and line of the first row that can't be scored.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InputError(
            f"{path}: can't be read ({error.strerror}); give a JSONL file of questions"
        ) from error
    found: dict[str, list[Question]] = {}
    seen: set[tuple[str, str | int]] = set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            question = Question.model_validate_json(line)
            tag = canonical(question.language)
            reason = _wrong(question)
            if question.id is not None and not reason:
                reason = f'"id" {question.id!r} is there already in {tag}' * ((tag, question.id) in seen)
                seen.add((tag, question.id))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            reason = f'"{where}": {first["msg"]}' if where else first["msg"]
        except InputError as error:
            reason = str(error)
        if reason:
            raise InputError(
                f"{path}, line {number}: {reason}; a row is "
                '{"language": "es", "question": "…", "choices": ["…", "…"], "answer": 0}'
            )
        found.setdefault(tag, []).append(question)
    if not found:
        raise InputError(f"{path}: no questions; each line is one question as a JSON object")
    return found


def _wrong(question: Question) -> str:
    """Why a well-formed row can't be scored; empty if it can."""
    if not question.question.strip():
        return '"question" is blank'
    if not all(choice.strip() for choice in question.choices):
        return 'one of "choices" is blank'
    if len(set(question.choices)) < len(question.choices):
        return 'two of "choices" are the same'
    if not 0 <= question.answer < len(question.choices):
        return f'"answer" is {question.answer}, but "choices" are numbered 0 to {len(question.choices) - 1}'
    return ""
