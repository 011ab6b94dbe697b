"""What the shell offers, asked as the shell asks."""

import os
import subprocess
import sys

import pytest

from tests.conftest import environment


def ask(*words, cwd, shell="bash"):
    """What the shell offers for the last word."""
    asked = (
        {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
        if shell == "bash"
        else {"_TYPER_COMPLETE_ARGS": " ".join(words), "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    )
    done = subprocess.run(
        [sys.executable, "-m", "mldata"],
        cwd=cwd,
        env=environment(_MLDATA_COMPLETE=f"complete_{shell}", **asked),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1] if done.stdout.strip() else []


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("bu",), ["build"]),
        (("build", "--pipe"), ["--pipeline"]),
        (("build", "--pipeline", "e"), ["embedded"]),
        (("build", "--targets", "fr,p"), ["fr,pt"]),
        (("build", "--pipeline", "nllb", "--targets", "zh"), ["zh", "zh-Hant"]),
        (("build", "--rule", "similarity_"), [r"similarity_min\>=0.78"]),  # a bare > would write a file
        (("build", "--rule", '"similarity_'), ["similarity_min>=0.78"]),
        (("build", "--log-format", ""), ["text", "json"]),
        (("build", "--source", "en"), ["en_prefs"]),
        (("build", "--source", ""), []),  # the shell offers files
        (("export", "set", "--to", "l"), ["llama-factory"]),
    ],
    ids=" ".join,
)
def test_bash_offers(words, offered, tmp_path):
    assert ask("mldata", *words, cwd=tmp_path) == offered


def test_bash_offers_sets_and_their_languages_and_rules(built):
    folder = built.path.parent
    assert ask("mldata", "select", "s", cwd=folder) == ["set"]
    assert ask("mldata", "select", "set", "--targets", "es,", cwd=folder) == ["es,gl"]
    assert "es,gl" not in ask("mldata", "select", "absent", "--targets", "es,g", cwd=folder)[1:]


def test_what_cannot_be_read_is_no_error_at_the_prompt(tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{", "utf-8")
    assert ask("mldata", "select", "broken", "--rule", "nothing", cwd=tmp_path) == []
    assert ask("mldata", "build", "--pipeline", "absent.toml", "--targets", "e", cwd=tmp_path) == []


def test_fish_is_answered_too(tmp_path):
    assert [
        line.split("\t")[0] for line in ask("mldata", "build", "--pipeline", "e", cwd=tmp_path, shell="fish")
    ] == ["embedded"]


def test_the_script_for_bash_calls_the_command(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mldata", "--show-completion", "bash"],
        cwd=tmp_path,
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "_MLDATA_COMPLETE=complete_bash" in done.stdout
    assert "-F _mldata_completion mldata" in done.stdout
