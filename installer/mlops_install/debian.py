"""What Debian calls things, as far as it can be judged without a server."""

import difflib
import re

PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{0,126}[a-z0-9+.]", re.ASCII)
SIZE = re.compile(r"([0-9]{1,9})([KMGT])", re.ASCII)
UNITS = {"K": 1, "M": 1 << 10, "G": 1 << 20, "T": 1 << 30}
LEAST, MOST = 16 << 10, 16 << 30
"""KiB of the journal: below, journald keeps next to nothing; above, it takes no number."""
TERRITORIES = """\
aa_DJ,ER,ET af_ZA agr_PE ak_GH am_ET an_ES anp_IN
ar_AE,BH,DZ,EG,IN,IQ,JO,KW,LB,LY,MA,OM,QA,SA,SD,SS,SY,TN,YE as_IN ast_ES ayc_PE az_AZ,IR be_BY
bem_ZM ber_DZ,MA bg_BG bhb_IN bho_IN,NP bi_VU bn_BD,IN bo_CN,IN br_FR brx_IN bs_BA byn_ER
ca_AD,ES,FR,IT ce_RU chr_US ckb_IQ cmn_TW crh_UA cs_CZ csb_PL cv_RU cy_GB da_DK
de_AT,BE,CH,DE,IT,LI,LU doi_IN dsb_DE dv_MV dz_BT el_CY,GR
en_AG,AU,BW,CA,DK,GB,HK,IE,IL,IN,NG,NZ,PH,SC,SG,US,ZA,ZM,ZW
es_AR,BO,CL,CO,CR,CU,DO,EC,ES,GT,HN,MX,NI,PA,PE,PR,PY,SV,US,UY,VE et_EE eu_ES,FR fa_IR ff_SN fi_FI
fil_PH fo_FO fr_BE,CA,CH,FR,LU fur_IT fy_DE,NL ga_IE gd_GB gez_ER,ET gl_ES gu_IN gv_GB ha_NG
hak_TW he_IL hi_IN hif_FJ hne_IN hr_HR hsb_DE ht_HT hu_HU hy_AM ia_FR id_ID ig_NG ik_CA is_IS
it_CH,IT iu_CA ja_JP ka_GE kab_DZ kk_KZ kl_GL km_KH kn_IN ko_KR kok_IN ks_IN ku_TR kw_GB ky_KG
lb_LU lg_UG li_BE,NL lij_IT ln_CD lo_LA lt_LT lv_LV lzh_TW mag_IN mai_IN,NP mfe_MU mg_MG mhr_RU
mi_NZ miq_NI mjw_IN mk_MK ml_IN mn_MN mni_IN mnw_MM mr_IN ms_MY mt_MT my_MM nan_TW nb_NO nds_DE,NL
ne_NP nhn_MX niu_NU,NZ nl_AW,BE,NL nn_NO nr_ZA nso_ZA oc_FR om_ET,KE or_IN os_RU pa_IN,PK
pap_AW,CW pl_PL ps_AF pt_BR,PT quz_PE raj_IN rif_MA ro_RO ru_RU,UA rw_RW sa_IN sah_RU sat_IN sc_IT
sd_IN se_NO sgs_LT shn_MM shs_CA si_LK sid_ET sk_SK sl_SI sm_WS so_DJ,ET,KE,SO sq_AL,MK sr_ME,RS
ss_ZA st_ZA sv_FI,SE sw_KE,TZ szl_PL ta_IN,LK tcy_IN te_IN tg_TJ th_TH the_NP ti_ER,ET tig_ER
tk_TM tl_PH tn_ZA to_TO tpi_PG tr_CY,TR ts_ZA tt_RU ug_CN uk_UA unm_US ur_IN,PK uz_UZ ve_ZA vi_VN
wa_BE wae_CH wal_ET wo_SN xh_ZA yi_US yo_NG yue_HK yuw_PG zh_CN,HK,SG,TW zu_ZA
"""
"""The locales of Debian 12 that are in UTF-8; Debian 13 has all of them too."""


def no_package(name: str) -> str:
    """Why apt would not take this as a package, or not as one to install; else empty."""
    if re.fullmatch(r"[^=/:]+[=/:].*", name):
        return "it must be a name alone, without version, release or architecture"
    if name.endswith("-"):
        return "apt takes a hyphen at the end as an order to remove"
    known = PACKAGE.fullmatch(name)
    return (
        ""
        if known
        else "it is not a package's name: small letters, digits, +, - and . such as git-lfs"
    )


def no_locale(name: str) -> str:
    """Why this is no locale of Debian in UTF-8, with the nearest one; else empty."""
    known = _locales()
    if name in known:
        return ""
    near = difflib.get_close_matches(name, known, 1, 0.6)
    return f"Debian has no such locale; did you mean {near[0] if near else 'C.UTF-8'}?"


def _locales() -> list[str]:
    pairs = (words.split("_") for words in TERRITORIES.split())
    names = [f"{language}_{t}.UTF-8" for language, all_ in pairs for t in all_.split(",")]
    return ["C.UTF-8", *names]


def no_journal_size(text: str) -> str:
    """Why journald cannot be held to this; else empty."""
    found = SIZE.fullmatch(text)
    if not found:
        return "it must be a number with one of K, M, G and T"
    size = int(found[1]) * UNITS[found[2]]
    return "" if LEAST <= size <= MOST else "it must be from 16M to 16T"
