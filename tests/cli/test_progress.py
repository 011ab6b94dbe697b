"""What a build shows: on a real terminal, where there is none, to a program, and to nobody."""

import fcntl
import io
import json
import os
import pty
import re
import select
import shlex
import shutil
import struct
import subprocess
import sys
import termios
import time
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.spinner import Spinner

from mldata.tasks import Task
from tests.conftest import bytes_of, environment, run_mldata

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PLUMBING = """
name = "plumbing"
targets = ["es", "de"]
translators = ["identity"]
identifiers = ["fasttext"]
encoder = "e5-small"

[[rules]]
name = "similarity"
when = "similarity >= 0.5"
because = "it says something else"
"""


def on_a_terminal(*arguments, cwd, columns=80, rows=24):
    """Run the real command on a terminal of this size: its exit code and all that it wrote there."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(cwd)
        changed = environment(TERM="xterm-256color")
        del changed["COLUMNS"], changed["NO_COLOR"]
        os.execve(sys.executable, [sys.executable, "-m", "mldata", *map(str, arguments)], changed)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    said = b""
    end = time.monotonic() + 240
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                said += os.read(terminal, 65536)
            except OSError:  # it ended
                break
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(terminal)
    return code, said.decode().replace("\r\n", "\n")


def screen_after(said):
    """The lines that stand on a terminal after all of that was written.

    Knows what Rich's live display uses: line up, erase line.
    """
    lines, at = [""], 0
    for part in re.split(r"(\x1b\[[0-9;?]*[A-Za-z]|\n|\r)", said):
        if part == "\n":
            at += 1
            lines += [""] * (at + 1 - len(lines))
        elif part == "\x1b[2K":
            lines[at] = ""
        elif up := re.fullmatch(r"\x1b\[(\d+)A", part):
            at = max(0, at - int(up[1]))
        elif part and not part.startswith("\x1b") and part != "\r":
            lines[at] += part
    return lines


@pytest.fixture(scope="module")
def plumbing(tmp_path_factory):
    """A directory with a source of three chunks and a recipe whose engine copies: seconds to build."""
    from tests.conftest import PAIRS, write_jsonl

    folder = tmp_path_factory.mktemp("plumbing")
    (folder / "plumbing.toml").write_text(PLUMBING, "utf-8")
    write_jsonl(folder / "prefs.jsonl", PAIRS)
    return folder


def build(*more, out):
    return ("build", "--source", "prefs.jsonl", "--pipeline", "plumbing.toml", "--out", out, *more)


@pytest.fixture(scope="module")
def shown(plumbing):
    code, said = on_a_terminal(*build("--workers", 1, out="shown"), cwd=plumbing)
    assert code == 0, said
    return said


def test_a_terminal_shows_each_language_live_and_keeps_the_summary_alone(shown):
    frames = shown.split("\x1b[2K")
    assert any(re.search(r"^es +━+ +\d+ %", ESCAPE.sub("", frame), re.MULTILINE) for frame in frames)
    assert "of 15 files · " in shown
    lines = screen_after(shown)
    moving = ESCAPE.sub("", shown[: shown.rindex("\x1b[?25h")]).splitlines()
    assert max(map(len, moving)) <= 80
    assert lines[0].startswith("prefs · 8 concepts")
    assert not [line for line in lines if "━" in line]
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") >= 1  # the cursor is back


def test_the_summary_is_plain_text_and_complete(shown):
    lines = screen_after(shown)
    text = "\n".join(lines)
    assert re.search(
        r"^mldata \S+ · mldata build --source prefs.jsonl --pipeline plumbing.toml", text, re.MULTILINE
    )
    for name in ("concepts", "rows", "licence", "set", "report", "work", "took", "next"):
        assert re.search(rf"^{name}: +\S", text, re.MULTILINE), name
    assert "mldata inspect shown" in text
    assert not set("│┃─━╭╰") & set(text)
    assert not [line for line in lines if line != line.rstrip()]


def test_where_there_is_no_terminal_nothing_moves(plumbing):
    done = run_mldata(*build("--workers", 1, out="plain"), cwd=plumbing, FORCE_COLOR="1")
    assert done.code == 0, done.err
    assert not set("\r\x1b━") & set(done.err)
    assert "\x1b[?25l" not in done.out
    assert bytes_of(plumbing / "plain" / "data") == bytes_of(plumbing / "shown" / "data")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_build_that_nobody_listens_to_goes_on(plumbing, closed):
    command = shlex.join([sys.executable, "-m", "mldata", *map(str, build("--workers", 1, out="mute"))])
    shutil.rmtree(plumbing / "mute", ignore_errors=True)
    done = subprocess.run(f"{command} {closed}", shell=True, cwd=plumbing, env=environment(), check=False)
    assert done.returncode == 0
    assert run_mldata("verify", "mute", cwd=plumbing).code == 0


def test_quiet_says_the_path_of_the_set_alone(plumbing):
    done = run_mldata(*build("--quiet", out="quiet"), cwd=plumbing)
    assert (done.code, done.out, done.err) == (0, "quiet\n", "")
    done = run_mldata("select", "quiet", "-q", cwd=plumbing)
    assert (done.code, done.out, done.err) == (0, "quiet\n", "")
    done = run_mldata("select", "absent", "-q", cwd=plumbing)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("mldata: ")


def test_a_program_reads_one_json_object_a_line(plumbing):
    done = run_mldata(*build("--log-format", "json", out="events"), cwd=plumbing)
    assert (done.code, done.out) == (0, "")
    events = [json.loads(line) for line in done.err.splitlines()]
    names = [event["event"] for event in events]
    assert (names[0], names[-1]) == ("planned", "done")
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"]) for event in events)
    planned, made = events[0], events[-1]
    assert (planned["concepts"], planned["done"], planned["total"]) == (8, 0, 15)
    assert planned["targets"] == ["es", "de"]
    assert made["set"] == "events"
    assert made["languages"]["es"]["kept"] == 8
    assert set(made["seconds_by_language"]) == {"en", "es", "de"}


@pytest.mark.parametrize("wrong", [("--targetz", "3"), ("--workers", "x"), ("--limit",)])
def test_a_program_reads_errors_of_use_as_json_too(plumbing, wrong):
    done = run_mldata("build", "--log-format", "json", *wrong, cwd=plumbing)
    (error,) = map(json.loads, done.err.splitlines())
    assert (done.code, done.out, error["event"], error["exit_code"]) == (2, "", "error", 2)
    assert wrong[0] in error["message"]


def test_output_that_nobody_reads_any_more_is_no_damage(plumbing):
    command = shlex.join([sys.executable, "-m", "mldata", "rules"])
    script = f"set -o pipefail; {command} | true"
    done = subprocess.run(
        ["bash", "-c", script], cwd=plumbing, env=environment(), capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_program_reads_warnings_and_errors_too(plumbing):
    done = run_mldata(*build("--log-format", "json", "--rule", "similarity>=2", out="events"), cwd=plumbing)
    warned = {event["kind"]: event for event in map(json.loads, done.err.splitlines()) if "kind" in event}
    assert "The set is empty: es: similarity 8" in warned["empty"]["message"]
    done = run_mldata(*build("--log-format", "json", "--targets", "xx", out="events"), cwd=plumbing)
    (error,) = map(json.loads, done.err.splitlines())
    assert (done.code, error["event"], error["exit_code"]) == (2, "error", 2)
    assert done.out == ""


# The display alone, with as many languages and as small a screen as there may be


def tally(languages, *, chunks=4, workers=2):
    """A build of so many languages that was just planned."""
    from mldata.cli.progress import Tally

    names = [f"l{number}" for number in range(languages)]
    names_of = [f"c{number}" for number in range(chunks)]
    tasks = [Task("measure_source", "en", chunk) for chunk in names_of]
    tasks += [
        Task(stage, tag, chunk) for stage in ("translate", "measure") for tag in names for chunk in names_of
    ]
    index = SimpleNamespace(chunks=names_of, concepts=128 * chunks)
    plan = SimpleNamespace(
        anchor="en", targets=names, index=index, missing=tasks, job=SimpleNamespace(sampled=())
    )
    made = Tally(plan, workers, [])
    made.passing.look = lambda task, elapsed: None
    return made, tasks


def frame(made, columns, rows):
    from mldata.cli.progress import picture

    console = Console(width=columns, height=rows, force_terminal=True, file=io.StringIO())
    console.print(picture(made, console, Spinner("dots")))
    return ESCAPE.sub("", console.file.getvalue()).splitlines()


@pytest.mark.parametrize("languages", [1, 12, 28, 201])
@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (60, 12), (200, 50)])
def test_no_number_of_languages_overflows_the_screen(languages, columns, rows):
    made, tasks = tally(languages)
    for task in tasks[: len(tasks) * 2 // 3]:
        made.done(task, 1.0)
        if len(made.at_work) == 0:
            break
    lines = frame(made, columns, rows)
    assert len(lines) < rows
    assert max(map(len, lines)) <= columns
    for tag in made.at_work:
        assert [line for line in lines if line.startswith(f"{tag} ")]
    assert str(len(tasks)) in lines[-1]
    assert (languages + 1 <= rows - 6) != any("languages done" in line for line in lines)


def test_time_left_is_what_like_files_took():
    made, tasks = tally(2, chunks=2, workers=1)
    assert made.left() is None
    for task in tasks[:2]:
        made.done(task, 1.0)
    for task in tasks[2:6]:
        made.done(task, 10.0)
    made.done(tasks[6], 2.0)  # one file of l0 is measured: 2 s, so the other three are taken to cost 2 s each
    assert made.left() == pytest.approx(6.0)
    assert made.files == (7, 10)


def test_languages_at_work_and_their_rates_are_those_of_the_round():
    """Of 32 chunks, 16 are measured before the others are translated."""
    made, tasks = tally(3, chunks=32, workers=1)
    first = {f"c{number}" for number in range(16)}
    for task in tasks:
        if task.chunk in first and task.stage != "measure":
            made.done(task, 2.0)
    assert made.at_work == ["l0"]
    made.done(Task("measure", "l0", "c0"), 4.0)
    assert made.at_work == ["l0"]
    assert made.rate_of("l0") == pytest.approx(128 / 4)
    for task in tasks:
        if task.chunk in first and task.stage == "measure" and task != Task("measure", "l0", "c0"):
            made.done(task, 4.0)
    assert made.at_work == ["en"]
    made.done(Task("translate", "l0", "c16"), 2.0)
    assert made.rate_of("l0") == pytest.approx(128 / 2)


def test_the_share_that_passes_is_the_summarys(built):
    """Read from the files that the build just made; lengths apart, which are judged by the whole source."""
    import mldata
    from mldata.cli.progress import Passing

    plan = mldata.plan(str(built.source), targets="es,gl", out=built.path)
    rules = [rule for rule in plan.recipe.rules if rule.column != "length_deviation"]
    passing = Passing(plan.job, rules)
    assert passing.share("es") is None
    for chunk in plan.index.chunks:
        passing.look(Task("measure", "es", chunk), elapsed=1e9)
    counts = mldata.verify(built.path).languages["es"]
    assert passing.share("es") == pytest.approx(counts.passed / counts.concepts, abs=0.13)


def test_what_passes_is_no_longer_read_where_that_takes_too_much_time(built):
    import mldata
    from mldata.cli.progress import Passing

    plan = mldata.plan(str(built.source), targets="es,gl", out=built.path)
    passing = Passing(plan.job, plan.recipe.rules)
    for chunk in plan.index.chunks:
        passing.look(Task("measure", "es", chunk), elapsed=0)
    assert passing.share("es") is not None
    rows = passing._rows["es"][1]
    assert rows < 8  # the first chunk alone
