"""The tables of the package: one row a language, columns between bars, several codes between blanks."""

# tag | labels of lid.176 | labels of heliport | ISO 639-3 codes in labels of GlotLID and OpenLID.
#
# Where identifiers can't tell close relatives apart, all of them are right: lid.176 calls 4 % of Bosnian
# sentences `bs` and the rest hr, sr or sh; it knows one Norwegian (`no`); no identifier here tells Aragonese
# from Spanish, so `an` must also differ from its Spanish pivot (see evidence/structure.py). An empty column:
# that identifier doesn't know the language. lid.176's `als` is Alemannic, GlotLID's is Albanian. GlotLID 3
# says fas for Iranian Persian and Dari, arb for Ta'izzi-Adeni Arabic and ktu for Kongo.
IDENTIFIERS = """
ace      |             | ace                      | ace
ace-Arab |             |                          | ace
acm-Arab | ar arz      | ara                      | acm
acq-Arab | ar arz      | ara                      | acq arb
aeb      | ar arz      | ara                      | aeb
af       | af          | afr                      | afr
ajp-Arab | ar arz      | ara                      | ajp apc
ak       |             | twi                      | aka fat twi
am       | am          | amh                      | amh
an       | an ast es   | spa                      | arg ast spa
apc      | ar arz      | ara                      | ajp apc
ar       | ar arz      | ara                      | ara arb arz
ars      | ar arz      | ara                      | arb ars
ary      | ar arz      | ara                      | ary
arz      | ar arz      | ara                      | arz
as       | as          | asm                      | asm
ast      | ast         |                          | ast
awa      |             |                          | awa
ay       |             | ayr                      | aym ayr
az       | az          | aze                      | aze azj
azb-Arab | azb         |                          | azb
ba       | ba          | bak                      | bak
ban      |             |                          | ban
be       | be          | bel                      | bel
bem      |             |                          | bem
bg       | bg          | bul                      | bul
bho      | bh          |                          | bho
bjn      |             |                          | bjn
bjn-Arab |             |                          | bjn
bm       |             |                          | bam
bn       | bn          | ben                      | ben
bo       | bo          | bod                      | bod
br       | br          | bre                      | bre
bs       | bs hr sh sr | hbs hbsbos hbshrv hbssrp | bos hrv srp
bug      |             |                          | bug
ca       | ca          | cat                      | cat
ce       | ce          | che                      | che
ceb      | ceb         | ceb                      | ceb
cjk      |             |                          | cjk
ckb      | ckb         | ckb                      | ckb
co       | co          | cos                      | cos
crh-Latn |             |                          | crh
cs       | cs          | ces                      | ces
cv       | cv          | chv                      | chv
cy       | cy          | cym                      | cym
da       | da          | dan                      | dan
de       | de          | deu                      | deu
din      |             | dik                      | dik din
dv       | dv          | div                      | div
dyu      |             |                          | dyu
dz       |             |                          | dzo
ee       |             | ewe                      | ewe
el       | el          | ell                      | ell
en       | en          | eng                      | eng
eo       | eo          | epo                      | epo
es       | es          | spa                      | spa
et       | et          | est                      | ekk est
eu       | eu          | eus                      | eus
fa       | fa          | pes                      | fas pes prs
fa-AF    | fa          | pes                      | fas pes prs
ff       |             |                          | fuc fuf ful fuv
fi       | fi          | fin                      | fin
fil      | tl          | tgl                      | fil tgl
fj       |             | fij                      | fij
fo       |             | fao                      | fao
fon      |             | fon                      | fon
fr       | fr          | fra                      | fra
fur      |             |                          | fur
fuv      |             |                          | ful fuv
fy       | fy          | fry                      | fry
ga       | ga          | gle                      | gle
gd       | gd          | gla                      | gla
gl       | gl          | glg                      | glg
gn       | gn          | grn                      | grn gug
gu       | gu          | guj                      | guj
ha       |             |                          | hau
he       | he          | heb                      | heb
hi       | hi          | hin                      | hin
hne      |             |                          | hne
hr       | bs hr sh sr | hbs hbsbos hbshrv hbssrp | bos hrv srp
ht       | ht          | hat                      | hat
hu       | hu          | hun                      | hun
hy       | hy          | hye                      | hye
id       | id ms       | msa msaind msamalay      | ind msa zsm
ig       |             | ibo                      | ibo
ilo      | ilo         | ilo                      | ilo
is       | is          | isl                      | isl
it       | it          | ita                      | ita
ja       | ja          | jpn                      | jpn
jv       | jv          |                          | jav
ka       | ka          | kat                      | kat
kab      |             |                          | kab
kac      |             | kac                      | kac
kam      |             |                          | kam
kbp      |             | kbp                      | kbp
kea      |             |                          | kea
kg       |             |                          | kng kon ktu
ki       |             |                          | kik
kk       | kk          | kaz                      | kaz
km       | km          | khm                      | khm
kmb      |             |                          | kmb
kn       | kn          | kan                      | kan
ko       | ko          | kor                      | kor
kr       |             | knc                      | kau knc
kr-Arab  |             |                          | kau knc
ks       |             |                          | kas
ks-Deva  |             |                          | kas
ku       | ku          | kmr                      | kmr kur
ky       | ky          | kir                      | kir
la       | la          | lat                      | lat
lb       | lb          | ltz                      | ltz
lg       |             | lug                      | lug
li       | li          |                          | lim
lij      |             |                          | lij
lmo      | lmo         | lmo                      | lmo
ln       |             | lin                      | lin
lo       | lo          | lao                      | lao
lt       | lt          | lit                      | lit
ltg      |             |                          | ltg
lua      |             |                          | lua
luo      |             | luo                      | luo
lus      |             | lus                      | lus
lv       | lv          | lav                      | lav lvs
mag      |             |                          | mag
mai      | mai         |                          | mai
mg       | mg          | mlg                      | mlg plt
mi       |             | mri                      | mri
min      | min         | msamin                   | min
mk       | mk          | mkd                      | mkd
ml       | ml          | mal                      | mal
mn       | mn          | mon                      | khk mon
mni      |             |                          | mni
mos      |             |                          | mos
mr       | mr          | mar                      | mar
ms       | id ms       | msa msamalay msazsm      | ind msa zsm
mt       | mt          | mlt                      | mlt
my       | my          | mya                      | mya
nb       | nn no       | nob                      | nno nob nor
ne       | ne          | nep                      | nep npi
nl       | nl          | nld                      | nld
nn       | nn no       | nno                      | nno
nso      |             | nso                      | nso
nus      |             | nus                      | nus
ny       |             |                          | nya
oc       | oc          | oci                      | oci
om       |             | gaz                      | gaz orm
or       | or          | ori                      | ori ory
os       | os          | oss                      | oss
pa       | pa          | pan                      | pan
pag      |             | pag                      | pag
pap      |             |                          | pap
pl       | pl          | pol                      | pol
ps       | ps          | pbt                      | pbt pbu pst pus
pt       | pt          | por                      | por
quy      | qu          | que                      | que quy
rm       | rm          | roh                      | roh
rn       |             |                          | run
ro       | ro          | ron                      | ron
ru       | ru          | rus                      | rus
rw       |             |                          | kin
sa       | sa          |                          | san
sah      | sah         | sah                      | sah
sat      |             | sat                      | sat
sc       | sc          | srd                      | srd
scn      | scn         | scn                      | scn
sd       | sd          | snd                      | snd
sg       |             | sag                      | sag
shn      |             | shn                      | shn
si       | si          | sin                      | sin
sk       | sk          | slk                      | slk
sl       | sl          | slv                      | slv
sm       |             |                          | smo
sn       |             | sna                      | sna
so       | so          | som                      | som
sq       | sq          | sqi                      | als sqi
sr-Cyrl  | bs hr sh sr | hbs hbsbos hbshrv hbssrp | bos hrv srp
sr-Latn  | bs hr sh sr | hbs hbsbos hbshrv hbssrp | bos hrv srp
ss       |             |                          | ssw
st       |             | sot                      | sot
su       | su          |                          | sun
sv       | sv          | swe                      | swe
sw       | sw          | swa                      | swa swh
szl      |             |                          | szl
ta       | ta          | tam                      | tam
taq      |             |                          | taq
taq-Tfng |             |                          | taq
te       | te          | tel                      | tel
tg       | tg          | tgk                      | tgk
th       | th          | tha                      | tha
ti       |             | tir                      | tir
tk       | tk          | tuk                      | tuk
tn       |             |                          | tsn
tpi      |             |                          | tpi
tr       | tr          | tur                      | tur
ts       |             | tso                      | tso
tt       | tt          | tat                      | tat
tum      |             |                          | tum
tw       |             | twi                      | aka twi
tzm-Tfng |             |                          | tzm zgh
ug       | ug          | uig                      | uig
uk       | uk          | ukr                      | ukr
umb      |             |                          | umb
ur       | ur          | urd                      | urd
uz       | uz          | uzn                      | uzb uzn
vec      |             |                          | vec
vi       | vi          | vie                      | vie
war      | war         | war                      | war
wo       |             |                          | wol
xh       |             |                          | xho
yi       | yi          | yid                      | ydd yid
yo       | yo          | yor                      | yor
yue      | yue         |                          | yue
zh       | wuu yue zh  | cmn                      | cmn wuu yue zho
zh-Hant  | wuu yue zh  | cmn                      | cmn wuu yue zho
zu       |             | zul                      | zul
"""

# tag | NLLB-200 | M2M100 | MADLAD-400 | OPUS-MT in models' names | OPUS-MT in `>>spa<<`, the usual one first.
#
# The codes of NLLB and M2M100 are those that transformers lists, those of MADLAD the tokens of its vocabulary
# (both are compared in tests). None is guessed: a model given a code it doesn't know translates all the same,
# MADLAD into Spanish. Hence some gaps that look like oversights:
# - NLLB writes Serbian in Cyrillic only, and Santali (`sat_Beng`) in Ol Chiki, in spite of its code.
# - MADLAD's published list names more languages than its vocabulary has tokens (no `yue`, `nb`, `ast`); of
#   Bosnian, Meitei and Tamazight it isn't certain in which script it writes; Hebrew is `he`, not `iw`.
# - M2M100 calls Northern Sotho `ns`. OPUS-MT has opus-mt-ja-en, but opus-mt-en-jap.
TRANSLATORS = """
ace      | ace_Latn |     | ace      |     |
ace-Arab | ace_Arab |     | ace_Arab |     |
acm-Arab | acm_Arab |     |          |     |
acq-Arab | acq_Arab |     |          |     |
aeb      | aeb_Arab |     |          |     |
af       | afr_Latn | af  | af       | af  | afr af
ajp-Arab | ajp_Arab |     |          |     |
ak       | aka_Latn |     | ak       |     | aka ak
am       | amh_Ethi | am  | am       | am  | amh am
an       |          |     | an       |     | arg an
apc      | apc_Arab |     |          |     | apc
ar       | arb_Arab | ar  | ar       | ar  | ara ar
ars      | ars_Arab |     |          |     |
ary      | ary_Arab |     | ary      |     | ary
arz      | arz_Arab |     | arz      |     | arz
as       | asm_Beng |     | as       |     | asm as
ast      | ast_Latn | ast |          |     | ast
awa      | awa_Deva |     | awa      |     | awa
ay       | ayr_Latn |     | ay       |     |
az       | azj_Latn | az  | az       | az  | aze_Latn
azb-Arab | azb_Arab |     |          |     |
ba       | bak_Cyrl | ba  | ba       |     | bak ba
ban      | ban_Latn |     | ban      |     |
be       | bel_Cyrl | be  | be       | be  | bel be
bem      | bem_Latn |     |          | bem | bem
bg       | bul_Cyrl | bg  | bg       | bg  | bul bg
bho      | bho_Deva |     | bho      |     | bho
bjn      | bjn_Latn |     | bjn      |     |
bjn-Arab | bjn_Arab |     | bjn_Arab |     |
bm       | bam_Latn |     | bm       |     | bam bm
bn       | ben_Beng | bn  | bn       | bn  | ben bn
bo       | bod_Tibt |     | bo       |     | bod bo
br       |          | br  | br       |     | bre br
bs       | bos_Latn | bs  |          | bs  | bos_Latn
bug      | bug_Latn |     | bug      |     |
ca       | cat_Latn | ca  | ca       | ca  | cat ca
ce       |          |     | ce       |     | che ce
ceb      | ceb_Latn | ceb | ceb      | ceb | ceb
cjk      | cjk_Latn |     |          |     |
ckb      | ckb_Arab |     | ckb      |     |
co       |          |     | co       |     | cos co
crh-Latn | crh_Latn |     | crh_Latn |     | crh_Latn
cs       | ces_Latn | cs  | cs       | cs  | ces cs
cv       |          |     | cv       |     | chv cv
cy       | cym_Latn | cy  | cy       | cy  | cym cy
da       | dan_Latn | da  | da       | da  | dan da
de       | deu_Latn | de  | de       | de  | deu de
din      | dik_Latn |     | din      |     |
dv       |          |     | dv       |     | div dv
dyu      | dyu_Latn |     | dyu      |     |
dz       | dzo_Tibt |     | dz       |     |
ee       | ewe_Latn |     | ee       |     | ewe ee
el       | ell_Grek | el  | el       | el  | ell el
en       | eng_Latn | en  | en       | en  | eng en
eo       | epo_Latn |     | eo       | eo  | epo eo
es       | spa_Latn | es  | es       | es  | spa es
et       | est_Latn | et  | et       | et  | est et
eu       | eus_Latn |     | eu       | eu  | eus eu
fa       | pes_Arab | fa  | fa       | fa  | pes fas fa
fa-AF    | prs_Arab |     | prs      |     |
ff       |          | ff  | ff       |     |
fi       | fin_Latn | fi  | fi       | fi  | fin fi
fil      | tgl_Latn | tl  | fil      | tl  | fil_Latn tgl_Latn tgl tl
fj       | fij_Latn |     | fj       | fj  | fij fj
fo       | fao_Latn |     | fo       |     | fao fo
fon      | fon_Latn |     | fon      |     |
fr       | fra_Latn | fr  | fr       | fr  | fra fr
fur      | fur_Latn |     | fur      |     | fur
fuv      | fuv_Latn |     | fuv      |     |
fy       |          | fy  | fy       |     | fry fy
ga       | gle_Latn | ga  | ga       | ga  | gle ga
gd       | gla_Latn | gd  | gd       |     | gla gd
gl       | glg_Latn | gl  | gl       | gl  | glg gl
gn       | grn_Latn |     | gn       |     | grn gn
gu       | guj_Gujr | gu  | gu       |     | guj gu
ha       | hau_Latn | ha  | ha       | ha  | hau ha
he       | heb_Hebr | he  | he       | he  | heb he
hi       | hin_Deva | hi  | hi       | hi  | hin hi
hne      | hne_Deva |     | hne      |     |
hr       | hrv_Latn | hr  | hr       | hr  | hrv hr
ht       | hat_Latn | ht  | ht       | ht  | hat ht
hu       | hun_Latn | hu  | hu       | hu  | hun hu
hy       | hye_Armn | hy  | hy       | hy  | hye hy
id       | ind_Latn | id  | id       | id  | ind id
ig       | ibo_Latn | ig  | ig       | ig  | ibo ig
ilo      | ilo_Latn | ilo | ilo      | ilo | ilo
is       | isl_Latn | is  | is       | is  | isl is
it       | ita_Latn | it  | it       | it  | ita it
ja       | jpn_Jpan | ja  | ja       | ja  | jpn ja
jv       | jav_Latn | jv  | jv       |     | jav jv
ka       | kat_Geor | ka  | ka       | ka  | kat ka
kab      | kab_Latn |     |          |     |
kac      | kac_Latn |     | kac      |     |
kam      | kam_Latn |     |          |     |
kbp      | kbp_Latn |     | kbp      |     |
kea      | kea_Latn |     |          |     |
kg       | kon_Latn |     | kg       | kg  | kon kg
ki       | kik_Latn |     |          |     | kik ki
kk       | kaz_Cyrl | kk  | kk       |     | kaz_Cyrl
km       | khm_Khmr | km  | km       |     | khm km
kmb      | kmb_Latn |     | kmb      |     |
kn       | kan_Knda | kn  | kn       |     | kan kn
ko       | kor_Hang | ko  | ko       | ko  | kor ko
kr       | knc_Latn |     | kr       |     |
kr-Arab  | knc_Arab |     | kr_Arab  |     |
ks       | kas_Arab |     | ks       |     |
ks-Deva  | kas_Deva |     | ks_Deva  |     |
ku       | kmr_Latn |     | ku       |     | kmr_Latn kur_Latn
ky       | kir_Cyrl |     | ky       |     | kir ky
la       |          |     | la       |     | lat_Latn
lb       | ltz_Latn | lb  | lb       |     | ltz lb
lg       | lug_Latn | lg  | lg       | lg  | lug lg
li       | lim_Latn |     | li       |     | lim li
lij      | lij_Latn |     | lij      |     | lij
lmo      | lmo_Latn |     | lmo      |     | lmo
ln       | lin_Latn | ln  | ln       | ln  | lin ln
lo       | lao_Laoo | lo  | lo       |     | lao lo
lt       | lit_Latn | lt  | lt       | lt  | lit lt
ltg      | ltg_Latn |     | ltg      |     |
lua      | lua_Latn |     |          | lua | lua
luo      | luo_Latn |     |          | luo | luo
lus      | lus_Latn |     | lus      | lus | lus
lv       | lvs_Latn | lv  | lv       | lv  | lav lv
mag      | mag_Deva |     | mag      |     |
mai      | mai_Deva |     | mai      |     | mai
mg       | plt_Latn | mg  | mg       | mg  | plt mlg mg
mi       | mri_Latn |     | mi       |     | mri mi
min      | min_Latn |     | min      |     | min
mk       | mkd_Cyrl | mk  | mk       | mk  | mkd mk
ml       | mal_Mlym | ml  | ml       | ml  | mal ml
mn       | khk_Cyrl | mn  | mn       |     |
mni      | mni_Beng |     |          |     |
mos      | mos_Latn |     |          |     |
mr       | mar_Deva | mr  | mr       | mr  | mar mr
ms       | zsm_Latn | ms  | ms       | ms  | zsm_Latn
mt       | mlt_Latn |     | mt       | mt  | mlt mt
my       | mya_Mymr | my  | my       |     | mya my
nb       | nob_Latn | no  | no       | no  | nob
ne       | npi_Deva | ne  | ne       |     | nep ne
nl       | nld_Latn | nl  | nl       | nl  | nld nl
nn       | nno_Latn |     | nn       |     | nno
nso      | nso_Latn | ns  | nso      | nso | nso
nus      | nus_Latn |     | nus      |     |
ny       | nya_Latn |     | ny       | ny  | nya ny
oc       | oci_Latn | oc  | oc       |     | oci oc
om       | gaz_Latn |     | om       | om  | gaz orm om
or       | ory_Orya | or  | or       |     | ori or
os       |          |     | os       |     | oss os
pa       | pan_Guru | pa  | pa       | pa  | pan_Guru
pag      | pag_Latn |     | pag      | pag | pag
pap      | pap_Latn |     | pap      | pap | pap
pl       | pol_Latn | pl  | pl       | pl  | pol pl
ps       | pbt_Arab | ps  | ps       |     | pus ps
pt       | por_Latn | pt  | pt       | pt  | por pt
quy      | quy_Latn |     | quy      |     |
rm       |          |     | rm       |     | roh rm
rn       | run_Latn |     | rn       | run | run rn
ro       | ron_Latn | ro  | ro       | ro  | ron ro
ru       | rus_Cyrl | ru  | ru       | ru  | rus ru
rw       | kin_Latn |     | rw       | rw  | kin rw
sa       | san_Deva |     | sa       |     | san sa
sah      |          |     | sah      |     | sah
sat      | sat_Beng |     |          |     |
sc       | srd_Latn |     | sc       |     | srd sc
scn      | scn_Latn |     | scn      |     | scn
sd       | snd_Arab | sd  | sd       |     | snd_Arab
sg       | sag_Latn |     | sg       | sg  | sag sg
shn      | shn_Mymr |     | shn      |     |
si       | sin_Sinh | si  | si       |     | sin si
sk       | slk_Latn | sk  | sk       | sk  | slk sk
sl       | slv_Latn | sl  | sl       | sl  | slv sl
sm       | smo_Latn |     | sm       | sm  | smo sm
sn       | sna_Latn |     | sn       | sn  | sna sn
so       | som_Latn | so  | so       | so  | som so
sq       | als_Latn | sq  | sq       | sq  | sqi sq
sr-Cyrl  | srp_Cyrl | sr  | sr       |     | srp_Cyrl
sr-Latn  |          |     |          |     | srp_Latn
ss       | ssw_Latn | ss  | ss       | ss  | ssw ss
st       | sot_Latn |     | st       | st  | sot st
su       | sun_Latn | su  | su       |     | sun su
sv       | swe_Latn | sv  | sv       | sv  | swe sv
sw       | swh_Latn | sw  | sw       | sw  | swa sw
szl      | szl_Latn |     | szl      |     | szl
ta       | tam_Taml | ta  | ta       |     | tam ta
taq      | taq_Latn |     | taq      |     |
taq-Tfng | taq_Tfng |     | taq_Tfng |     |
te       | tel_Telu |     | te       |     | tel te
tg       | tgk_Cyrl |     | tg       |     | tgk tg
th       | tha_Thai | th  | th       | th  | tha th
ti       | tir_Ethi |     | ti       | ti  | tir ti
tk       | tuk_Latn |     | tk       |     | tuk tk
tn       | tsn_Latn | tn  | tn       | tn  | tsn tn
tpi      | tpi_Latn |     |          | tpi | tpi
tr       | tur_Latn | tr  | tr       | tr  | tur tr
ts       | tso_Latn |     | ts       | ts  | tso ts
tt       | tat_Cyrl |     | tt       |     | tat
tum      | tum_Latn |     |          | tum | tum
tw       | twi_Latn |     | ak       |     | twi tw
tzm-Tfng | tzm_Tfng |     |          |     |
ug       | uig_Arab |     | ug       |     | uig ug
uk       | ukr_Cyrl | uk  | uk       | uk  | ukr uk
umb      | umb_Latn |     |          | umb | umb
ur       | urd_Arab | ur  | ur       | ur  | urd ur
uz       | uzn_Latn | uz  | uz       |     | uzb_Latn
vec      | vec_Latn |     | vec      |     | vec
vi       | vie_Latn | vi  | vi       | vi  | vie vi
war      | war_Latn |     | war      | war | war
wo       | wol_Latn | wo  | wo       |     | wol wo
xh       | xho_Latn | xh  | xh       | xh  | xho xh
yi       | ydd_Hebr | yi  | yi       |     | yid yi
yo       | yor_Latn | yo  | yo       | yo  | yor yo
yue      | yue_Hant |     |          |     | yue_Hant yue
zh       | zho_Hans | zh  | zh       | zh  | cmn_Hans zho_Hans
zh-Hant  | zho_Hant |     | zh_Hant  |     | cmn_Hant zho_Hant
zu       | zul_Latn | zu  | zu       |     | zul zu
"""
