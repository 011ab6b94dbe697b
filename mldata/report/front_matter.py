"""What the Hugging Face hub reads of a dataset card: its YAML, by which people find the set and `datasets`
opens it.

Every value is one that the hub knows (https://github.com/huggingface/hub-docs/blob/main/datasetcard.md). The
YAML is written by huggingface_hub, so that names hold what they like.
"""

from __future__ import annotations

import re
from typing import Any

from mldata import given
from mldata.languages import primary
from mldata.shards import SPLITS, Manifest

TAGS = ("preference", "dpo", "orpo", "multilingual", "parallel", "mldata", "arxiv:2509.23659")

# https://huggingface.co/docs/hub/repositories-licenses: SPDX in small letters, but for these.
_LICENCES = {
    "agpl-3.0-only": "agpl-3.0",
    "gpl-2.0-only": "gpl-2.0",
    "gpl-3.0-only": "gpl-3.0",
    "lgpl-3.0-only": "lgpl-3.0",
    "odbl-1.0": "odbl",
    "odc-by-1.0": "odc-by",
    "pddl-1.0": "pddl",
}
_SAME = re.compile(
    r"apache-2\.0|mit|isc|unlicense|bsd-[23]-clause|cc0-1\.0|cdla-(permissive-[12]|sharing-1)\.0|mpl-2\.0|ms-pl"
    r"|cc-by-(2\.0|2\.5|3\.0|4\.0)|cc-by-sa-[34]\.0|cc-by-nc-[234]\.0|cc-by-nd-4\.0|cc-by-nc-nd-[34]\.0"
    r"|cc-by-nc-sa-[234]\.0"
)
_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B")


def front_matter(manifest: Manifest, title: str) -> str:
    """The card's YAML, between its two lines of dashes."""
    from huggingface_hub import DatasetCardData

    tags = kept_languages(manifest)
    machine = any(route != given.ROUTE for route in manifest.routes.values())
    rows = {split: sum(f.rows for f in manifest.files if f.split == split) for split in SPLITS}
    paths = [{"split": split, "path": f"data/{split}-*.arrow"} for split in SPLITS if rows[split]]
    more: dict[str, Any] = _licence(manifest.licence)
    if varieties := [tag for tag in tags if tag != primary(tag)]:
        more["language_bcp47"] = varieties
    if paths:
        more["configs"] = [{"config_name": "default", "data_files": paths}]
    data = DatasetCardData(
        pretty_name=title,
        language=list(dict.fromkeys(map(primary, tags))),
        language_creators="machine-generated" if machine else "found",
        annotations_creators="machine-generated",
        multilinguality="translation",
        size_categories=size_category(sum(rows.values())),
        source_datasets=[hub_dataset(manifest) or "extended|other"],
        task_categories=["text-generation"],
        tags=list(TAGS),
        **more,
    )
    return f"---\n{data.to_yaml()}\n---\n"


def kept_languages(manifest: Manifest) -> list[str]:
    """The languages that have rows, the anchor first; the anchor alone where none has."""
    kept = [tag for tag in manifest.targets if manifest.languages[tag].kept]
    return [manifest.anchor, *kept]


def size_category(rows: int) -> str:
    """The hub's words for how many rows there are: "1K<n<10K"."""
    thousands = 0
    while thousands < len(_SIZES) - 1 and rows >= 1000 * 10**thousands:
        thousands += 1
    return _SIZES[thousands]


def hub_dataset(manifest: Manifest) -> str | None:
    """The source as a dataset of the hub, "org/name"; None where it is none."""
    found = re.match(r"hf://(?:datasets/)?([\w.-]+/[\w.-]+)", manifest.source.uri)
    return found[1] if found else None


def _licence(said: str) -> dict[str, Any]:
    small = said.lower()
    if small in _LICENCES or _SAME.fullmatch(small):
        return {"license": _LICENCES.get(small, small)}
    return {"license": "other", "license_name": "see-licence-below", "license_details": said}
