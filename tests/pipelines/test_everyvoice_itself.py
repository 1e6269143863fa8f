"""EveryVoice itself opens what is converted for it, and says the same. Needs a Python that has EveryVoice."""

import json
import os
import subprocess

import pytest
import torch

from building.conversion import FULL_JUDGES, TEXT_TO_SPEC, VOCODERS, save
from retimbre.models.fastspeech2.batch import text_batch
from retimbre.models.load import load_model
from retimbre.pipelines.convert import Wish, convert
from retimbre.text.symbols import SymbolTable

TEXTS = {"phones": "a ʃɛ t͡ʃiːk, bas.", "features": "a ʃɛ t͡ʃiːk, bas."}
USUAL_TEXT = "hello there, you."
EVERYVOICE_READS = """
import json, sys, torch
from everyvoice.model.feature_prediction.FastSpeech2_lightning.fs2.dataset import FastSpeech2DataModule
from everyvoice.model.feature_prediction.FastSpeech2_lightning.fs2.model import FastSpeech2
from everyvoice.model.feature_prediction.FastSpeech2_lightning.fs2 import type_definitions_heavy
from everyvoice.model.vocoder.HiFiGAN_iSTFT_lightning.hfgl.model import HiFiGAN, HiFiGANGenerator
from everyvoice.preprocessor import Preprocessor

KINDS = {"FastSpeech2": FastSpeech2, "HiFiGAN": HiFiGAN, "HiFiGANGenerator": HiFiGANGenerator}
TABLE = "text_input_layer.weight"

def load(case):
    raw = torch.load(case["path"], weights_only=True)
    model = KINDS[raw["model_info"]["name"]].load_from_checkpoint(case["path"], map_location="cpu").eval()
    state, given = model.state_dict(), raw["state_dict"]
    assert state.keys() == given.keys(), set(state) ^ set(given)
    for name, tensor in given.items():
        assert name == TABLE or torch.equal(state[name], tensor), name
    for row, symbol in enumerate(case.get("rows", [])):
        theirs = state[TABLE][model.text_processor.symbols.index(symbol)]
        assert torch.equal(theirs, given[TABLE][row]), symbol
    return model

def speak(model, case):
    processor, level = model.text_processor, model.config.model.target_text_representation_level.value
    kind = "characters" if level == "characters" else "phones"
    letters, phones, features = Preprocessor.process_text(
        {kind: case["text"], "language": "eng", "speaker": "default", "basename": "x"},
        text_processor=processor, use_pfs=level == "phonological_features", encode_as_string=True,
    )
    ids = processor.encode_escaped_string_sequence(letters if kind == "characters" else phones)
    item = dict.fromkeys(("mel", "mel_style_reference", "duration", "energy", "pitch", "is_last_input_chunk"))
    item |= {
        "text": torch.IntTensor(ids), "pfs": features, "duration_control": 1.0, "raw_text": "x",
        "basename": "x", "speaker": "default", "speaker_id": case["row"], "language": "default",
        "language_id": case["row"],
    }
    batch = FastSpeech2DataModule.collate_method([item], learn_alignment=True)
    with torch.no_grad():
        output = model(batch, control=type_definitions_heavy.InferenceControl(), inference=True)
    return output[model.output_key][0]

for case in json.load(open(sys.argv[1])):
    model = load(case)
    if "text" in case:
        theirs, ours = speak(model, case), torch.load(case["spec"], weights_only=True)
        assert theirs.shape == ours.shape, (case["text"], theirs.shape, ours.shape)
        assert (theirs - ours).abs().max() < 2e-4, (case["path"], (theirs - ours).abs().max())
"""


@pytest.mark.slow
@pytest.mark.skipif(
    "EVERYVOICE_PYTHON" not in os.environ,
    reason="EVERYVOICE_PYTHON is not set: it names a Python that has EveryVoice 0.5.0",
)
def test_everyvoice_loads_every_kind_row_by_row_and_speaks_the_same(tmp_path):
    cases = [text_to_spec(tmp_path, name) for name in TEXT_TO_SPEC]
    for name in VOCODERS:
        source = save(tmp_path, name, judges=FULL_JUDGES)
        for part in (False, True):
            output = tmp_path / f"{name}-{part}.ckpt"
            cases.append({"path": str(convert(source, output, Wish(generator_only=part)).files[0])})
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    words = [os.environ["EVERYVOICE_PYTHON"], "-c", EVERYVOICE_READS, str(tmp_path / "cases.json")]

    done = subprocess.run(words, capture_output=True, text=True, check=False, env={"OMP_NUM_THREADS": "1"})

    assert done.returncode == 0, done.stderr[-3000:]


def text_to_spec(folder, name):
    """A converted model, a text, and where the spec lies that our own network makes of it."""
    path = convert(save(folder, name), folder / f"{name}.ckpt").files[0]
    text, symbols = TEXTS.get(name, USUAL_TEXT), TEXT_TO_SPEC[name][1]["symbols"]
    ids, row = SymbolTable(symbols).encode(text).ids, int(name == "phones")
    with torch.inference_mode():
        spoken = load_model(path).model.speak(text_batch([ids], speaker=[row], language=[row]))
    spec = folder / f"{name}.pt"
    torch.save(spoken.spec[0].clone(), spec)
    case = {"path": str(path), "text": text, "row": row, "spec": str(spec)}
    return case if name == "features" else case | {"rows": symbols}
