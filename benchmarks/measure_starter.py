"""How good are the bundled models on recordings of their own speaker that they were not trained on?

    python benchmarks/measure_starter.py

What the model cards say. Both are judged on the recordings that their recipes hold out; the vocoder on real
specs, and both together teacher-forced. The recordings are read from ../shared/data/kathleen.
"""

import sys
from pathlib import Path

from on_ljspeech import judged

from retimbre.errors import RetimbreError
from retimbre.jobs.listener import Silent
from retimbre.models.load import load_model
from retimbre.recipe.read import read_recipe
from retimbre.starter.find import starter_spec_to_wav, starter_text_to_spec
from retimbre.training.material import prepare_material

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "starter-text-to-spec.yaml"


def main() -> None:
    """One line per measure: from real specs, and from the text-to-spec model's."""
    vocoder, text_to_spec = load_model(starter_spec_to_wav()), load_model(starter_text_to_spec())
    material = prepare_material(read_recipe(RECIPE), mel=vocoder.description.mel, listener=Silent())
    alone = judged(material, {"vocoder": vocoder}, None)
    together = judged(material, {"vocoder": vocoder}, text_to_spec)
    print(f"{len(material.held_out)} recordings that were held out")
    print("| measure | of real specs | teacher-forced |")
    for measure in alone.measures:
        found = (f"{one.mean(measure, 'vocoder'):.{measure.n_decimals}f}" for one in (alone, together))
        print(f"| {measure.name}, {measure.unit} | {' | '.join(found)} |")


if __name__ == "__main__":
    try:
        main()
    except RetimbreError as error:
        sys.exit(f"error: {error}")
