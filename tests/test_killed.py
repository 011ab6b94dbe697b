"""Killed anywhere and run again, a build gives the same bytes and leaves nothing behind."""

import contextlib
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from mldata import shards
from tests.conftest import bytes_of, environment, run_mldata

KILLS = 10


@pytest.fixture
def start(built, tmp_path):
    """Starts a build in a session of its own, as a terminal would, with real engines."""
    started = []

    def start(workers):
        command = ("build", "--source", built.source, "--targets", "es,gl", "--out", tmp_path / "set")
        process = subprocess.Popen(
            [sys.executable, "-m", "mldata", *map(str, command), "--workers", str(workers), "--quiet"],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=terminal_signals,
        )
        started.append(process)
        return process

    yield start
    for process in started:  # a test that failed leaves neither a build nor an open pipe to the next
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        if not process.stderr.closed:
            process.communicate()


def terminal_signals():
    """Ctrl-C as a terminal gives it: below a shell in the background it is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def below(process):
    """All processes that descend from `process`."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def gone(processes, seconds=5):
    """Wait for `processes` to end; those that are left."""
    left = psutil.wait_procs(processes, timeout=seconds)[1]
    return [process for process in left if asked(process.status) not in (psutil.STATUS_ZOMBIE, None)]


def asked(question):
    """What a process answers; None if it ended meanwhile."""
    try:
        return question()
    except psutil.Error:
        return None


def wait_for(found, process, seconds=60):
    """Wait until `found()` gives something, and give it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        if what := found():
            return what
        time.sleep(0.02)
    return found()


def translators_of(process):
    """The lexical processors that a build started: each Apertium pipeline has several."""
    named = [child for child in below(process) if asked(child.name) == "lt-proc"]
    found = [child for child in named if "--version" not in (asked(child.cmdline) or ["--version"])]
    return found and below(process)


@pytest.mark.slow
def test_a_build_killed_anywhere_gives_the_same_bytes(start, built, tmp_path):
    chance = random.Random(20)
    kills = 0
    while kills < KILLS:
        process = start(workers=chance.choice([1, 2]))
        try:
            process.wait(chance.uniform(0, built.seconds))
        except subprocess.TimeoutExpired:
            started = below(process)
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            assert not gone(started)
            kills += 1
        else:  # it came to its end after some kills: compare, and begin anew
            assert_undisturbed(process, built, tmp_path)
            shutil.rmtree(tmp_path / "set")
            shutil.rmtree(tmp_path / "set.work")
    assert_undisturbed(start(workers=2), built, tmp_path)
    assert run_mldata("verify", "set", cwd=tmp_path).code == 0


def assert_undisturbed(process, built, folder):
    """The build ends well, and nothing tells that earlier ones were killed."""
    said = process.communicate()[1]
    assert (process.returncode, said) == (0, "")
    assert bytes_of(folder / "set", "run.json", "report.html") == bytes_of(
        built.path, "run.json", "report.html"
    )
    assert sorted(path.name for path in folder.iterdir()) == ["set", "set.work"]


def test_a_swap_of_sets_that_breaks_off_leaves_the_old_one(built, tmp_path):
    path = built.copy_to(tmp_path)
    before = bytes_of(path)
    with pytest.raises(FileNotFoundError), shards.replacing(path) as making:
        shutil.rmtree(making)  # the old set is moved away, and there is nothing to move into its place
    assert bytes_of(path) == before
    assert not [left for left in path.parent.iterdir() if left.name.startswith(".")]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_engines_end_with_a_build_that_is_killed(start, tmp_path, workers):
    process = start(workers)
    engines = wait_for(lambda: translators_of(process), process)
    assert engines, "the build ended before it was killed"
    os.kill(process.pid, signal.SIGKILL)  # the build alone, as the kernel does when memory runs out
    process.communicate()
    assert not gone(engines)


def assert_says_what_is_kept(said, folder):
    """One sentence on what is kept, and the command that goes on, which does."""
    first, command = said.splitlines()
    kept = re.fullmatch(
        r"mldata: interrupted; (\d+) of 15 files of work are kept in set.work. To go on:", first
    )
    assert kept, said
    there = len(list((folder / "set.work").glob("[tm]*/*/*/[0-9a-f]*.arrow")))
    assert 0 <= there - int(kept[1]) <= 2  # a worker may have written one that nobody was told of
    assert command.startswith("mldata build --source ")
    return shlex.split(command)[1:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "number", "code"),
    [(1, signal.SIGINT, 130), (2, signal.SIGINT, 130), (2, signal.SIGTERM, 143)],
)
def test_an_interrupted_build_says_what_is_kept_and_how_to_go_on(
    start, built, tmp_path, workers, number, code
):
    process = start(workers)
    engines = wait_for(lambda: translators_of(process), process)
    assert engines, "the build ended before it was interrupted"
    for _ in range(3):  # an impatient user; a cluster that signals every process of the job
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        time.sleep(0.05)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == code
    assert not gone(engines)
    assert not (tmp_path / "set").exists()
    command = assert_says_what_is_kept(said, tmp_path)
    if number == signal.SIGTERM:  # what follows takes long, and is the same for all
        assert run_mldata(*command, cwd=tmp_path).code == 0
        but = ("run.json", "report.html")
        assert bytes_of(tmp_path / "set", *but) == bytes_of(built.path, *but)


@pytest.mark.slow
def test_a_terminated_build_of_one_worker_leaves_no_engine_and_waits_for_none(start, tmp_path):
    process = start(workers=1)
    engines = wait_for(lambda: translators_of(process), process)
    os.kill(process.pid, signal.SIGTERM)
    started = time.monotonic()
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert time.monotonic() - started < 10
    assert not gone(engines)


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.1, 0.4])
def test_an_interrupt_while_workers_start_is_said_too(start, tmp_path, delay):
    process = start(workers=2)
    assert wait_for(
        lambda: any("spawn_main" in " ".join(asked(p.cmdline) or []) for p in below(process)), process
    )
    time.sleep(delay)  # they import their libraries for half a second
    workers = below(process)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert_says_what_is_kept(said, tmp_path)
    assert not gone(workers)


def catches(process, number):
    """Whether a process has a handler of its own for a signal."""
    status = Path(f"/proc/{process.pid}/status").read_text("utf-8")
    caught = int(re.search(r"^SigCgt:\s*([0-9a-f]+)", status, re.MULTILINE)[1], 16)
    return bool(caught >> (number - 1) & 1)


@pytest.mark.parametrize("delay", [0, 0.1, 0.3])
def test_an_interrupt_while_the_command_loads_its_modules_is_no_traceback(start, delay):
    process = start(workers=1)
    assert wait_for(lambda: catches(process, signal.SIGTERM), process)
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert said.startswith("mldata: interrupted")
    assert "Traceback" not in said


@pytest.mark.slow
def test_an_interrupt_while_the_source_is_read_says_so_too(start, tmp_path):
    process = start(workers=1)
    assert wait_for(lambda: (tmp_path / "set.work").exists(), process)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    planning = "it was still planning, and what the work store holds is kept"
    assert re.match(rf"mldata: interrupted; ({planning}|0 of 15 files of work are kept in set.work)\. ", said)


def test_a_command_that_computes_for_long_is_ended_all_the_same(tmp_path):
    """The main thread is in a library that gives no signal a chance, or swallowed what was raised."""
    code = (
        "import time; from mldata import interruption\n"
        "interruption.GRACE = 0.3\n"
        "interruption.armed()\n"
        "interruption.kept = lambda: '3 of 4 files of work are kept in set.work'\n"
        "while True:\n"
        "    try:\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(60)\n"
        "    except BaseException:\n"
        "        pass\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "build", "--source", "my prefs.jsonl"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=terminal_signals,
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 143
    assert said == (
        "mldata: interrupted; 3 of 4 files of work are kept in set.work. To go on:\n"
        "mldata build --source 'my prefs.jsonl'\n"
    )
