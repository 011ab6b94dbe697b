"""What a build costs beyond its engines: `mldata build` against the same engines called bare.

    python tests/benchmarks/build_overhead.py --source en_prefs --limit 40 --targets es,pt,eo --pairs 3

Bare means: the translators both ways, the encoder and the identifiers, on the same distinct segments in
the same batches, in as many processes. Everything else a build does (reading, splitting, chrF, counting,
Arrow files, wrong items and what they ask of the engines, calibration, select) is its overhead. Both start
their processes and open their engines in the measured time; they run in turn, and the ratio is taken pair
by pair, so a machine whose speed drifts does no harm.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from mldata import library
from mldata.evidence import alignment
from mldata.evidence.language import _judged
from mldata.executors.local import _ONE_THREAD
from mldata.store import read_table
from mldata.tasks import Job, Task, Worker, _units
from mldata.text import Segment, split


@dataclass(frozen=True)
class Calls:
    """What the engines are asked for one chunk in one language."""

    language: str
    there: list[Segment]
    back: list[Segment]
    encode: list[str]
    identify: list[str]


def engine_calls(job: Job, chunks: Sequence[str]) -> list[Calls]:
    """Read off a finished store what a build asked its engines, language by language."""
    worker = Worker(job)
    calls = []
    for number, language in enumerate([job.anchor, *job.routes]):
        for chunk in chunks:
            concepts = worker._concepts(chunk)
            sources = {
                segment
                for concept in concepts
                for _, _, text in concept.texts()
                for segment in split(text, job.anchor).segments
            }
            plain = sorted({segment.plain for segment in sources})
            if number == 0:
                calls.append(Calls(language, [], [], plain, plain))
                continue
            translated = read_table(job.path(Task("translate", language, chunk))).to_pylist()
            back = {
                split_again(segment["translation"], segment["protected"])
                for row in translated
                for segment in row["segments"]
                if segment["translation"]
            }
            units = _units(concepts, translated)
            said = {text for u in units for p in u.pairs for text in (p.target, p.back) if text}
            said |= alignment.texts(units, language)
            pieces = {piece for u in units for piece in _judged([p.target for p in u.pairs])}
            pieces |= {" ".join(p.target for p in u.pairs if p.target) for u in units} - {""}
            encode = sorted(said - set(plain))
            calls.append(Calls(language, by_length(sources), by_length(back), encode, sorted(pieces)))
    return calls


def split_again(text: str, protected: Sequence[str]) -> Segment:
    """The segment that went back: its protected spans stand where they stand in the translation."""
    spans, end = [], 0
    for span in sorted(protected, key=text.find):
        start = text.find(span, end)
        if start >= 0:
            spans.append((start, start + len(span)))
            end = start + len(span)
    return Segment(text, tuple(spans))


def by_length(segments: set[Segment]) -> list[Segment]:
    """The order in which a build translates."""
    return sorted(segments, key=lambda s: (len(s.text), s.text, s.spans))


def translate_bare(job: Job, calls: Calls) -> None:
    """Both ways, with the pipelines of one language open at a time."""
    from mldata.translate import open_translator
    from mldata.translate.routes import follow

    if _open.get("language") != calls.language:
        for translator in _open.get("translators", {}).values():
            translator.close()
        _open["language"] = calls.language
    translators = _open.setdefault("translators", {name: open_translator(name) for name in job.translators})
    there, back = job.routes[calls.language]
    follow(there, translators, calls.there)
    follow(back, translators, calls.back)


def measure_bare(job: Job, calls: Calls) -> None:
    """Encode and identify."""
    from mldata.encode import open_encoder
    from mldata.identify import open_identifier
    from mldata.languages import language

    open_encoder(job.encoder).encode(calls.encode)
    for name in job.identifiers:
        open_identifier(name).identify(calls.identify, language(calls.language))


_open: dict = {}


def run_bare(job: Job, calls: list[Calls], workers: int) -> float:
    """Seconds of the engines alone."""
    started = time.perf_counter()
    for step in (translate_bare, measure_bare):
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            todo = [c for c in calls if c.there or step is measure_bare]
            for future in [pool.submit(step, job, c) for c in todo]:
                future.result()
    return time.perf_counter() - started


def run_build(arguments: argparse.Namespace, place: Path) -> float:
    """Seconds of the whole command, into a new set and a new store."""
    command = [sys.executable, "-m", "mldata", "build", "--source", arguments.source, "--out", str(place)]
    command += ["--targets", arguments.targets, "--workers", str(arguments.workers)]
    command += ["--limit", str(arguments.limit)]
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Print each pair and the median ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", default="en_prefs")
    parser.add_argument("--targets", default="es,pt,eo")
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--pairs", type=int, default=3)
    arguments = parser.parse_args()
    os.environ.update(_ONE_THREAD)
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.pairs):
            place = Path(folder) / str(number)
            build = run_build(arguments, place)
            plan = library.plan(arguments.source, targets=arguments.targets, out=place, limit=arguments.limit)
            bare = run_bare(plan.job, engine_calls(plan.job, plan.index.chunks), arguments.workers)
            ratios.append(build / bare)
            print(f"build {build:.1f} s, engines alone {bare:.1f} s, ratio {build / bare:.3f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.3f} over {arguments.pairs} pairs")


if __name__ == "__main__":
    main()
