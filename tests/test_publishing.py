"""A set goes to the hub whole, in one commit, and comes back as a set; what stands in the way is told."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

import mldata
from mldata import inspection
from mldata.errors import InputError, SetError
from mldata.visible import without_places
from tests import hub as standin
from tests.conftest import bytes_of, environment, run_mldata

NAME = "org/prefs"
URI = f"hf://{NAME}"
CARDS = ("README.md", "manifest.json")

# What huggingface_hub does with its HTTP library is its own affair.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub():
    with standin.running() as made:
        yield made


@pytest.fixture
def variables(hub, tmp_path):
    """The environment of someone who may write, with a cache of their own."""
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": standin.TOKEN,
    }


@pytest.fixture
def command(variables, tmp_path):
    """The real command, in a process of its own."""
    return lambda *arguments, **changes: run_mldata(*arguments, cwd=tmp_path, **{**variables, **changes})


@pytest.fixture
def push(hub, built, monkeypatch, tmp_path):
    """`mldata.push` of `built`, unless another set is given, as someone with a token, in this process."""
    standin.ask(hub, monkeypatch, tmp_path)

    def run(path=built.path, to=URI, token=standin.TOKEN, **options):
        monkeypatch.setenv("HF_TOKEN", token)
        return mldata.push(path, to, **options)

    return run


@pytest.fixture
def mended(built, tmp_path):
    """Another set of the same source, stricter, of one's own."""
    path = built.copy_to(tmp_path)
    mldata.select(path, rules=["similarity>=0.9"])
    return path


@pytest.fixture(scope="module")
def data(built):
    """The files of `built` that a push sends as they are."""
    files = bytes_of(built.path, "run.json", "report.html", *CARDS)
    return {name: held for name, held in files.items() if not name.startswith("dropped/")}


def refused(push, *arguments, **options):
    """The one line that says why."""
    with pytest.raises(InputError) as error:
        push(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


READ = """
import datasets, mldata
there = mldata.open_set("hf://org/prefs")
theirs = datasets.load_dataset("org/prefs")
assert set(theirs) == {"train", "test"}
for split, rows in theirs.items():
    assert rows["chosen"][:] == there.scan(split).collect()["chosen"].to_list()
print(sum(len(d) for d in theirs.values()))
"""


def test_a_set_that_was_pushed_comes_back_whole(built, data, hub, command, variables, tmp_path):
    before = bytes_of(built.path)
    done = command("push", built.path, URI)
    assert done.code == 0, done.err
    assert "licence: that of the source" in done.out
    assert f"{hub.url}/datasets/{NAME}" in done.out
    assert done.err == ""
    files = hub.files(NAME)
    assert data.items() <= files.items()
    assert files.keys() - data.keys() == {".gitattributes", "report.html", *CARDS}
    assert hub.repositories[NAME].messages == ["initial commit", "prefs, made with mldata 0.1.0"]
    assert f'load_dataset("{NAME}")' in files["README.md"].decode()
    assert f"--data {URI} " in files["README.md"].decode()
    assert bytes_of(built.path) == before

    proof = command("verify", URI)
    assert proof.code == 0, proof.err
    assert f"{URI} is whole: 8 concepts" in proof.out
    assert "dropped rows weren't published" in proof.out

    reader = subprocess.run(
        [sys.executable, "-c", READ],
        env=environment(**{**variables, "HF_TOKEN": ""}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert reader.returncode == 0, reader.stderr
    assert int(reader.stdout) == mldata.open_set(built.path).scan().collect().height


def test_a_dry_run_lists_files_and_bytes_and_asks_no_network(built, data, hub, command):
    done = command("push", built.path, URI, "--dry-run", HF_TOKEN="")
    assert done.code == 0, done.err
    assert hub.seen == []
    for name in [*data, *CARDS]:
        assert f"  {name}\n" in done.out
    assert "of dropped rows stay here" in done.out
    assert "licence: that of the source" in done.out


def test_who_may_not_write_is_told_what_to_do_and_no_token_is_shown(built, hub, command):
    done = command("push", built.path, URI, HF_TOKEN=standin.READER)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert "your token doesn't allow this at hf://org/prefs (You don't have the rights" in done.err
    assert "nothing there was changed" in done.err
    assert standin.READER not in done.out + done.err


def test_dropped_rows_go_along_when_asked_for_and_leave_again(built, hub, push):
    assert len(push(with_dropped=True).sent) == 9
    assert bytes_of(built.path, "run.json", "report.html", *CARDS).items() <= hub.files(NAME).items()
    assert mldata.verify(URI).unpublished == []
    assert mldata.open_set(URI).scan_dropped().collect().height > 0
    gone = push()
    assert set(gone.sent) <= {"manifest.json", "report.html"}
    assert {name.partition("/")[0] for name in gone.deleted} == {"dropped"}
    assert len(mldata.verify(URI).unpublished) == 3
    with pytest.raises(InputError, match="weren't published"):
        mldata.open_set(URI).scan_dropped()


def test_a_push_of_what_is_there_makes_no_commit(hub, push):
    first = push()
    hub.seen.clear()
    again = push()
    assert (again.sent, again.deleted, again.commit) == ((), (), first.commit)
    assert len(hub.repositories[NAME].messages) == 2
    assert not [request for request in hub.seen if request.startswith(("POST", "PUT"))]


def test_files_of_an_earlier_set_go_in_the_commit_that_brings_the_new_one(hub, push):
    stale = ["data/train-00007-of-00009.arrow", "dropped/rows.arrow"]
    others = {"LICENSE": b"CC0", "figures/gap.png": b"PNG", "database/x": b"x"}
    hub.create(NAME, **others, **dict.fromkeys(stale, b"old"), **dict.fromkeys(CARDS, b"old"))
    assert list(push().deleted) == stale
    assert not set(stale) & hub.files(NAME).keys()
    assert others.items() <= hub.files(NAME).items()
    assert len(hub.repositories[NAME].messages) == 2
    assert mldata.verify(URI).concepts_kept == 8


def test_a_branch_gets_the_set_and_main_stays_as_it_was(hub, push):
    hub.create(NAME)
    made = push(revision="v2", message="Stricter rules")
    assert made.url == f"{hub.url}/datasets/{NAME}/tree/v2"
    assert set(hub.files(NAME)) == {".gitattributes"}
    assert "manifest.json" in hub.files(NAME, "v2")
    assert hub.repositories[NAME].messages[-1] == "Stricter rules"
    assert push(to=f"{URI}@v2").sent == ()
    assert mldata.verify(f"{URI}@v2").concepts_kept == 8
    assert "is no set" in refused(mldata.verify, URI)
    assert refused(mldata.verify, f"{URI}@v3") == f"{URI} has no branch, tag or commit v3"
    assert "names the branch v2" in refused(push, to=f"{URI}@v2", revision="v3")


def test_private_sets_are_never_put_where_all_can_read(hub, push):
    push(private=True)
    assert hub.repositories[NAME].private
    assert push(private=True).sent == ()
    assert push().sent == ()
    assert hub.repositories[NAME].private
    hub.create("org/open")
    assert "hf://org/open is public" in refused(push, to="hf://org/open", private=True)
    assert set(hub.files("org/open")) == {".gitattributes"}


def test_a_damaged_set_stays_at_home(built, hub, push, tmp_path):
    path = built.copy_to(tmp_path)
    shard = next(path.glob("data/train-*"))
    shard.write_bytes(shard.read_bytes()[:-8] + b"12345678")
    with pytest.raises(SetError, match="is damaged"):
        push(path)
    assert hub.seen == []


def test_a_dataset_of_something_else_isnt_overwritten(hub, push):
    hub.create(NAME, **{"data.csv": b"a,b\n"})
    assert "holds something else than a set (data.csv)" in refused(push)
    assert set(hub.files(NAME)) == {".gitattributes", "data.csv"}


@pytest.mark.parametrize("token", ["", "hf_typo"], ids=["none", "wrong"])
def test_who_isnt_known_is_told_to_log_in(hub, push, token):
    assert "hf auth login" in refused(push, token=token)
    assert NAME not in hub.repositories


def test_who_may_not_read_is_told_to_log_in(hub, push):
    push(private=True)
    push_nothing = refused(push, token="")
    assert "hf auth login" in push_nothing
    assert "hf auth login" in refused(mldata.open_set, URI)
    assert "hf auth login" in refused(mldata.open_set, "hf://org/absent")


@pytest.mark.parametrize(
    "uri", ["prefs", "hf://prefs", "hf://a/b/c", "hf://a/b--c", "hf://a/b.git", "s3://a/b", "hf:/a/b"]
)
def test_what_is_no_dataset_of_the_hub_is_refused_at_once(hub, push, uri):
    assert "hf://org/name" in refused(push, to=uri)
    assert hub.seen == []


def test_a_hub_that_is_slow_and_fails_once_is_asked_again(hub, push):
    hub.failing.append(("PUT /lfs/", 500, 1))
    hub.slow["PUT /lfs/"] = 0.3
    push()
    assert mldata.verify(URI).concepts_kept == 8


def test_a_hub_that_fails_at_the_commit_keeps_what_it_had(hub, push, mended):
    push()
    before = hub.files(NAME)
    hub.failing.append(("POST .*/commit/", 500, 1))
    said = refused(push, mended)
    assert "the hub answered 500" in said
    assert "readers have the old set or the new one, whole" in said
    assert hub.files(NAME) == before
    push(mended)
    assert hub.files(NAME) != before
    assert mldata.verify(URI).concepts_kept <= 8


def test_a_hub_that_refuses_the_upload_says_so(hub, push):
    hub.failing.append(("PUT /lfs/", 403, 2))
    assert "your token doesn't allow this" in refused(push)
    assert set(hub.files(NAME)) == {".gitattributes"}


def test_a_set_pushed_by_another_meanwhile_is_not_written_over(hub, push, mended):
    push()
    hub.seen.clear()
    hub.slow["POST .*/preupload/"] = 0.5
    repository = hub.repositories[NAME]

    def other():
        while not any("/preupload/" in request for request in hub.seen):
            time.sleep(0.01)
        repository.commit("main", {**hub.files(NAME), "README.md": b"by another"}, "theirs")

    thread = threading.Thread(target=other)
    thread.start()
    said = refused(push, mended)
    thread.join()
    assert "was changed by another meanwhile" in said
    assert hub.files(NAME)["README.md"] == b"by another"


def test_a_set_built_anew_while_it_is_sent_is_not_published(hub, push, mended):
    hub.slow["PUT /lfs/"] = 1.0

    def other():
        while not any("PUT /lfs/" in request for request in hub.seen):
            time.sleep(0.01)
        mldata.select(mended, rules=["similarity>=0.95"])

    thread = threading.Thread(target=other)
    thread.start()
    said = refused(push, mended)
    thread.join()
    assert "was built anew while it was sent" in said
    assert set(hub.files(NAME)) == {".gitattributes"}


def test_a_line_that_goes_dead_is_told_in_one_line(hub, push):
    hub.breaking = "POST .*/commit/"
    assert "can't be reached, or broke off" in refused(push)
    assert set(hub.files(NAME)) == {".gitattributes"}


def test_a_machine_kept_offline_is_told_so(push, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in refused(push)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_push_stopped_midway_leaves_the_old_set_and_goes_on(hub, push, mended, variables, tmp_path, how):
    push()
    before = hub.files(NAME)
    hub.seen.clear()
    hub.slow["PUT /lfs/"] = 1.5
    process = subprocess.Popen(
        [sys.executable, "-m", "mldata", "push", str(mended), URI],
        cwd=tmp_path,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not any(request.startswith("PUT") for request in hub.seen):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    assert hub.files(NAME) == before
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert err.count("\n") == 2  # what is kept, and the command that goes on
        assert "interrupted" in err
    hub.slow.clear()
    push(mended)
    assert mldata.verify(URI).languages == mldata.verify(mended).languages


def test_what_is_published_says_nothing_of_where_it_was_made(built, hub, push):
    push(with_dropped=True)
    assert str(built.source) in (built.path / "manifest.json").read_text("utf-8")
    for name, held in hub.files(NAME).items():
        assert str(built.source.parent).encode() not in held, name
        assert str(built.work).encode() not in held, name
    assert json.loads(hub.files(NAME)["manifest.json"])["source"]["uri"] == "prefs.jsonl"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/home/ana/prefs.jsonl", "prefs.jsonl"),
        ("/home/ana maria/my prefs.jsonl", "my prefs.jsonl"),
        ("../../prefs.work", "prefs.work"),
        ("~/models/nllb", "nllb"),
        ("es=/data/es.jsonl de=/data/de.parquet", "es=es.jsonl de=de.parquet"),
        ("/data/gsm8k.jsonl:question", "gsm8k.jsonl:question"),
        ("ctranslate2 4.6, /models/nllb", "ctranslate2 4.6, nllb"),
        ("identifiers:/models/lid.bin.0a1b|over:min", "identifiers:lid.bin.0a1b|over:min"),
        ("hf://org/prefs:train", "hf://org/prefs:train"),
        ("https://example.org/v1/chat", "https://example.org/v1/chat"),
        ("https://ana:word@example.org/a.jsonl?token=x", "https://example.org/a.jsonl"),
        ("hf://datasets/org/name@v1/a?.jsonl", "hf://datasets/org/name@v1/a?.jsonl"),
        ("data/train-00000-of-00001.arrow", "data/train-00000-of-00001.arrow"),
        ("and/or, 1/2, /", "and/or, 1/2, /"),
    ],
)
def test_paths_become_names(text, left):
    assert without_places(text) == left


def test_a_key_among_a_requests_extra_fields_is_not_published(hub, push, built, tmp_path):
    path = built.copy_to(tmp_path)
    manifest = json.loads((path / "manifest.json").read_text("utf-8"))
    extra = {"api_key": "sk-1", "top_p": 0.5}
    manifest["recipe"]["engines"]["chat"] = {"engine": "chat", "model": "m", "extra": extra}
    (path / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    push(path)
    there = json.loads(hub.files(NAME)["manifest.json"])
    assert there["recipe"]["engines"]["chat"]["extra"] == {"top_p": 0.5}
    assert not [name for name, held in hub.files(NAME).items() if b"sk-1" in held]


def test_a_published_report_tells_neither_of_the_machine_nor_of_dropped_rows(push, hub, built):
    push()
    here, there = (built.path / "report.html").read_text("utf-8"), hub.files(NAME)["report.html"].decode()
    for told in ("<dt>Command</dt>", "<dt>Machine</dt>", str(built.source.parent), "<dt>Work store</dt>"):
        assert told in here
        assert told not in there
    assert "Dropped by one rule" in here
    assert "Dropped by one rule" not in there
    assert "Kept, nearest to a threshold" in there
    push(with_dropped=True)
    assert "Dropped by one rule" in hub.files(NAME)["report.html"].decode()


def test_a_download_without_dropped_rows_can_be_inspected(push, command, tmp_path):
    push()
    copy = tmp_path / "copy"
    shutil.copytree(mldata.open_set(URI).path, copy)
    assert command("inspect", copy).code == 0
    assert inspection.reasons(copy).is_empty()
    assert len(inspection.concept(copy, mldata.open_set(URI).scan().collect()["concept_id"][0])) > 1
    done = command("inspect", copy, "--rejected")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "weren't published" in done.err
