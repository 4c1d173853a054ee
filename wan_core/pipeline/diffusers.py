"""Our transformer for people who use diffusers: the class that they know, with our forward inside.

    from wan_core.pipeline.diffusers import WanTransformer3DModel

    transformer = WanTransformer3DModel.from_pretrained(folder, subfolder="transformer", dtype=torch.bfloat16)
    pipe = WanPipeline.from_pretrained(folder, transformer=transformer, ...)

Config and files are diffusers' own, read and written. Not covered: LoRA, quantised checkpoints, CLIP images
(Wan 2.1's image-to-video), group offloading, step caches, diffusers' choice of attention and of devices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers import ModelMixin
from diffusers import WanTransformer3DModel as Stock
from diffusers.configuration_utils import register_to_config
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from huggingface_hub import snapshot_download
from torch import Tensor

from wan_core.errors import InvalidInput, ModelNotFound
from wan_core.kernels.attention import Attend, sdpa
from wan_core.kernels.ops import TORCH, Ops
from wan_core.model.inputs import check_dtype, check_inputs, check_text, measure_grid
from wan_core.model.rope import Rope, build_rope
from wan_core.model.transformer import FP32, WanTransformer, stays_fp32
from wan_core.pipeline.prepared import PreparedTexts
from wan_core.weights.configs import read_config, write_config
from wan_core.weights.schemes import Scheme
from wan_core.weights.transformer import from_ours, load_transformer

Grid = tuple[int, int, int]


class WanTransformer3DModel(Stock):
    """diffusers' WanTransformer3DModel, computed by `transformer`, a WanTransformer.

    Without gradients a prompt's keys and values are kept as long as its tensor lives: layers x 2 x rows x dim
    numbers, 0.4 GiB for A14B in bfloat16.
    """

    __module__ = Stock.__module__  # a pipeline that is saved names diffusers' class: it loads without us
    _supports_gradient_checkpointing = False  # wan_core.model.checkpointing does that
    _supports_group_offloading = False  # its hooks do not see `prepare_text` reach into the blocks
    _keep_in_fp32_modules: ClassVar[list[str]] = list(FP32)
    _no_split_modules: ClassVar[list[str]] = ["Block"]
    _repeated_blocks: ClassVar[list[str]] = ["Block"]

    @register_to_config
    @wraps(Stock.__init__)
    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        ModelMixin.__init__(self)
        self.gradient_checkpointing = False
        self.transformer = WanTransformer(read_config({**self.config, "_class_name": Stock.__name__}))
        self._texts = PreparedTexts()
        self._rope: tuple[Grid, Rope] | None = None

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        subfolder: str | None = None,
        dtype: torch.dtype | None = None,
        torch_dtype: torch.dtype | None = None,
        device_map: torch.device | str | None = None,
        ops: Ops = TORCH,
        attend: Attend = sdpa,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
    ) -> WanTransformer3DModel:
        """From a folder in diffusers layout, or from the Hub, for which the last four are.

        `device_map` is one device; `ops` and `attend` say how it computes. Raises IntegrityError if files are
        not those of one model, ModelNotFound for a local path without a folder, InvalidInput for a dtype or
        device that is none.
        """
        chosen, device = _check_choice(dtype or torch_dtype or torch.float32, device_map or "cpu")
        folder, subfolder = Path(pretrained_model_name_or_path), subfolder or ""
        if not folder.is_dir():
            _check_repository(str(pretrained_model_name_or_path))
            kinds = (f"{subfolder}/*.json", f"{subfolder}/*.safetensors")
            downloaded = snapshot_download(
                str(pretrained_model_name_or_path),
                allow_patterns=[kind.removeprefix("/") for kind in kinds],
                revision=revision,
                cache_dir=cache_dir,
                token=token,
                local_files_only=local_files_only,
            )
            folder = Path(downloaded)
        transformer = load_transformer(
            folder / subfolder,
            dtype=chosen,
            device=device,
            ops=ops,
            attend=attend,
        )
        config = {**cls.load_config(folder / subfolder), "_name_or_path": pretrained_model_name_or_path}
        return cls.around(transformer.requires_grad_(), config)

    @classmethod
    def from_single_file(
        cls,
        path: str | Path,
        *,
        dtype: torch.dtype | None = None,
        torch_dtype: torch.dtype | None = None,
        device: torch.device | str = "cpu",
        ops: Ops = TORCH,
        attend: Attend = sdpa,
    ) -> WanTransformer3DModel:
        """From one local file under any naming scheme, ComfyUI's among them."""
        chosen, device = _check_choice(dtype or torch_dtype or torch.float32, device)
        transformer = load_transformer(Path(path), dtype=chosen, device=device, ops=ops, attend=attend)
        return cls.around(transformer.requires_grad_())

    @classmethod
    def around(
        cls, transformer: WanTransformer, config: Mapping[str, Any] | None = None
    ) -> WanTransformer3DModel:
        """The class around a transformer that is there already; `config` as diffusers has it."""
        with torch.device("meta"):
            model = cls.from_config(config or write_config(transformer.config))
        model.transformer = transformer
        return model.eval()

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Write the files that diffusers' own class writes; `kwargs` as it takes them."""
        with torch.device("meta"):
            stock = Stock.from_config(self.config)
        state = from_ours(self.transformer.state_dict(), self.transformer.config, Scheme.DIFFUSERS)
        kept = set(Stock._keep_in_fp32_modules)
        for key, tensor in state.items():  # a view of a fused weight is copied: shards are cut by storage
            fused = tensor.nbytes != tensor.untyped_storage().nbytes()
            dtype = tensor.dtype if kept & set(key.split(".")) else self.dtype
            state[key] = tensor.to(dtype, copy=fused)
        stock.load_state_dict(state, assign=True)
        stock.save_pretrained(save_directory, **kwargs)

    def forward(
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        encoder_hidden_states_image: Tensor | None = None,
        return_dict: bool = True,
        attention_kwargs: Mapping[str, Any] | None = None,
    ) -> Transformer2DModelOutput | tuple[Tensor]:
        """Latents [B, C, T, H, W], timesteps [B] or [B, L], text states [B, S, E] to a velocity, as stock.

        Timesteps by token must be equal within a latent frame: seeing that waits for the device once a call.
        Raises ValueError, with the two numbers that disagree, for inputs that do not fit.
        """
        _refuse(encoder_hidden_states_image=encoder_hidden_states_image, attention_kwargs=attention_kwargs)
        check_dtype(self.dtype, hidden_states=hidden_states, encoder_hidden_states=encoder_hidden_states)
        config = self.transformer.config
        grid = measure_grid(config, hidden_states)
        check_text(config, encoder_hidden_states)
        timestep_BN = group_timesteps(timestep, hidden_states.shape[0], grid)
        text = self._texts.prepare(self.transformer, encoder_hidden_states)
        rope = self._positions(grid, hidden_states.device)
        check_inputs(config, hidden_states, timestep_BN, text, rope)
        sample = self.transformer(hidden_states, timestep_BN, text, rope)
        return Transformer2DModelOutput(sample=sample) if return_dict else (sample,)

    def set_attention_backend(self, backend: str) -> None:
        raise InvalidInput(
            f"{backend}: attention is chosen when the model is built",
            advice="Name it as from_pretrained(..., attend=wan_core.kernels.attention...).",
        )

    def _positions(self, grid: Grid, device: torch.device) -> Rope:
        """Rotary tables, of the last shape kept."""
        if self._rope is None or self._rope[0] != grid or self._rope[1].cos.device != device:
            self._rope = (grid, build_rope(grid, self.transformer.config.head_dim, device))
        return self._rope[1]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> WanTransformer3DModel:
        """Moving and casting: what `FP32` names stays float32."""
        exact = {name: p.data for name, p in self.named_parameters() if stays_fp32(name)}
        super()._apply(fn, recurse)
        for name, data in exact.items():
            parameter = self.get_parameter(name)
            if parameter.dtype is not data.dtype:
                parameter.data = data.to(parameter.device)
        self._texts = PreparedTexts()
        return self


def group_timesteps(timestep: Tensor, batch: int, grid: Grid) -> Tensor:
    """[B] to [B, 1]; [B, L] to [B, T'], one for each latent frame.

    Raises ValueError if there is not one for each token, or a frame has several.
    """
    if timestep.ndim > 2 or (timestep.ndim == 1 and timestep.shape[0] not in (1, batch)):
        raise ValueError(
            f"timesteps are {list(timestep.shape)}, not one for each of {batch} samples or tokens"
        )
    if timestep.ndim < 2:
        return timestep.expand(batch)[:, None]
    t, h, w = grid
    if timestep.shape[1] != t * h * w:
        raise ValueError(
            f"timesteps are for {timestep.shape[1]} tokens, latents make {t}x{h}x{w} = {t * h * w}"
        )
    tokens_BTN = timestep.unflatten(1, (t, h * w))
    low_BT, high_BT = tokens_BTN.aminmax(dim=-1)
    if not torch.equal(low_BT, high_BT):
        sample, frame = (low_BT != high_BT).nonzero()[0].tolist()
        low, high = float(low_BT[sample, frame]), float(high_BT[sample, frame])
        raise ValueError(f"timesteps differ within latent frame {frame} of sample {sample}: {low} and {high}")
    return tokens_BTN[..., 0]


def _check_choice(dtype: Any, device: Any) -> tuple[torch.dtype, torch.device]:
    """Both, if they are such. Raises InvalidInput."""
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise InvalidInput(f"dtype: {dtype} is not a torch.dtype that computes; nearest: torch.bfloat16")
    try:
        return dtype, torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InvalidInput(f"device: {device} is not one device, such as cpu or cuda:0") from error


def _check_repository(name: str) -> None:
    """Raise ModelNotFound for what cannot be a repository of the Hub, so that a path was meant."""
    path = Path(name)
    if path.is_file():
        raise ModelNotFound(f"{name}: is a file", advice="from_single_file reads one.")
    if path.is_absolute() or name.startswith(".") or name.count("/") > 1:
        raise ModelNotFound(f"{name}: there is no such folder")


def _refuse(**arguments: Any) -> None:
    """Raise InvalidInput for arguments of diffusers' forward that have no effect here."""
    for name, value in arguments.items():
        if value is not None and (isinstance(value, Tensor) or value):
            raise InvalidInput(
                f"{name}: this transformer has no use for it", advice="Use diffusers' own class."
            )
