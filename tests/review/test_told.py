"""What reviewers said stands in the set's report and card, with the summary's figures."""

import re

import pytest

import mldata
from mldata.review import journal
from mldata.review.sampling import items
from mldata.review.verdicts import FLATTERED, as_text, verdicts
from mldata.shards import verify
from tests.conftest import run_mldata

REVIEWERS = {"ana": ("adequate", "minor", "wrong"), "O'Brien": ("adequate", "major", "wrong")}


@pytest.fixture
def judged(built, tmp_path):
    """The real set, all rows of es judged by two who differ; Galician by none."""
    path = built.copy_to(tmp_path)
    drawn = items(path, "es")
    for reviewer, says in REVIEWERS.items():
        lines = [
            journal.said(item, reviewer, says[number % 3], "<b>bold</b>") for number, item in enumerate(drawn)
        ]
        journal.append(path, reviewer, lines)
    return path


def section(text):
    """The report's section on verdicts as rows of cells' texts."""
    (found,) = re.findall(r'<section id="verdicts".*?</section>', text, re.DOTALL)
    rows = re.findall(r"<tr>.*?</tr>", found, re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    return [[" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in row] for row in cells]


def test_without_verdicts_report_and_card_say_nothing_of_people(built):
    assert 'id="verdicts"' not in (built.path / "report.html").read_text("utf-8")
    assert 'href="#verdicts"' not in (built.path / "report.html").read_text("utf-8")
    assert "Judged by" not in (built.path / "README.md").read_text("utf-8")


def test_verdicts_stand_in_the_report_and_the_card_once_it_is_asked_for(judged):
    before = (judged / "README.md").read_text("utf-8")
    assert run_mldata("report", judged, cwd=judged.parent).code == 0
    text, card = ((judged / name).read_text("utf-8") for name in ("report.html", "README.md"))
    found = verdicts(judged).languages["es"]
    assert found.kept is not None
    kappa = found.agreements[0].kappa
    assert kappa is not None
    head, *rows = section(text)
    (row,) = rows  # Galician isn't judged
    said = dict(zip(head, row, strict=True))
    assert said["language"] == "es Spanish"
    assert said["kept rows right"] == f"{as_text(found.kept)} {found.kept.judged} judged"
    for verdict, count in found.counts.items():
        assert said[verdict] == str(count)
    assert sum(found.counts.values()) == 2 * found.rows > 0
    assert said["reviewers"] == "O&#39;Brien , ana"
    assert said["kappa"] == f"{kappa:.2f}"
    assert "&lt;b&gt;bold" not in text  # comments stay with the reviewers
    assert "bold" not in card

    (line,) = re.findall(r"(?<=## Judged by native speakers\n\n).*?\n\n(.*?)\n\n##", card, re.DOTALL)
    of_card = [cell.strip() for cell in line.splitlines()[-1].strip("|").split("|")]
    assert of_card[:3] == ["es", as_text(found.kept), str(found.kept.judged)]
    assert of_card[-2:] == ["2", f"{kappa:.2f}"]
    assert "O'Brien" not in card  # a card is published
    assert FLATTERED not in card
    start = card.index("\n## Judged by native speakers")
    assert card[:start] + card[card.index("\n## Limits") :] == before
    verify(judged)


def test_the_report_and_card_of_a_set_selected_again_have_the_verdicts_from_the_start(judged):
    mldata.select(judged, test_share=0.2)
    assert section((judged / "report.html").read_text("utf-8"))[1][0] == "es Spanish"
    assert "## Judged by native speakers" in (judged / "README.md").read_text("utf-8")
