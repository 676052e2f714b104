"""Install WordNet, in the layout that nltk expects, from Debian's packages `wordnet-base` and `wordnet-sense-index`.

nltk's METEOR needs it for synonyms.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from evals.errors import UsageError

DEBIAN_FOLDER = Path("/usr/share/wordnet")
REQUIRED_FILES = tuple(
    f"{kind}.{part}" for kind in ("data", "index") for part in ("adj", "adv", "noun", "verb")
)
LEXICOGRAPHER_FILES = (
    "adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute noun.body noun.cognition "
    "noun.communication noun.event noun.feeling noun.food noun.group noun.location noun.motive noun.object noun.person "
    "noun.phenomenon noun.plant noun.possession noun.process noun.quantity noun.relation noun.shape noun.state "
    "noun.substance noun.time verb.body verb.change verb.cognition verb.communication verb.competition "
    "verb.consumption verb.contact verb.creation verb.emotion verb.motion verb.perception verb.possession verb.social "
    "verb.stative verb.weather adj.ppl"
)
"""WordNet's 45 lexicographer files, in the order of its manual page lexnames(5WN); Debian omits the file `lexnames`."""
PART_OF_SPEECH_NUMBERS = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}


def install_wordnet(source: Path = DEBIAN_FOLDER, target: Path | None = None) -> Path:
    """Copy WordNet from `source` to `target`, by default nltk's data folder, and return the new folder.

    Raises UsageError if files are missing or cannot be written.
    """
    missing = [name for name in REQUIRED_FILES if not (source / name).is_file()]
    if missing:
        raise UsageError(
            f"{source} does not contain WordNet ({missing[0]} is missing): apt-get install wordnet-base wordnet-sense-index"
        )
    folder = (target or Path(sys.prefix) / "nltk_data") / "corpora" / "wordnet"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in source.iterdir():
            if path.is_file():
                shutil.copyfile(path, folder / path.name)
        lines = [
            f"{number:02}\t{name}\t{PART_OF_SPEECH_NUMBERS[name.partition('.')[0]]}\n"
            for number, name in enumerate(LEXICOGRAPHER_FILES.split())
        ]
        (folder / "lexnames").write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror}") from None
    return folder
