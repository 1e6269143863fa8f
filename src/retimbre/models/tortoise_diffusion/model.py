"""TorToiSe's diffusion decoder: latents (or codes) and a voice -> spec, by taking noise away step by step
(https://arxiv.org/abs/2305.07243), with the tensor names of tortoise-tts and DL-Art-School.

The spec here is normalised to -1..1 (`tortoise_univnet_mel100(is_normalised=True)`). What does not depend on
the step is computed once: `voice`, then `align`; and once for all steps, what depends on nothing else:
`steering`. Each step is one call of `denoised` with their results. Inside, channels are last.
There is no padding: all utterances of a batch are as long as the longest.

Axes used in this file:
    batch    utterances
    clips    recordings of the voice
    mels     bands of the spectrogram
    frames   of the spectrogram
    steps    of the diffusion
    blocks   residual ones, in the order of use
    codes    of the utterance, each about four frames long
    dim      channels; two_dim: twice as many
    latent   channels of the autoregressive model's latents
    outputs  channels that come out
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from retimbre.models.tortoise_diffusion.attention import AttentionBlock, GroupNorm, random_values, table
from retimbre.models.tortoise_diffusion.config import DiffusionConfig
from retimbre.nn.conv import ConvOverTime

Hidden = Float[Tensor, "batch frames dim"]
Aligned = Float[Tensor, "batch dim frames"]
Spec = Float[Tensor, "batch mels frames"]
Time = Float[Tensor, "steps dim"]
Voice = Float[Tensor, "batch two_dim"]
Steering = Float[Tensor, "steps blocks two_dim"]  # a scale and a shift for each channel
Content = Float[Tensor, "batch codes latent"] | Int[Tensor, "batch codes"]

LONGEST_PERIOD = 10_000  # steps, times two pi
N_PLAIN_LAYERS = 3


def waves_of(timesteps: Int[Tensor, "steps"], dim: int) -> Time:
    """A time step as cosines and then sines of slower and slower waves."""
    number = torch.arange(dim // 2, dtype=torch.float32, device=timesteps.device)
    frequency = torch.exp(-math.log(LONGEST_PERIOD) * number / (dim // 2))
    angle = timesteps.unsqueeze(1).float() * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=1)


class ResBlock(nn.Module):
    """Two convolutions, the second scaled and shifted as the time step says, with a way around them."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(GroupNorm(dim), nn.SiLU(), ConvOverTime(dim, dim))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(dim, 2 * dim))
        # The third place belongs to a dropout, released with 0: it keeps the numbers in the names.
        self.out_layers = nn.Sequential(GroupNorm(dim), nn.SiLU(), nn.Identity(), ConvOverTime(dim, dim, 3))

    def forward(self, x: Hidden, steering: Float[Tensor, "batch two_dim"]) -> Hidden:
        """With what `emb_layers` make of the time."""
        norm, *rest = self.out_layers
        scale, shift = steering.unsqueeze(1).chunk(2, dim=-1)
        hidden = torch.addcmul(shift, norm(self.in_layers(x)), 1 + scale)
        for layer in rest:
            hidden = layer(hidden)
        return x + hidden


class DiffusionLayer(nn.Module):
    """A residual block that knows the time step, then attention."""

    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__()
        self.resblk = ResBlock(dim)
        self.attn = AttentionBlock(dim, n_heads)

    def forward(self, x: Hidden, steering: Float[Tensor, "batch two_dim"]) -> Hidden:
        return self.attn(self.resblk(x, steering))


class DiffusionDecoder(nn.Module):
    """The network: what noise is in a noisy spec, and how wide the noise of the next step should be."""

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__()
        self.config = config
        self.recomputes = False  # of each step, what its layers found: slower training in less memory
        dim, n_heads = config.dim, config.n_heads
        self.unconditioned_embedding = nn.Parameter(random_values(1, dim, 1))
        self.inp_block = ConvOverTime(config.n_mels, dim, 3)
        self.time_embed = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.code_embedding = table(config.n_codes, dim)
        self.code_converter = nn.Sequential(*_attention(3, dim, n_heads))
        self.code_norm = GroupNorm(dim)
        self.latent_conditioner = nn.Sequential(
            ConvOverTime(config.latent_dim, dim, 3), *_attention(4, dim, n_heads)
        )
        self.contextual_embedder = nn.Sequential(
            nn.Conv1d(config.n_mels, dim, 3, stride=2, padding=1),
            nn.Conv1d(dim, config.voice_dim, 3, stride=2, padding=1),
            *_attention(5, config.voice_dim, n_heads),
        )
        self.conditioning_timestep_integrator = nn.ModuleList(DiffusionLayer(dim, n_heads) for _ in range(3))
        self.integrating_conv = ConvOverTime(2 * dim, dim)
        self.mel_head = ConvOverTime(dim, config.n_mels, 3)
        self.layers = nn.ModuleList(
            [DiffusionLayer(dim, n_heads) for _ in range(config.n_layers)]
            + [ResBlock(dim) for _ in range(N_PLAIN_LAYERS)]
        )
        self.out = nn.Sequential(GroupNorm(dim), nn.SiLU(), ConvOverTime(dim, config.n_outputs, 3))

    def voice(self, clips: Float[Tensor, "batch clips mels frames"]) -> Voice:
        """What a voice is like: the mean over all frames of its clips, whose spec is not normalised."""
        first, second, *attention = self.contextual_embedder
        described = second(first(clips.flatten(0, 1))).transpose(1, 2)
        for block in attention:
            described = block(described)
        return described.mean(1).unflatten(0, clips.shape[:2]).mean(1)

    def align(self, content: Content, voice: Voice, n_frames: int) -> Aligned:
        """What is said and by whom, for each of `n_frames`: the part that no step changes.

        Args:
            content: Latents of the autoregressive model, or its codes.
            voice: From `voice`.
            n_frames: As long as the spec; every code is stretched over about as many frames.
        """
        if content.is_floating_point():
            hidden = self.latent_conditioner(content)
        else:
            hidden = self.code_converter(self.code_embedding(content))
        scale, shift = voice.unsqueeze(1).chunk(2, dim=-1)
        hidden = torch.addcmul(shift, self.code_norm(hidden), 1 + scale)
        return functional.interpolate(hidden.transpose(1, 2), size=n_frames, mode="nearest")

    def unconditioned(self, batch: int, n_frames: int) -> Aligned:
        """In place of `align`: nothing is said, by nobody. The other end of guidance."""
        return self.unconditioned_embedding.expand(batch, -1, n_frames)

    def first_guess(self, aligned: Aligned) -> Spec:
        """A spec without any diffusion, blurred; in training it teaches `align`."""
        return self.mel_head(aligned.transpose(1, 2)).transpose(1, 2)

    def forward(
        self, noisy: Spec, timesteps: Int[Tensor, "batch"], aligned: Aligned
    ) -> Float[Tensor, "batch outputs frames"]:
        """The noise in `noisy`, then where its variance lies from -1 (smallest) to 1 (largest).

        Args:
            noisy: A normalised spec under the noise of its time step.
            timesteps: From 0, nearly clean, to 3999, nothing but noise.
            aligned: From `align` or `unconditioned`.
        """
        return self.denoised(noisy, self.steering(timesteps), aligned)

    def steering(self, timesteps: Int[Tensor, "steps"]) -> Steering:
        """What every residual block makes of each time step."""
        waves = waves_of(timesteps, self.config.dim)
        time = self.time_embed(waves.to(self.unconditioned_embedding.dtype))
        layers = [*self.conditioning_timestep_integrator, *self.layers]
        blocks = [layer.resblk if isinstance(layer, DiffusionLayer) else layer for layer in layers]
        return torch.stack([block.emb_layers(time) for block in blocks], dim=1)

    def denoised(
        self, noisy: Spec, steering: Steering, aligned: Aligned
    ) -> Float[Tensor, "batch outputs frames"]:
        """As `forward`; `steering` holds the time step of each utterance."""
        of_blocks = iter(steering.unbind(1))
        context = aligned.transpose(1, 2).contiguous()
        for layer in self.conditioning_timestep_integrator:
            context = self._through(layer, context, next(of_blocks))
        frames = self.inp_block(noisy.transpose(1, 2).contiguous())
        hidden = self.integrating_conv(torch.cat([frames, context], dim=-1))
        for layer in self.layers:
            hidden = self._through(layer, hidden, next(of_blocks))
        return self.out(hidden).transpose(1, 2)

    def _through(self, layer: nn.Module, x: Hidden, steering: Float[Tensor, "batch two_dim"]) -> Hidden:
        if self.recomputes and torch.is_grad_enabled():
            return checkpoint(layer, x, steering, use_reentrant=False, preserve_rng_state=False)
        return layer(x, steering)


def _attention(n: int, dim: int, n_heads: int) -> list[AttentionBlock]:
    return [AttentionBlock(dim, n_heads) for _ in range(n)]
