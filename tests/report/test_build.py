"""A report opens offline, holds what was measured, and survives what it quotes."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
import soundfile
import torch

from retimbre.audio.waveform import Audio
from retimbre.evaluate.measures import MCD, Missing
from retimbre.report.build import build_report
from retimbre.report.contents import Choice, Comparison, Curve, Kind, Spoken, System
from retimbre.report.numbers import number

HOSTILE = '</p><script>alert("x")</script><img src=x onerror=alert(1)>'
UNCLOSED = {"meta", "input", "img"}


class Elements(HTMLParser):
    """Counts tags, and notes what is not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.found, self.attributes, self.open, self.faults = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)
        self.attributes += attrs
        if tag not in UNCLOSED:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)


@pytest.fixture
def built(report, tmp_path):
    def build(**replaced):
        path = build_report(report(**replaced), tmp_path / "run")
        return path.read_text(encoding="utf-8"), json.loads((path.parent / "report.json").read_text("utf-8"))

    return build


def test_the_page_loads_nothing_from_anywhere(built):
    page, _ = built()
    sources = [value for name, value in Elements(page).attributes if name in ("src", "href")]
    assert sources
    assert all(source.startswith(("data:audio/flac;base64,", "data:image/png;base64,")) for source in sources)
    assert "@import" not in page
    assert "url(" not in page.lower().replace("createobjecturl(", "")


def test_the_page_is_well_formed_and_fits_a_phone(built):
    page, _ = built()
    elements = Elements(page)
    assert elements.faults == []
    assert elements.open == []
    assert "width=device-width" in page
    assert "prefers-color-scheme: dark" in page


def test_only_our_own_style_and_script_may_run(built):
    page, _ = built()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1].replace("&#x27;", "'")
    for tag in ("style", "script"):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert not any(name == "style" or name.startswith("on") for name, _ in Elements(page).attributes)


def test_no_quoted_text_becomes_markup(built, tone):
    plain, _ = built()
    replaced = {
        "title": HOSTILE,
        "notes": (HOSTILE,),
        "facts": ((HOSTILE, HOSTILE),),
        "choices": (Choice(choice=HOSTILE, value=HOSTILE, reason=HOSTILE),),
        "curves": (Curve(name=HOSTILE, points=((0, 1.0), (9, 0.5))),),
        "missing": (Missing(name=HOSTILE, reason=HOSTILE),),
        "systems": (
            System(name="real", description=HOSTILE),
            *(System(name=name, description=HOSTILE) for name in ("tuned", "control", "matched")),
        ),
        "utterances": (Spoken(name=HOSTILE, text=HOSTILE, kind=Kind.TEACHER_FORCED, audio={"real": tone()}),),
    }
    page, _ = built(**replaced)
    assert Elements(page).found.count("script") == Elements(plain).found.count("script") == 1
    assert "onerror" not in {name for name, _ in Elements(page).attributes}


def test_the_json_holds_the_same_numbers_as_the_page(built):
    page, values = built()
    results = values["results"]["teacher-forced"]
    for system in ("tuned", "control", "matched"):
        assert f">{number(results['means']['mcd'][system], MCD.n_decimals)}<" in page
    (difference,) = [
        each for each in results["differences"] if (each["against"], each["measure"]) == ("tuned", "mcd")
    ]
    assert difference["high"] < 0
    assert f"{number(difference['mean'], 2)} dB ({number(difference['low'], 2)} to" in page
    assert values["verdict"]["sentence"] in page


def test_every_version_is_a_file_that_sounds(built, tmp_path):
    _, values = built()
    files = [audio["file"] for spoken in values["utterances"] for audio in spoken["audio"].values()]
    assert len(set(files)) == len(files) == 9
    assert "audio/u0/matched.wav" in files
    for file in files:
        samples, rate_hz = soundfile.read(tmp_path / "run" / file)
        assert rate_hz == 22050
        assert 0.05 < abs(samples).max() < 1


def test_a_report_can_be_written_again_into_the_same_folder(built, tmp_path):
    built()
    page, _ = built(title="A second time")
    assert "A second time" in page
    assert not list((tmp_path / "run").glob(".*"))


def test_silent_clipped_and_broken_audio_is_named(built, tone):
    def audio(samples):
        return Audio(samples=samples, sample_rate_hz=22050)

    versions = {
        "real": audio(torch.zeros(5000)),
        "tuned": audio(3 * tone().samples.sign()),
        "control": audio(torch.full((5000,), torch.nan)),
        "matched": audio(torch.empty(0)),
    }
    spoken = Spoken(name="bad", text="Bad.", kind=Kind.TEACHER_FORCED, audio=versions)
    page, values = built(utterances=(spoken,))
    for words in ("is silent", "is clipped", "5000 samples are not numbers", "has no audio"):
        assert words in page
    found = values["utterances"][0]["audio"]
    assert found["control"]["file"] is None
    assert found["matched"]["file"] is None
    assert found["real"]["is_silent"]
    assert page.count("<audio") == 2


def test_free_running_speech_is_kept_apart(built):
    page, _ = built()
    assert page.index("Listen: teacher-forced") < page.index("Listen: free running")
    assert page.index("Sentence u0.") < page.index("Listen: free running") < page.index("Freely.")


def test_each_measure_shows_its_unit_its_direction_and_its_blind_spot(built):
    page, _ = built()
    assert "dB ↓ lower is better" in page
    assert MCD.blind_spot in page


def test_what_was_not_given_has_no_section(built):
    page, values = built(utterances=(), scores={}, comparisons=())
    assert "<h2>" not in page
    assert values["utterances"] == []
    page, _ = built(
        choices=(Choice(choice="steps", value="10", reason="small"),),
        curves=(Curve(name="loss", points=((0, 1.0), (5, float("nan")))),),
        missing=(Missing(name="PESQ", reason="not installed"),),
    )
    for title in ("What was decided, and why", "Training", "Not measured"):
        assert f"<h2>{title}</h2>" in page


def test_a_comparison_without_scores_is_left_out(built):
    page, _ = built(comparisons=(Comparison(system="matched", against="real"),))
    assert "matched − real</h3>" not in page


def test_pictures_show_the_difference_from_the_recording(built):
    page, _ = built()
    assert "spectrogram: tuned − real" in page
    assert "spectrogram: matched − real" in page


def test_only_the_first_players_are_open(built, tone):
    many = tuple(
        Spoken(name=f"u{i}", text="One.", kind=Kind.TEACHER_FORCED, audio={"real": tone()}) for i in range(7)
    )
    page, _ = built(utterances=many)
    assert "<summary>3 more</summary>" in page
