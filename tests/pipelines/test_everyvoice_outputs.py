"""TextGrids and ReadAlongs are those of EveryVoice 0.5.0, under its names."""

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import torch

from retimbre.audio.mel import mel_librosa
from retimbre.models.fastspeech2.variance import Controls
from retimbre.pipelines.pieces import Piece, Word
from retimbre.pipelines.readalong import readalong_xml
from retimbre.pipelines.request import Request
from retimbre.pipelines.synthesis import synthesize_texts
from retimbre.pipelines.textgrid import textgrid
from retimbre.pipelines.timing import times_of

FOLDER = Path(__file__).parents[1] / "fixtures/everyvoice/synthesis"
CASES = json.loads((FOLDER / "outputs.json").read_text(encoding="utf-8"))
CHECKPOINT = "project/logs_and_checkpoints/FeaturePredictionExperiment/base/checkpoints/last.ckpt"
ONE_PIECE = [case for case in CASES if len(case["text"]) < 74]
INTERVAL = re.compile(r'xmin = (\S+)\s+xmax = (\S+)\s+text = "(.*)"')


def names(case):
    return case["stem"][:20]


def everyvoices(case, ending):
    return (FOLDER / "outputs" / f"{case['stem']}{ending}").read_text(encoding="utf-8")


def times_in_textgrid(case):
    """The first tier of a TextGrid, as the model's durations; only for texts of one piece."""
    tier = everyvoices(case, ".TextGrid").split("item [2]")[0]
    found = [
        (float(start), float(end), label.replace('""', '"')) for start, end, label in INTERVAL.findall(tier)
    ]
    frames = [round((end - start) * 22050 / 256) for start, end, _ in found]
    piece = Piece(
        ids=tuple(range(len(found))),
        symbols=tuple(label for _, _, label in found),
        words=tuple(Word(label=word) for word in case["text"].split()),
    )
    return times_of(piece, torch.tensor(frames))


def require_same_readalong(ours, theirs):
    for our, their in zip(
        ElementTree.fromstring(ours.encode()).iter(),
        ElementTree.fromstring(theirs.encode()).iter(),
        strict=True,
    ):
        assert (our.tag, (our.text or "").strip()) == (their.tag, (their.text or "").strip())
        assert list(our.attrib) == list(their.attrib)
        for name, value in their.attrib.items():
            if name in ("time", "dur"):
                assert float(our.attrib[name]) == pytest.approx(float(value), abs=1e-6)
            elif our.tag != "meta":
                assert our.attrib[name] == value


@pytest.mark.parametrize("case", ONE_PIECE, ids=names)
def test_a_textgrid_is_everyvoices_to_the_byte(case):
    assert textgrid(times_in_textgrid(case), mel_librosa()) == everyvoices(case, ".TextGrid")


@pytest.mark.parametrize("case", ONE_PIECE, ids=names)
def test_a_readalong_is_everyvoices_but_for_who_made_it(case):
    ours = readalong_xml(times_in_textgrid(case), mel_librosa(), language="eng")

    require_same_readalong(ours, everyvoices(case, ".readalong"))


@pytest.mark.parametrize("case", CASES, ids=names)
def test_a_real_checkpoint_gives_everyvoices_files_also_for_texts_of_many_pieces(case, parity, tmp_path):
    given = {"texts": (case["text"],)}
    if "basename" in case:
        given = {"filelist": tmp_path / "list.psv"}
        given["filelist"].write_text(
            f"basename|characters\n{case['basename']}|{case['text']}\n", encoding="utf-8"
        )
    request = Request(
        **given,
        output_types=("textgrid", "readalong-xml"),
        output_dir=tmp_path,
        controls=Controls(duration=case["duration_control"]),
    )

    grid, readalong = synthesize_texts(parity("everyvoice_project") / CHECKPOINT, request)

    assert grid == tmp_path / "textgrids" / f"{case['stem']}.TextGrid"
    assert readalong == tmp_path / "readalongs" / f"{case['stem']}.readalong"
    assert grid.read_text(encoding="utf-8") == everyvoices(case, ".TextGrid")
    require_same_readalong(readalong.read_text(encoding="utf-8"), everyvoices(case, ".readalong"))
