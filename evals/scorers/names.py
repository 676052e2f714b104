"""Compare systematic names as text and, if OPSIN is installed, as structures.

>>> normalise_name("(2R)‐2‐Aminopropanoic  Acid.") == normalise_name("(2R)-2-aminopropanoic acid")
True
>>> normalise_name("2-methyl propane") == normalise_name("2-methylpropane")
False

OPSIN (extra `chemistry`, and Java) parses a name in milliseconds once it runs; each worker process therefore keeps it running.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import unicodedata
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct

from evals.errors import ScorerError, UsageError, install_command
from evals.extract.chemical import stated_name
from evals.scorers.formula import MAX_CHARS
from evals.scorers.molecule_match import RUNGS, compare_molecules
from evals.scorers.outcomes import binary_score, no_stated_answer, read_reply, with_reading
from evals.types import Prompt, Reply, Sample, Score

MAX_NAME_CHARS = 500
"""Maximum length of a name that is passed to OPSIN."""
JVM_FLAGS = (
    "-Xmx256m",
    "-XX:CompressedClassSpaceSize=64m",
    "-XX:ReservedCodeCacheSize=64m",
    "-XX:+UseSerialGC",
)
"""Flags that let Java start within a worker's memory limit."""

_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "λ": "lambda", "ω": "omega", "μ": "mu",
}  # fmt: skip
_BRITISH_AND_AMERICAN = (("sulph", "sulf"), ("aluminium", "aluminum"), ("caesium", "cesium"))
_DASHES_PRIMES_BRACKETS = str.maketrans(
    dict.fromkeys("‐‑‒–—−﹣－", "-")
    | dict.fromkeys("′’‘ʹ`´", "'")
    | dict.fromkeys("[{", "(")
    | dict.fromkeys("]}", ")")
)
_MARKUP_OR_GREEK_COMMAND = re.compile(
    r"</?(?:i|b|em|strong|su[bp]|span)>|\\(?:text|textit|mathit|mathrm|textbf|emph|mathbf)\s?\{([^{}]{0,200})\}|\\(alpha|beta|gamma|delta|omega|lambda)\b\s?"
)
_PRIME_BEFORE_LETTER = re.compile(r"(\d)('+)([a-h])(?=[rsez,)-])")
"""A prime before the letter of a locant, as in 3'a, which is normalised to 3a'."""
_RACEMATE_PREFIX = re.compile(r"^(?:\(±\)|\(\+/-\)|±|rac|racemic)[-\s]")
_STEREO_LOCANT = re.compile(r"(?<![\w'(])(\d+[a-h]?'*)([EZ])(?=[,-])")


def stereo_first(text: str) -> str:
    """Return a name with E and Z moved to the front: (3E,5E)-octa-1,3,5-triene for octa-1,3E,5E-triene."""
    descriptors = ["".join(match) for match in _STEREO_LOCANT.findall(text)]
    without_stereo = _STEREO_LOCANT.sub(lambda match: match[1], text)
    return f"({','.join(descriptors)})-{without_stereo}" if descriptors else text


def same_name(answer: str, gold: str) -> bool:
    """Return whether two names are equal after normalisation, ignoring the order of components and the position of E and Z."""
    components, gold_components = normalise_name(answer), normalise_name(gold)
    if components == gold_components or normalise_name(stereo_first(answer)) == gold_components:
        return True
    return len(gold_components) > 1 == len(components) and sorted(components[0].split()) == sorted(
        " ".join(gold_components).split()
    )


def normalise_name(text: str) -> tuple[str, ...]:
    """Return the components of a name, split at `;` and sorted, with punctuation, case, spacing and spelling normalised."""
    text = _MARKUP_OR_GREEK_COMMAND.sub(lambda match: match[1] or match[2] or "", text[:MAX_CHARS])
    text = unicodedata.normalize(
        "NFKC", text.replace("″", "''").replace('"', "''").translate(_DASHES_PRIMES_BRACKETS)
    )
    text = text.translate(_DASHES_PRIMES_BRACKETS).lower()
    for greek, latin in _GREEK.items():
        text = text.replace(greek, latin)
    for british, american in _BRITISH_AND_AMERICAN:
        text = text.replace(british, american)
    text = _RACEMATE_PREFIX.sub("", _PRIME_BEFORE_LETTER.sub(r"\1\3\2", text.strip()))
    text = re.sub(r"\s{0,99}([-,()\[\]'~])\s{0,99}", r"\1", text.replace("*", "").replace("$", ""))
    components = (" ".join(component.split()).strip(" .") for component in text.split(";"))
    return tuple(sorted(filter(None, components)))


@lru_cache(1)
def opsin_installed() -> bool:
    """Return whether OPSIN and Java are installed; starts no process."""
    return find_spec("py2opsin") is not None and shutil.which("java") is not None


class Opsin:
    """A running OPSIN process, which reads one name per line and writes its SMILES, or an empty line if parsing fails."""

    def __init__(self) -> None:
        package = find_spec("py2opsin")
        folders = [Path(folder) for folder in (package.submodule_search_locations or ())] if package else []
        jars = sorted(jar for folder in folders for jar in folder.glob("opsin-*.jar"))
        java = shutil.which("java")
        if not jars or java is None:
            raise UsageError(
                f"comparing names by structure needs OPSIN: {install_command('chemistry')}, and Java"
            )
        self._process = subprocess.Popen(
            [java, *JVM_FLAGS, "-jar", str(jars[-1]), "-osmi"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __call__(self, text: str) -> str:
        """Return the SMILES of a name, whose components may be separated by semicolons; empty if OPSIN cannot parse it.

        Raises ScorerError if OPSIN has exited.
        """
        line = " ".join(text[:MAX_NAME_CHARS].replace(";", " ").split())
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise ScorerError("the OPSIN process has no standard input or output")
        try:
            stdin.write(line + "\n")
            stdin.flush()
            smiles = stdout.readline()
        except OSError:
            smiles = ""
        if not smiles.endswith("\n"):
            self.close()
            raise ScorerError(f"OPSIN exited while parsing {line!r}")
        return smiles.strip()

    def close(self) -> None:
        """Stop the process; the next name starts a new one."""
        opsin.cache_clear()
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()


@lru_cache(1)
def opsin() -> Opsin:
    """Return this process's OPSIN, which the first call starts."""
    return Opsin()


class Name(Struct, frozen=True):
    """Scores 1 for the same systematic name after normalisation.

    With `structure`, a different name is also right if OPSIN parses it to the gold structure, including
    stereo. Parts: `string` (equal as written), `name` (equal as names), `structure`. The gold structure is
    `sample.meta["smiles"]`, or else OPSIN's structure of the gold name.
    """

    structure: bool = False

    @property
    def heavy(self) -> bool:
        """Return whether scoring starts Java."""
        return self.structure

    def warm(self) -> None:
        """Start OPSIN."""
        if self.structure:
            opsin()("methane")

    def __call__(self, sample: Sample, prompt: Prompt, reply: Reply) -> Score:
        """Score one reply."""
        reading = read_reply(reply, stated_name)
        if reading is None or not normalise_name(reading.value):
            return no_stated_answer(reply, "no name stated")
        return with_reading(reading, self._score(sample, reading.value))

    def _score(self, sample: Sample, answer: str) -> Score:
        golds = [str(gold) for gold in (sample.target, *sample.meta.get("also", ()))]
        is_identical, is_same = answer in golds, any(same_name(answer, gold) for gold in golds)
        parts = {"string": float(is_identical), "name": float(is_same)}
        why = "" if is_identical else "the same name, written differently" if is_same else "a different name"
        if self.structure:
            parts["structure"] = parts["name"]
            if not is_same:
                right, why = same_structure(answer, str(sample.meta.get("smiles") or opsin()(golds[0])))
                parts["structure"] = float(right)
        return binary_score(right=any(parts.values()), answer=answer[:MAX_CHARS], why=why, parts=parts)


def same_structure(answer: str, gold: str) -> tuple[bool, str]:
    """Return whether OPSIN parses a name to the compound of the gold SMILES, including stereo, and the reason."""
    if not gold:
        return False, "a different name; OPSIN cannot read the gold name"
    smiles = opsin()(answer) or opsin()(stereo_first(answer))
    if not smiles:
        return False, "a different name, which OPSIN cannot read"
    comparison = compare_molecules(smiles, gold)
    is_same = comparison.rung >= RUNGS["compound"]
    return is_same, "a different name of the same molecule" if is_same else comparison.why
