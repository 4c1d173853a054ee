"""Our transformer in the place of diffusers' own: in its pipelines, among its files, by its interface."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.wan_core.model.variants import VARIANTS, build_ours, draw_inputs, run_ours
from wan_core.errors import InvalidInput, ModelNotFound
from wan_core.weights.schemes import Scheme
from wan_core.weights.transformer import from_ours
from wan_runner.tiny import model_files

pytestmark = pytest.mark.slow  # imports diffusers

PIXELS = 64


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model, in diffusers layout."""

    def get(name: str) -> Path:
        folder = tmp_path_factory.getbasetemp() / f"drop-in-{name}"
        for relative, source in model_files(name).items():
            (folder / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / relative)
        return folder

    return get


def classes() -> tuple[Any, Any]:
    """diffusers' class and ours."""
    from diffusers import WanTransformer3DModel

    from wan_core.pipeline import diffusers

    return WanTransformer3DModel, diffusers.WanTransformer3DModel


def both(folder: Path, **kwargs: Any) -> tuple[Any, Any]:
    stock, ours = (cls.from_pretrained(folder, subfolder="transformer", **kwargs) for cls in classes())
    return stock, ours


def arguments(folder: Path, batch: int = 1, **changes: Any) -> dict[str, Any]:
    """What a pipeline hands to the transformer of wan-tiny."""
    draw = torch.Generator().manual_seed(0)
    return {
        "hidden_states": torch.randn(batch, 16, 3, 8, 8, generator=draw),
        "timestep": torch.tensor([731]).expand(batch),
        "encoder_hidden_states": torch.randn(batch, 512, 64, generator=draw),
        **changes,
    }


def psnr(found: Any, expected: Any) -> float:
    """Of values whose range is 1."""
    error = (torch.as_tensor(found).double() - torch.as_tensor(expected).double()).square().mean()
    return float(-10 * torch.log10(error + 1e-30))


def make_video(folder: Path, kind: str, cls: Any, output_type: str = "np", **call: Any) -> Any:
    """A clip by diffusers' own pipeline around the transformers of a class."""
    import diffusers
    from transformers import T5Tokenizer, UMT5EncoderModel

    experts = [name for name in ("transformer", "transformer_2") if (folder / name).is_dir()]
    index = diffusers.DiffusionPipeline.load_config(folder)
    pipe = getattr(diffusers, kind)(
        tokenizer=T5Tokenizer.from_pretrained(folder / "tokenizer"),
        text_encoder=UMT5EncoderModel.from_pretrained(folder / "text_encoder", dtype=torch.float32),
        vae=diffusers.AutoencoderKLWan.from_pretrained(folder / "vae", dtype=torch.float32),
        scheduler=diffusers.UniPCMultistepScheduler.from_pretrained(folder / "scheduler", flow_shift=3.0),
        **{name: cls.from_pretrained(folder, subfolder=name) for name in experts},
        boundary_ratio=index.get("boundary_ratio"),
        expand_timesteps=index.get("expand_timesteps", False),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe(
        prompt="a red circle moving right",
        negative_prompt="",
        generator=torch.Generator().manual_seed(3),
        output_type=output_type,
        **{"height": PIXELS, "width": PIXELS, "num_frames": 9, "num_inference_steps": 8, **call},
    ).frames


def picture(size: int) -> Any:
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (size, size), (20, 30, 60))
    ImageDraw.Draw(image).ellipse((size // 4, size // 4, size // 2, size // 2), fill=(230, 40, 40))
    return image


@pytest.mark.parametrize("output", ["latent", "np"], ids=["latents", "frames"])
def test_text_to_video_with_two_experts_is_the_video_of_stock(tiny: Any, output: str) -> None:
    folder, guidance = tiny("wan-tiny"), {"guidance_scale": 2.0, "guidance_scale_2": 1.5}
    stock, ours = (make_video(folder, "WanPipeline", cls, output, **guidance) for cls in classes())
    assert psnr(ours, stock) >= 60


def test_image_to_video_is_the_video_of_stock(tiny: Any) -> None:
    call = {"image": picture(PIXELS), "guidance_scale": 1.5}
    stock, ours = (
        make_video(tiny("wan-tiny-i2v"), "WanImageToVideoPipeline", cls, **call) for cls in classes()
    )
    assert psnr(ours, stock) >= 60


@pytest.mark.parametrize(
    ("kind", "image"),
    [
        pytest.param("WanPipeline", {}, id="from text"),
        pytest.param(
            "WanImageToVideoPipeline", {"image": picture(32)}, id="from an image, its frame at time 0"
        ),
    ],
)
def test_the_latents_of_ti2v_are_those_of_stock(model_folder: Any, kind: str, image: dict[str, Any]) -> None:
    small = {"height": 32, "width": 32, "num_inference_steps": 4, "guidance_scale": 2.0, **image}
    stock, ours = (make_video(model_folder("ti2v"), kind, cls, "latent", **small) for cls in classes())
    assert stock.std() > 0.1
    assert psnr(ours, stock) >= 60


def test_a_pipeline_that_is_saved_is_loaded_by_diffusers_alone(tiny: Any, tmp_path: Path) -> None:
    from diffusers import WanPipeline

    stock_class, ours_class = classes()
    ours = ours_class.from_pretrained(tiny("wan-tiny"), subfolder="transformer")
    WanPipeline.from_pretrained(tiny("wan-tiny"), transformer=ours).save_pretrained(tmp_path)
    again = WanPipeline.from_pretrained(tmp_path).transformer
    assert type(again) is stock_class
    given = arguments(tmp_path)
    torch.testing.assert_close(again(**given).sample, ours(**given).sample, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16], ids=["as it comes", "bfloat16"])
@pytest.mark.parametrize("shards", [{}, {"max_shard_size": "1MB"}], ids=["one file", "shards"])
def test_saving_writes_the_bytes_that_stock_writes(
    tiny: Any, tmp_path: Path, dtype: torch.dtype | None, shards: dict[str, str]
) -> None:
    for name, model in zip(("stock", "ours"), both(tiny("wan-tiny"), dtype=dtype), strict=True):
        model.save_pretrained(tmp_path / name, **shards)
    stock, ours = (
        {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("stock", "ours")
    )
    assert ours.keys() == stock.keys()
    assert [name for name in stock if ours[name] != stock[name]] == []
    assert (len(stock) > 3) == bool(shards)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16], ids=str)
def test_what_people_ask_of_the_class_is_answered_as_by_stock(tiny: Any, dtype: torch.dtype | None) -> None:
    stock, ours = both(tiny("wan-tiny"), torch_dtype=dtype)
    assert isinstance(ours, classes()[0])
    assert dict(ours.config) == dict(stock.config)
    assert (ours.config.patch_size, ours.config.in_channels, ours.config.image_dim) == ([1, 2, 2], 16, None)
    assert (ours.dtype, ours.device, ours.training) == (stock.dtype, stock.device, stock.training)
    assert ours.num_parameters() == stock.num_parameters()
    assert all(parameter.requires_grad for parameter in ours.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_call_is_answered_as_by_stock(tiny: Any, dtype: torch.dtype) -> None:
    stock, ours = both(tiny("wan-tiny"), dtype=dtype)
    given = {
        k: v.to(dtype) if v.is_floating_point() else v for k, v in arguments(tiny("wan-tiny"), 2).items()
    }
    found, expected = ours(**given), stock(**given)
    assert type(found) is type(expected)
    assert (found.sample.dtype, found.sample.shape) == (dtype, expected.sample.shape)
    accuracy = {torch.float32: 1e-4, torch.bfloat16: 0.1}[dtype]
    torch.testing.assert_close(found.sample, expected.sample, rtol=accuracy, atol=accuracy)
    (alone,) = ours(**given, return_dict=False)
    assert torch.equal(alone, found.sample)


def test_casting_keeps_in_float32_what_has_to_be(tiny: Any) -> None:
    ours = classes()[1].from_pretrained(tiny("wan-tiny"), subfolder="transformer")
    exact = {name: p.clone() for name, p in ours.named_parameters()}
    ours.to(torch.bfloat16)
    assert ours.dtype is torch.bfloat16
    kept = [name for name, p in ours.named_parameters() if p.dtype is torch.float32]
    assert any(name.endswith("modulation") for name in kept)
    assert all(torch.equal(ours.get_parameter(name), exact[name]) for name in kept)
    given = arguments(tiny("wan-tiny"))
    given = {k: v.bfloat16() if v.is_floating_point() else v for k, v in given.items()}
    assert ours(**given).sample.dtype is torch.bfloat16


def test_a_timestep_for_each_token_is_one_for_each_frame(tiny: Any) -> None:
    stock, ours = both(tiny("wan-tiny"))
    timestep = torch.full((1, 48), 640.0)
    timestep[:, :16] = 0  # the first of 3 latent frames of 4x4 tokens
    given = arguments(tiny("wan-tiny"), timestep=timestep)
    torch.testing.assert_close(ours(**given).sample, stock(**given).sample, rtol=1e-4, atol=1e-4)


@pytest.fixture
def model(tiny: Any) -> Any:
    return classes()[1].from_pretrained(tiny("wan-tiny"), subfolder="transformer")


def test_a_prompt_is_prepared_once_for_all_steps(model: Any, tiny: Any) -> None:
    prompts, prepared = [arguments(tiny("wan-tiny")) for _ in range(2)], []
    model.transformer.text_in.register_forward_hook(lambda *_: prepared.append(1))
    for timestep in (900, 500, 100):
        for given in prompts:
            model(**{**given, "timestep": torch.tensor([timestep])})
    assert len(prepared) == 2


REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "channels of another model": (
        {"hidden_states": torch.zeros(1, 36, 3, 8, 8)},
        ValueError,
        r"latents are \[1, 36, 3, 8, 8\], not \[B, 16, T, H, W\]",
    ),
    "half a patch": (
        {"hidden_states": torch.zeros(1, 16, 3, 7, 8)},
        ValueError,
        "H 7 is no whole number of patches of 2",
    ),
    "text of another width": (
        {"encoder_hidden_states": torch.zeros(1, 512, 4096)},
        ValueError,
        r"\[1, 512, 4096\], not \[B, S, 64\]",
    ),
    "text of another batch": (
        {"encoder_hidden_states": torch.zeros(3, 512, 64)},
        ValueError,
        r"\[6, 2, 3, 512, 4, 32\], not \[6, 2, 1, S, 4, 32\]",
    ),
    "another dtype": (
        {"hidden_states": torch.zeros(1, 16, 3, 8, 8).half()},
        ValueError,
        "hidden_states are torch.float16, the model torch.float32",
    ),
    "timesteps for other tokens": (
        {"timestep": torch.zeros(1, 50)},
        ValueError,
        "timesteps are for 50 tokens, latents make 3x4x4 = 48",
    ),
    "timesteps that differ within a frame": (
        {"timestep": torch.arange(48.0)[None]},
        ValueError,
        "timesteps differ within latent frame 0 of sample 0: 0.0 and 15.0",
    ),
    "timesteps of another batch": (
        {"timestep": torch.zeros(2)},
        ValueError,
        r"timesteps are \[2\], not one for each of 1 samples",
    ),
    "timesteps of three dimensions": (
        {"timestep": torch.zeros(1, 3, 16)},
        ValueError,
        r"are \[1, 3, 16\], not",
    ),
    "an image for CLIP": (
        {"encoder_hidden_states_image": torch.zeros(1, 257, 1280)},
        InvalidInput,
        "encoder_hidden_states_image: this transformer has no use for it",
    ),
    "a scale for LoRA": ({"attention_kwargs": {"scale": 0.5}}, InvalidInput, "attention_kwargs"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_in_words(name: str, model: Any, tiny: Any) -> None:
    changes, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        model(**arguments(tiny("wan-tiny"), **changes))


def test_what_it_cannot_do_is_an_error_not_silence(model: Any) -> None:
    with pytest.raises(InvalidInput, match="attention is chosen when the model is built"):
        model.set_attention_backend("native")
    with pytest.raises(ValueError, match="gradient checkpointing"):
        model.enable_gradient_checkpointing()
    with pytest.raises(ValueError, match="group offloading"):
        model.enable_group_offload(onload_device=torch.device("cpu"))


@pytest.mark.parametrize(
    ("name", "options", "error", "told"),
    [
        pytest.param("/no/such", {}, ModelNotFound, "/no/such: there is no such folder", id="no folder"),
        pytest.param(__file__, {}, ModelNotFound, "is a file", id="a file"),
        pytest.param(
            "x/y", {"dtype": "bfloat16"}, InvalidInput, "dtype: bfloat16 is not", id="a dtype's name"
        ),
        pytest.param("x/y", {"dtype": torch.int8}, InvalidInput, "dtype: torch.int8 is not", id="integers"),
        pytest.param("x/y", {"device_map": "auto"}, InvalidInput, "device: auto is not one", id="a map"),
    ],
)
def test_what_cannot_be_loaded_is_told(
    name: str, options: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        classes()[1].from_pretrained(name, local_files_only=True, **options)


def test_a_copy_answers_as_the_original(model: Any, tiny: Any) -> None:
    given = arguments(tiny("wan-tiny"))
    expected = model(**given).sample
    assert torch.equal(deepcopy(model)(**given).sample, expected)


def test_weights_may_stay_away_until_a_layer_is_called(model: Any, tiny: Any) -> None:
    """As under enable_sequential_cpu_offload, with the CPU in the GPU's place: absent weights are on meta."""
    from accelerate import cpu_offload

    given = arguments(tiny("wan-tiny"))
    expected = model(**given).sample
    cpu_offload(model, torch.device("cpu"))
    assert model.transformer.blocks[0].ffn_in.weight.is_meta
    assert torch.equal(model(**given).sample, expected)


def test_blocks_compile_once_by_diffusers_own_call(model: Any, tiny: Any) -> None:
    from torch._dynamo.testing import CompileCounter

    torch._dynamo.reset()
    compiled = CompileCounter()
    model.compile_repeated_blocks(fullgraph=True, backend=compiled)
    for timestep in (900, 100):
        model(**arguments(tiny("wan-tiny"), timestep=torch.tensor([timestep])))
    assert compiled.frame_count == 1
    torch._dynamo.reset()


def test_a_single_file_is_loaded_under_its_own_names(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    config = replace(VARIANTS["t2v-A14B"], text_dim=4096)
    original = build_ours(config)
    stored = from_ours(original.state_dict(), config, Scheme.COMFYUI)
    save_file({name: tensor.clone() for name, tensor in stored.items()}, tmp_path / "comfyui.safetensors")
    model, inputs = classes()[1].from_single_file(tmp_path / "comfyui.safetensors"), draw_inputs(config)
    found = model(inputs.latents, inputs.timestep[:, 0], inputs.states).sample
    assert torch.equal(found, run_ours(original, inputs))


def test_a_model_of_the_hub_is_found_in_its_cache(tiny: Any, tmp_path: Path) -> None:
    repository = tmp_path / "models--someone--wan-tiny"
    shutil.copytree(tiny("wan-tiny"), repository / "snapshots" / "0123abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abc")
    hub = {"cache_dir": tmp_path, "local_files_only": True}
    model = classes()[1].from_pretrained("someone/wan-tiny", subfolder="transformer", **hub)
    assert model.config._name_or_path == "someone/wan-tiny"
