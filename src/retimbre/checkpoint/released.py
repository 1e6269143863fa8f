"""The files that others have released, and where they lie: one table of facts; nothing is fetched here.

A fact that no source states is left out. Checksums are there only for the three files whose hash is published
apart from the file; of the others it is computed when they arrive, and written down. Sources:

- Names and repositories of the TorToiSe files: `MODELS` and `get_model_path` in `tortoise/api.py` of
  neonbjb/tortoise-tts, which names jbetker/tortoise-tts-v2 and itself downloads from Manmay/tortoise-tts.
  Most are of that one's commit 2ccdf9e ("added models"); `hifidecoder.pth` was last changed by 5067267.
- The dVAE: the README of 152334H/DL-Art-School, with its hash; only the history of that repository has it.
  Commits f485f1c of Manmay/tortoise-tts and 809064b of Gatozu35/tortoise-tts have a file of the same hash.
- Tokenizer and norms: the hub's pages of jbetker/tortoise-tts-v2. Their hashes are those of the files of the
  same names in neonbjb/tortoise-tts.
- HiFi-GAN: its authors publish UNIVERSAL_V1 on Google Drive only. arampacha/hifigan ("universal vocoder") has
  a generator, discriminators and a config of the same names; whether they are the same bytes is not known.
- Licences: the model card of Manmay/tortoise-tts, the file LICENSE in jbetker/tortoise-tts-v2.
- Sizes: as the hub's pages show them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from retimbre.errors import FetchError

APACHE = "Apache-2.0"
BETKER = "jbetker/tortoise-tts-v2"
BETKERS_DATA = "ee83259d6a150afbefeea6b3d670d02bc66dce16"
MANMAYS_MODELS = "2ccdf9ea129bfa02ab8021702dd79f840de6802d"


@dataclass(frozen=True, kw_only=True)
class Released:
    """One released file: what it is and where it lies."""

    collection: str  # what a user asks for: `retimbre fetch COLLECTION NAME`
    name: str
    what: str
    family: str | None = None  # of the models in `models/`, where it is one
    repository: str  # on the Hugging Face hub
    path: str  # in that repository
    revision: str = "main"  # a commit where one is known
    sha256: str | None = None  # where it is published apart from the file
    size: str | None = None  # as the hub shows it
    licence: str = APACHE

    @property
    def local_name(self) -> str:
        """Its name in the user's folder."""
        return self.path.rpartition("/")[2]


def _betker(name: str, what: str, path: str, *, revision: str = "main", **facts: str) -> Released:
    place = {"repository": BETKER, "path": path, "revision": revision}
    return Released(collection="tortoise", name=name, what=what, **place, **facts)


def _manmay(name: str, what: str, *, revision: str = MANMAYS_MODELS, **facts: str) -> Released:
    place = {"repository": "Manmay/tortoise-tts", "path": f"{name}.pth", "revision": revision}
    return Released(collection="tortoise", name=name, what=what, **place, **facts)


def _hifigan(name: str, what: str, path: str, **facts: str) -> Released:
    place = {"repository": "arampacha/hifigan", "path": path}
    licence = "none stated there; jik876/hifi-gan is MIT"
    return Released(collection="hifigan", name=name, what=what, licence=licence, **place, **facts)


RELEASED = (
    _manmay("autoregressive", "text and a voice -> codes", family="tortoise_ar", size="1.72 GB"),
    _betker(
        "dvae",
        "spec <-> codes",
        ".models/dvae.pth",
        family="tortoise_dvae",
        revision="3704aea61678e7e468a06d8eea121dba368a798e",
        sha256="a990825371506c16bcf0e8167bf24ccf82f65bb6a1dbcbfcf058d76f9b197e35",
        size="240 MB",
    ),
    _manmay("diffusion_decoder", "latents -> spec", family="tortoise_diffusion", size="1.17 GB"),
    _manmay("vocoder", "spec -> waveform", family="univnet", size="391 MB"),
    _manmay("clvp2", "how well codes fit a text", family="tortoise_clvp", size="976 MB"),
    _betker(
        "tokenizer",
        "text -> symbols",
        "tortoise/data/tokenizer.json",
        revision=BETKERS_DATA,
        sha256="d1fa6e9b4741bb75b284331b833347c166ba8b0518e187f7370f123149ed87bb",
        size="4.41 kB",
    ),
    _betker(
        "mel_norms",
        "one divisor for each band of the spec",
        "tortoise/data/mel_norms.pth",
        revision=BETKERS_DATA,
        sha256="1f69422a8a8f344c4fca2f0c6b8d41d2151d6615b7321e48e6bb15ae949b119c",
        size="1.07 kB",
    ),
    _manmay(
        "hifidecoder",
        "latents -> waveform, without diffusion",
        revision="50672670cecf2265aa61edb4eef5d1a293a8a373",
        size="71.5 MB",
    ),
    _manmay("rlg_auto", "a random voice for autoregressive", size="25.2 MB"),
    _manmay("rlg_diffuser", "a random voice for diffusion_decoder"),
    _betker("cvvp", "how well codes fit a voice", ".models/cvvp.pth", size="151 MB"),
    _betker(
        "classifier",
        "is a recording made by TorToiSe",
        ".models/classifier.pth",
        revision="07a6edc5742db661659fe433c32f2f31ded5c883",
        size="60.9 MB",
    ),
    _hifigan("generator", "spec -> waveform", "g_02500000", family="hifigan", size="55.8 MB"),
    _hifigan("config", "sizes and spectrogram of the generator", "config.json", size="762 bytes"),
    _hifigan("discriminators", "what the generator is trained against", "do_02500000", size="960 MB"),
)


def chosen(collection: str, names: Sequence[str] = ()) -> tuple[Released, ...]:
    """The files of a collection, or those that are named, in the order of the table.

    Raises:
        FetchError: for a name that is not in the table; it offers the nearest one.
    """
    collections = dict.fromkeys(file.collection for file in RELEASED)
    if collection not in collections:
        raise _unknown("nothing to fetch is called", collection, collections)
    of_it = [file for file in RELEASED if file.collection == collection]
    by_word = {word: file for file in of_it for word in (file.local_name, file.name)}
    for name in names:
        if name not in by_word:
            raise _unknown(f"'{collection}' has no file", name, [file.name for file in of_it])
    wanted = [by_word[name] for name in names] or of_it
    return tuple(file for file in of_it if file in wanted)


def _unknown(what: str, word: str, known: Iterable[str]) -> FetchError:
    words = list(known)
    near = get_close_matches(word, words, n=1, cutoff=0.5)
    do = f"did you mean {near[0]}?" if near else "see 'retimbre fetch --list'"
    return FetchError(f"{what} '{word}'", expected=", ".join(words), found=word, do=do)
