"""What a plan for one of TorToiSe's stages is made from: the speech, the network and the machine."""

from collections import Counter
from dataclasses import dataclass, replace

import torch

from retimbre.models.load import Loaded
from retimbre.models.tortoise_ar.config import N_ENDS, UnifiedVoiceConfig
from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.models.tortoise_ar.room import (
    ADAM_BYTES,
    GRADIENT_BYTES,
    SCATTERED,
    AtOnce,
    layer_bytes,
    other_bytes,
    recomputed_layer_bytes,
)
from retimbre.pipelines.tortoise_estimate import OWN_BYTES, free_memory
from retimbre.pipelines.tortoise_voice_clips import AUTO_MEL, AUTO_SAMPLES
from retimbre.recipe.recipe import Recipe
from retimbre.recipe.training import Lora, Training
from retimbre.text.bpe import Vocabulary
from retimbre.training.learner import Learner
from retimbre.training.tortoise_material import TortoiseMaterial
from retimbre.training.tortoise_plan import Facts, Needs, Speech, precision_for
from retimbre.training.tortoise_recomputing import learns_voices, recomputed_layers

SMALL_SHARE = 0.01  # of a network's numbers, what low-rank matrices of the usual size come to at most
VOICE_FRAMES = AUTO_MEL.frames_in(AUTO_SAMPLES)


@dataclass(frozen=True, kw_only=True)
class Device:
    """Where a stage learns.

    Args:
        free_bytes: None where nobody says.
        has_bfloat16: Does it multiply such numbers faster than others?
        holds_weights: Are the weights there already, outside of what is free?
    """

    free_bytes: int | None
    has_bfloat16: bool
    holds_weights: bool


def device_facts(device: str, settings: Training, base: Loaded | None) -> Device:
    """Of a device by torch's name, as it is now, and as much of it as the recipe allows.

    Args:
        base: Is in the memory of the processor already.
    """
    found = _found(device)
    if settings.memory_gb is None:
        return found
    allowed = int(settings.memory_gb * 1e9) - OWN_BYTES
    if found.holds_weights and base is not None:
        allowed -= sum(p.nbytes for p in base.model.parameters())
    allowed = max(0, allowed)
    free = allowed if found.free_bytes is None else min(allowed, found.free_bytes)
    return replace(found, free_bytes=free)


def _found(device: str) -> Device:
    if device.startswith("cuda"):
        return Device(
            free_bytes=free_memory(device),
            has_bfloat16=torch.cuda.is_bf16_supported(including_emulation=False),
            holds_weights=False,
        )
    if device.startswith("cpu"):
        can = torch.cpu.get_capabilities()
        has = bool(can.get("avx512_bf16") or can.get("amx_bf16") or can.get("amx_tile"))
        return Device(free_bytes=free_memory(device), has_bfloat16=has, holds_weights=True)
    return Device(free_bytes=None, has_bfloat16=False, holds_weights=False)


def facts_of(recipe: Recipe, material: TortoiseMaterial, base: Loaded | None, device: Device) -> Facts:
    """Everything that the rules ask for."""
    by_speaker = Counter(encoded.utterance.speaker for encoded in material.training)
    n = len(material.training)
    speech = Speech(
        n_utterances=n,
        n_speakers=len(by_speaker),
        largest_share=max(by_speaker.values()) / n,
        has_own_symbols=material.files.vocabulary.sha256 != Vocabulary.tortoise().sha256,
    )
    full = least = None
    if base is not None and isinstance(base.model, UnifiedVoice):
        n_numbers = sum(p.numel() for p in base.model.parameters())
        weights = 0 if device.holds_weights else 4 * n_numbers
        given, by_rule = recipe.training, precision_for(n_numbers, device.has_bfloat16)[0]
        precision = given.precision if "precision" in given.model_fields_set else by_rule
        longest = at_once_of(recipe, material, n_utterances=1, precision=precision)
        config = base.model.config
        small = given.model_copy(update={"lora": given.lora or Lora()})
        full = needs(config, _as_learnt(longest, given), weights, n_numbers)
        least = needs(config, _as_learnt(longest, small), weights, int(SMALL_SHARE * n_numbers))
    return Facts(
        stage=recipe.stage,
        speech=speech,
        full=full,
        small=least,
        free_bytes=device.free_bytes,
        has_bfloat16=device.has_bfloat16,
        n_numbers=sum(p.numel() for p in base.model.parameters()) if base else 0,
        has_discriminators=bool(base and base.discriminators),
        is_new=base is None,
    )


def at_once_of(recipe: Recipe, material: TortoiseMaterial, *, n_utterances: int, precision: str) -> AtOnce:
    """So many of the longest utterances together."""
    return AtOnce(
        n_utterances=n_utterances,
        n_symbols=max(len(encoded.symbols) for encoded in material.training) + N_ENDS + 1,
        n_codes=max(len(encoded.codes) for encoded in material.training) + N_ENDS,
        n_clips=recipe.tortoise.n_clips,
        n_frames=VOICE_FRAMES,
        number_bytes=2 if precision == "bf16-mixed" else 4,
    )


def layers_recomputed(
    recipe: Recipe, material: TortoiseMaterial, learner: Learner[UnifiedVoice], device: Device
) -> int:
    """How many layers are computed again for their gradients, so that the memory is enough."""
    free = device.free_bytes
    if free is not None and not device.holds_weights:
        free -= sum(p.nbytes for p in learner.network.parameters())
    return recomputed_layers(
        learner.network.config,
        recipe.training,
        lengths=[(len(encoded.symbols), len(encoded.codes)) for encoded in material.training],
        clips=(recipe.tortoise.n_clips, VOICE_FRAMES),
        learning=[p for p in learner.part.parameters() if p.requires_grad],
        free_bytes=free,
    )


def _as_learnt(one: AtOnce, training: Training) -> AtOnce:
    return replace(one, learns_voices=learns_voices(training))


def needs(config: UnifiedVoiceConfig, one: AtOnce, weights: int, n_learning: int) -> Needs:
    """With every layer recomputed: the least that is enough.

    Args:
        one: The longest utterance.
        weights: Bytes of the network, where they are not there already.
    """
    short = recomputed_layer_bytes(config, one)
    # While a layer is recomputed it is there as a whole.
    kept = other_bytes(config, one) + config.n_layers * short + layer_bytes(config, one)
    return Needs(
        fixed_bytes=weights + (ADAM_BYTES + GRADIENT_BYTES) * n_learning,
        per_utterance_bytes=int(SCATTERED * kept),
    )
