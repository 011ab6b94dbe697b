"""One small source of conversations, and one set built from it with real engines, shared by all tests."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from mldata.chunks import MEAN
from mldata.concepts import Message, example_digest


def talk(question, good, bad, **more):
    """A pair in TRL's conversational format."""
    return {
        "prompt": [{"role": "user", "content": question}],
        "chosen": [{"role": "assistant", "content": good}],
        "rejected": [{"role": "assistant", "content": bad}],
        **more,
    }


def ends_a_chunk(pair):
    """Whether a chunk ends after this pair: its digest decides, on average once in 128 pairs."""
    texts = (tuple(Message(**message) for message in pair[f]) for f in ("prompt", "chosen", "rejected"))
    return int.from_bytes(example_digest(*texts)[:4]) % MEAN == 0


def oven(degrees):
    """A pair for each number, one of which ends a chunk: so small a source would have one chunk only."""
    return talk(
        "How hot must the oven be for the bread?",
        f"Heat the oven to {degrees} degrees and bake the bread for half an hour.",
        "Bread is better when it is fried in a pan with a lot of oil.",
        topic="kitchen",
    )


def train(minutes):
    """As `oven`."""
    return talk(
        "How much time do I need to change trains at the station?",
        f"Allow {minutes} minutes, because the two platforms are far from each other.",
        "Nobody needs time for that, the trains always wait for all the passengers.",
        topic="travel",
    )


PAIRS = [
    talk(
        "My neighbour plays loud music every night. What should I do?",
        "First talk to him in a friendly way. If nothing changes, write him a letter and call the owner "
        "of the house.",
        "Buy bigger loudspeakers and play your own music in the morning.",
        topic="home",
    ),
    talk(
        "Which three things should I take to the mountains?",
        "Take these three things:\n\n- a warm coat\n- two bottles of water\n- a map of the region",
        "The mountains are dangerous. Stay at home and read a book.",
        topic="travel",
    ),
    next(pair for pair in map(oven, range(150, 5000)) if ends_a_chunk(pair)),
    talk(
        "How do I read a file in Python?",
        "Open the file and read it line by line:\n\n```python\nwith open(path) as file:\n"
        "    for line in file:\n        print(line)\n```\n\nThe file closes when the block ends.",
        "Files can only be read with a text editor. Print the file and read the paper.",
        topic="code",
    ),
    talk(
        "Where can I find the rules of the library?",
        "You can read all the rules on https://example.org/rules and ask the librarian, who is very kind.",
        "The library doesn't have any rules. You can shout and eat there.",
        topic="city",
    ),
    next(pair for pair in map(train, range(10, 5000)) if ends_a_chunk(pair)),
    talk(
        "Write a short message that says that the package arrives tomorrow.",
        "Good morning, {name}! Your package arrives tomorrow between nine and ten. Please open the door.",
        "The package was lost and nobody knows where it is.",
        topic="letters",
    ),
    talk(
        "My daughter can't sleep because she is afraid of the dark. How can I help her?",
        "Leave a small lamp on near the bed. Read her a quiet story and stay with her until she sleeps.",
        "Tell her that there are monsters under the bed.",
        topic="home",
    ),
]
"""Three chunks. The languages' dictionaries know almost all the words, so most rows pass."""


def write_jsonl(path, rows):
    """Write rows as JSON Lines; gives the path."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str


def environment(**changes):
    """The environment of a command: wide lines, no colours."""
    return {**os.environ, "COLUMNS": "300", "NO_COLOR": "1", **changes}


def run_mldata(*arguments, cwd, **changes):
    """Run the real command in a process of its own, with changes to its environment."""
    done = subprocess.run(
        [sys.executable, "-m", "mldata", *map(str, arguments)],
        cwd=cwd,
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def bytes_of(folder, *but):
    """Every file below `folder`, but those named: path -> content."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name not in but
    }


@dataclass(frozen=True)
class Built:
    """A finished set."""

    source: Path
    path: Path
    work: Path
    seconds: float
    screen: str

    def copy_to(self, folder):
        """A set and store of one's own to change or break."""
        shutil.copytree(self.path, folder / self.path.name)
        shutil.copytree(self.work, folder / self.work.name)
        return folder / self.path.name


@pytest.fixture(scope="session")
def apertium():
    """Skip where the real engines of es and gl aren't there."""
    if shutil.which("apertium-wblank-mode") is None:
        pytest.skip("Apertium isn't installed; `make apertium` installs it")


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """PAIRS as a file."""
    return write_jsonl(tmp_path_factory.mktemp("source") / "prefs.jsonl", PAIRS)


@pytest.fixture(scope="session")
def built(apertium, source, tmp_path_factory):
    """The set of `source` in es and gl, built once, undisturbed. Read it, never write to it."""
    folder = tmp_path_factory.mktemp("built")
    started = time.monotonic()
    done = run_mldata(
        *("build", "--source", source, "--targets", "es,gl", "--out", folder / "set", "--workers", 1),
        cwd=folder,
    )
    assert done.code == 0, done.err
    return Built(source, folder / "set", folder / "set.work", time.monotonic() - started, done.out)


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium, as Debian has it, in which pages are opened: `browser.new_page()`."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium isn't installed; `make chromium` installs it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


# --- Models that tests train on the language of tests/models/phrases.py ----------------------------------


@pytest.fixture(scope="session")
def trained(tmp_path_factory, worker_id):
    """From a name and what fills a directory to that directory, filled once for all test processes."""
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent

    def directory(name, train):
        path = shared / "models" / name
        path.parent.mkdir(exist_ok=True)
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                making = path.with_name(f".{name}")
                shutil.rmtree(making, ignore_errors=True)
                train(making)
                making.rename(path)
        return path

    return directory


@pytest.fixture(scope="session")
def labse_shaped(trained):
    """The directory of a sentence-transformers model that knows which phrases mean the same."""

    def train(folder):
        from tests.models import encoders  # torch: only where a test wants it

        encoders.train_encoder(folder)

    return trained("labse-shaped", train)


@pytest.fixture(scope="session")
def kiwi_shaped(trained):
    """The directory of a cross-encoder that tells translations of phrases from spoiled ones."""

    def train(folder):
        from tests.models import encoders

        encoders.train_estimator(folder)

    return trained("kiwi-shaped", train)


@pytest.fixture(scope="session")
def translator_models(trained):
    """From a family of `tests.models.translators.FAMILIES` to its model's directory, trained at first use.

    Read it, never write to it. Models trained for fewer `steps` translate badly.
    """

    def model(family, steps=None):
        def train(folder):
            from tests.models import translators

            translators.write(family, folder, steps)

        return trained(f"{family}-{steps}", train)

    return model
