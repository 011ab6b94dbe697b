"""The review page, in a real browser, served by the real command."""

import http.client
import math
import re
import threading
from collections import Counter
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mldata import inspection
from mldata.review.sampling import items
from mldata.review.server import messages
from mldata.review.verdicts import as_text, precision, verdicts
from tests.review.conftest import lines_of, served, write_set


@pytest.fixture
def page(browser):
    """A browser of one's own, which reports every script error."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(20_000)
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    yield page
    context.close()
    assert wrong == []


def press(page, key):
    """A key that leads to another page."""
    with page.expect_navigation():
        page.keyboard.press(key)


def by_hand(lines, fate):
    """The estimate and its interval from what the journal holds, in other words than the code's."""
    last = {}
    for line in lines:
        last[line["concept_id"]] = line
    last = [line for line in last.values() if line["verdict"]]
    judged = Counter(line["draw"]["stratum"] for line in last)
    mine = [line for line in last if line["draw"]["stratum"].startswith(fate)]
    weights = [line["draw"]["rows"] / judged[line["draw"]["stratum"]] for line in mine]
    right = [w for w, line in zip(weights, mine, strict=True) if line["verdict"] in ("adequate", "minor")]
    p, n, z = sum(right) / sum(weights), sum(weights) ** 2 / sum(w * w for w in weights), 1.959964
    root = z * math.sqrt(p * (1 - p) / n + z * z / 4 / n / n)
    low, high = (p + z * z / 2 / n - root) / (1 + z * z / n), (p + z * z / 2 / n + root) / (1 + z * z / n)
    strata = {line["draw"]["stratum"]: line["draw"] for line in mine}
    covered = sum(draw["rows"] for draw in strata.values()) / mine[0]["draw"]["fate"]
    return p, low * covered, high * covered + 1 - covered, len(mine)


def test_ten_verdicts_by_keyboard_outlive_a_kill(mine, page):
    with served(mine, "--sample", 10) as server:
        page.goto(server.address)
        page.fill("[name=reviewer]", "ana")
        page.select_option("select", "es")
        with page.expect_navigation():
            page.click("text=Begin, or go on")
        for key in "1123":
            press(page, key)
        server.kill()
    assert [line["verdict"] for line in lines_of(mine, "ana")] == ["adequate", "adequate", "minor", "major"]
    with served(mine, "--sample", 10, "--language", "es", "--reviewer", "ana") as server:
        page.goto(server.address)
        assert "row 5 of 10" in page.inner_text("h1")
        page.keyboard.press("c")
        page.keyboard.type("1 slip, and 2 more")
        page.keyboard.press("Escape")
        press(page, "2")
        press(page, "4")
        press(page, "u")
        assert "row 6 of 10" in page.inner_text("h1")
        press(page, "j")
        press(page, "ArrowLeft")
        press(page, "k")
        assert page.input_value("#comment") == "1 slip, and 2 more"
        assert page.get_attribute("button.minor", "aria-pressed") == "true"
        press(page, "j")
        for key in "14111":
            press(page, key)
        assert "All 10 rows judged" in page.inner_text("h1")
        text = page.inner_text("main")
        assert "mldata report" in server.stop()
    lines = lines_of(mine, "ana")
    assert len(lines) == 12
    assert lines[4]["comment"] == "1 slip, and 2 more"
    assert lines[6]["undo"] is True
    assert lines[6]["verdict"] is None
    found = verdicts(mine).languages["es"]
    for one, fate in ((found.kept, "kept"), (found.dropped, "dropped")):
        assert (one.value, one.low, one.high, one.judged) == pytest.approx(by_hand(lines, fate), abs=1e-5)
        assert as_text(one) in text
    assert precision(mine) == {"es": found.kept}


def test_whether_a_row_was_kept_cannot_be_seen(mine, page):
    """Every page of the ten holds what any other row's would."""
    drawn = items(mine, "es", sample=10)
    with served(mine, "--sample", 10) as server:
        page.goto(server.address)
        for number, item in enumerate(drawn, 1):
            page.goto(f"{server.base}/rows/es/ana/{number}")
            source = page.content()
            assert item.digest in source
            for word in ("dropped", "kept near", "kept far", item.draw.stratum, "reasons"):
                assert word not in source
            page.keyboard.press("e")
            assert page.is_visible("text=similarity_min")


def test_without_script_all_works_too(mine, browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    with served(mine, "--sample", 4) as server:
        page.goto(server.address)
        page.fill("[name=reviewer]", "Ana María")
        page.select_option("select", "es")
        with page.expect_navigation():
            page.click("text=Begin, or go on")
        page.fill("#comment", "bien")
        with page.expect_navigation():
            page.click("button.adequate")
        with page.expect_navigation():
            page.click("button.wrong")
        with page.expect_navigation():
            page.click("#undo")
        assert "row 2 of 4" in page.inner_text("h1")
        page.click("summary >> nth=0")
        assert page.is_visible("text=similarity_min")
    context.close()
    assert [line["verdict"] for line in lines_of(mine, "Ana María")] == ["adequate", "wrong", None]
    assert lines_of(mine, "Ana María")[0]["comment"] == "bien"


HOSTILE = (
    "<script>document.title = 'run'</script><img src=x onerror=\"document.title = 'run'\"></div></textarea>"
    "\"' {{ 7 * 7 }} &lt;b&gt; \u202egnp.exe"
)


def test_texts_that_would_run_are_shown(built, tmp_path, page):
    path = write_set(built.path, tmp_path / "set", dict.fromkeys(("prompt", "chosen", "rejected"), HOSTILE))
    with served(path) as server:
        page.goto(server.address)
        at = [item.beside.concept_id for item in items(path, "es")].index(f"{0:032x}") + 1
        page.goto(f"{server.base}/rows/es/ana/{at}")
        shown = page.inner_text(".judged .text >> nth=0")
        assert shown == HOSTILE.replace("\u202e", "\\u202e")
        page.fill("#comment", HOSTILE)
        with page.expect_navigation():
            page.click("button.minor")
        page.goto(f"{server.base}/rows/es/ana/{at}")
        assert page.input_value("#comment") == HOSTILE  # as it was typed: it may be changed
        assert "run" not in page.title()
        assert page.locator("img").count() == 0


def test_right_to_left_texts_are_laid_out_in_their_direction(built, tmp_path, page):
    path = write_set(built.path, tmp_path / "set", {"chosen": "تحدث معه أولا بطريقة ودية."})
    with served(path) as server:
        page.goto(server.address)
        at = [item.beside.concept_id for item in items(path, "es")].index(f"{0:032x}") + 1
        page.goto(f"{server.base}/rows/es/ana/{at}")
        text = page.locator("section[aria-label=chosen] .judged .text")
        assert text.evaluate("element => getComputedStyle(element).direction") == "rtl"
        assert text.get_attribute("lang") == "es"


def ask(server, method, path, *, form=None, **headers):
    """A request as any program could make it; gives status, body and headers."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    body = urlencode(form) if form is not None else None
    usual = {"Host": f"127.0.0.1:{server.port}"}
    if form is not None:
        usual |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": server.base}
    wanted = {name: value for name, value in (usual | headers).items() if value is not None}
    connection.putrequest(method, path, skip_host=True)
    for name, value in wanted.items():
        connection.putheader(name, value)
    if body is not None and "Content-Length" not in wanted:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body.encode() if body is not None else None)
    answer = connection.getresponse()
    told = answer.status, answer.read().decode(), answer.headers
    connection.close()
    return told


def test_what_does_not_come_from_the_page_is_refused(mine):
    first = items(mine, "es")[0]
    with served(mine) as server:
        cookie = {"Cookie": f"mldata_review_{server.port}={server.token}"}
        form = {"verdict": "wrong", "digest": first.digest}
        row = "/rows/es/ana/1"
        assert ask(server, "GET", "/")[0] == 403
        assert ask(server, "GET", f"/?token={server.token[:-1]}")[0] == 403
        assert ask(server, "GET", "/static/review.js")[0] == 403
        assert ask(server, "GET", "/", Cookie=f"mldata_review_{server.port}=ñ")[0] == 403
        for host in ("evil.example", f"evil.example:{server.port}", "127.0.0.1", "", None):
            assert ask(server, "GET", "/", Host=host, **cookie)[0] in (400, 403)
        for origin in ("http://evil.example", "null", f"http://127.0.0.1:{server.port + 1}", None):
            assert ask(server, "POST", row, form=form, Origin=origin, **cookie)[0] == 403
        assert ask(server, "POST", row, form=form)[0] == 403
        assert ask(server, "POST", row, form=form | {"comment": "x" * 70_000}, **cookie)[0] == 403
        assert (
            ask(server, "POST", row, form={"verdict": "superb", "digest": first.digest}, **cookie)[0] == 400
        )
        assert ask(server, "POST", row, form=form | {"digest": "other"}, **cookie)[0] == 400
        assert ask(server, "GET", "/rows/es/..%2F..%2Fana/1", **cookie)[0] in (400, 404)
        assert ask(server, "GET", "/rows/es/ana/999", **cookie)[0] == 400
        assert ask(server, "GET", "/rows/tlh/ana/1", **cookie)[0] == 400
        assert not mine.with_name("set.review").exists()
        status, _, headers = ask(server, "GET", f"/?token={server.token}")
        assert status == 200
        assert re.search(r"HttpOnly; Path=/; SameSite=strict", headers["Set-Cookie"])
        assert "script-src 'self'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert ask(server, "POST", row, form=form, **cookie)[0] == 303
    assert [line["verdict"] for line in lines_of(mine, "ana")] == ["wrong"]


def test_reviewers_at_two_pages_at_once_lose_nothing(mine):
    """Ana judges at both, each half of her rows; Bo all of them at the second."""
    drawn = items(mine, "es")

    def judge(server, reviewer, numbers):
        for number in numbers:
            form = {
                "verdict": ("adequate", "major")[number % 2],
                "comment": "x" * number,
                "digest": drawn[number].digest,
            }
            path = f"/rows/es/{reviewer}/{number + 1}?token={server.token}"
            assert ask(server, "POST", path, form=form)[0] == 303

    with served(mine) as one, served(mine) as other:
        count = len(drawn)
        work = [
            (one, "ana", range(0, count, 2)),
            (other, "ana", range(1, count, 2)),
            (other, "bo", range(count)),
        ]
        threads = [threading.Thread(target=judge, args=part) for part in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for reviewer in ("ana", "bo"):
        said = {line["concept_id"]: line["verdict"] for line in lines_of(mine, reviewer)}
        assert len(lines_of(mine, reviewer)) == count == 40
        assert said == {
            item.beside.concept_id: ("adequate", "major")[number % 2] for number, item in enumerate(drawn)
        }
    (agreement,) = verdicts(mine).languages["es"].agreements
    assert (agreement.rows, agreement.same, agreement.kappa) == (40, 1.0, 1.0)


def test_a_set_made_anew_while_its_page_is_open_is_seen(built, mine):
    with served(mine) as server:
        before = ask(server, "GET", f"/rows/es/ana/1?token={server.token}")[1]
        digest = re.search(r'name="digest" value="(\w+)"', before)[1]
        first = items(mine, "es")[0].beside.concept_id
        anew = write_set(built.path, mine.parent / "anew", {"chosen": "Habla con él."})
        for file in ("manifest.json", "data/train-00000-of-00001.arrow", "dropped/rows-00000-of-00001.arrow"):
            (anew / file).replace(mine / file)
        at = [item.beside.concept_id for item in items(mine, "es")].index(f"{0:032x}") + 1
        after = ask(server, "GET", f"/rows/es/ana/{at}?token={server.token}")[1]
        assert "Habla con él." in after
        form = {"verdict": "adequate", "digest": digest if first == f"{0:032x}" else "of before"}
        path = f"/rows/es/ana/{at}?token={server.token}"
        status, said, _ = ask(server, "POST", path, form=form)
        assert (status, "made anew" in said) == (400, True)


CONTENTS = st.text(st.characters(codec="utf-8"), max_size=30).filter(lambda text: "\n\nuser: " not in text)


@settings(deadline=None)
@given(st.lists(CONTENTS, min_size=1, max_size=5))
def test_a_conversation_is_shown_message_by_message(contents):
    said = inspection.said([{"role": "user", "content": content} for content in contents])
    assert messages(said, ["user"] * len(contents)) == contents


def test_a_text_that_is_no_conversation_is_shown_whole():
    assert messages("Bonjour.\n\nÇa va ?", []) == ["Bonjour.\n\nÇa va ?"]
    assert messages("user: Bonjour.", ["user", "assistant"]) == ["user: Bonjour."]
