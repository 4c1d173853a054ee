"""Requests that are right and wrong, as data: read by the Python tests, the CEL test and a real API server.

`VALID` holds specs. `BROKEN` holds specs that only a cross-field rule refuses, with its exact messages: they
come from Python and from the API server alike. `MISSHAPEN` holds specs that the schema itself refuses, with
our message (the API server words its own) and the field it names. `CHANGES` holds updates of a stored spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Spec = dict[str, Any]

TEXT: Spec = {"model": "t2v-A14B", "prompt": "A corgi surfing at sunset"}
IMAGE: Spec = {**TEXT, "model": "i2v-A14B", "image": "s3://inputs/corgi.png"}
BOTH: Spec = {**TEXT, "model": "ti2v-5B"}
SMALL: Spec = {**TEXT, "model": "t2v-1.3B"}
TINY: Spec = {"model": "wan-tiny", "prompt": "a red circle moving right"}
TINY_IMAGE: Spec = {**TINY, "model": "wan-tiny-i2v", "image": "s3://inputs/blue-square.png"}

VALID: Mapping[str, Spec] = {
    "only what is required": TEXT,
    "every field": {
        **IMAGE,
        "negativePrompt": "blurry",
        "imageFit": "crop",
        "resolution": "1280x720",
        "frames": 81,
        "fps": 16,
        "steps": 40,
        "guidance": {"high": 4.0, "low": 3.0},
        "shift": 12.0,
        "seed": 42,
        "quality": "near",
        "fallback": {"models": ["ti2v-5B", "wan_implementation:t2v-1.3B"], "maxAttempts": 4},
        "scheduling": {
            "priorityClassName": "video.low-1",
            "gpuProducts": ["NVIDIA-H100-80GB-HBM3", "NVIDIA H200"],
        },
        "deadlines": {"start": "2h", "run": "1h30m"},
        "retention": {"succeeded": "24h", "failed": "0s"},
        "suspend": True,
        "cancel": False,
    },
    "a still": {**TEXT, "frames": 1},
    "the longest": {**TEXT, "frames": 1001},
    "the smallest numbers": {**TINY, "fps": 1, "steps": 1, "shift": 0.1, "seed": 0},
    "the largest numbers": {**TINY, "fps": 120, "steps": 200, "shift": 100, "seed": 4294967295},
    "whole numbers for scales": {**TEXT, "guidance": {"high": 4, "low": 1}},
    "one scale for one expert": {**BOTH, "guidance": {"scale": 5.0}},
    "one scale for 1.3B": {**SMALL, "guidance": {"scale": 6}},
    "one scale for wan-tiny-i2v": {**TINY_IMAGE, "guidance": {"scale": 2}},
    "two scales for wan-tiny": {**TINY, "guidance": {"high": 2, "low": 1}},
    "5B without an image": BOTH,
    "5B with an image": {**BOTH, "image": "s3://inputs/corgi.png"},
    "5B on its stride": {**BOTH, "resolution": "1280x704"},
    "A14B on its stride": {**TEXT, "resolution": "1264x720"},
    "wan-tiny with an image": TINY_IMAGE,
    "an upper-case id": {**TEXT, "model": "T2V-A14B", "frames": 81},
    "an official id": {**TEXT, "model": "Wan-AI/Wan2.2-T2V-A14B-Diffusers"},
    "a legacy id": {**IMAGE, "model": "wan_implementation:i2v-A14B"},
    "frames of speech are not 4k+1": {**IMAGE, "model": "s2v-14B", "frames": 80},
    "a model nobody knows": {**TEXT, "model": "sora", "frames": 82, "image": "s3://inputs/a.png"},
    "the longest prompt, of emoji": {**TEXT, "prompt": "\U0001f600" * 8192},
    "right to left": {**TEXT, "prompt": "قطة تركض على الشاطئ \u202eabc"},
    "shell and template": {**TEXT, "prompt": "$(rm -rf /) {{ .Values }} `id` %s \\u0000"},
    "terminal escapes": {**TEXT, "prompt": "\x1b[31mred\x1b[0m\x07"},
    "lines and tabs": {**TEXT, "prompt": "one\n\ttwo\r\n"},
    "an empty negative prompt": {**TEXT, "negativePrompt": ""},
    "an image key of every kind": {**IMAGE, "image": "s3://a.b-c/Dir (1)/it's*new!_v1.0=+@,.png"},
    "empty groups": {**TEXT, "fallback": {}, "scheduling": {}, "deadlines": {}},
    "empty lists": {**TEXT, "fallback": {"models": []}, "scheduling": {"gpuProducts": []}},
}

_4K1 = "spec.frames: {} is not 4k+1; nearest: {}, {}".format
_STRIDE = "spec.resolution: {} is not a multiple of {}; nearest: {}, {}".format
_FORM = "spec.guidance: give either scale, or high and low together"
_TWO = "spec.guidance: {} has two experts: give high and low".format
_ONE = "spec.guidance: {} has one expert: give scale".format
_NEEDS = "spec.image: missing; {} starts from an image: s3://BUCKET/KEY".format
_NONE = "spec.image: {} takes no image; nearest: {}".format

BROKEN: Mapping[str, tuple[Spec, tuple[str, ...]]] = {
    "82 frames": ({**TEXT, "frames": 82}, (_4K1(82, 81, 85),)),
    "80 frames of i2v": ({**IMAGE, "frames": 80}, (_4K1(80, 77, 81),)),
    "2 frames of 5B": ({**BOTH, "frames": 2}, (_4K1(2, 1, 5),)),
    "1000 frames of 1.3B": ({**SMALL, "frames": 1000}, (_4K1(1000, 997, 1001),)),
    "16 frames of wan-tiny": ({**TINY, "frames": 16}, (_4K1(16, 13, 17),)),
    "16 frames of wan-tiny-i2v": ({**TINY_IMAGE, "frames": 16}, (_4K1(16, 13, 17),)),
    "82 frames of an official id": (
        {**TEXT, "model": "Wan-AI/Wan2.1-T2V-1.3B-Diffusers", "frames": 82},
        (_4K1(82, 81, 85),),
    ),
    "a side off 16": ({**TEXT, "resolution": "1280x721"}, (_STRIDE("1280x721", 16, "1280x720", "1280x736"),)),
    "both sides off 16": ({**TINY, "resolution": "65x63"}, (_STRIDE("65x63", 16, "64x48", "80x64"),)),
    "a side below 16": ({**TINY, "resolution": "10x17"}, (_STRIDE("10x17", 16, "16x16", "16x32"),)),
    "the largest side off 16": (
        {**TEXT, "resolution": "9999x16"},
        (_STRIDE("9999x16", 16, "9984x16", "9984x16"),),
    ),
    "720p of 5B": ({**BOTH, "resolution": "1280x720"}, (_STRIDE("1280x720", 32, "1280x704", "1280x736"),)),
    "720p of I2V-5B": (
        {**BOTH, "model": "I2V-5B", "image": "s3://inputs/a.png", "resolution": "1280x720"},
        (_STRIDE("1280x720", 32, "1280x704", "1280x736"),),
    ),
    "16 of an unknown model": (
        {**TEXT, "model": "sora", "resolution": "100x100"},
        (_STRIDE("100x100", 16, "96x96", "112x112"),),
    ),
    "i2v without an image": ({**TEXT, "model": "i2v-A14B"}, (_NEEDS("i2v-A14B"),)),
    "I2V-5B without an image": ({**TEXT, "model": "I2V-5B"}, (_NEEDS("I2V-5B"),)),
    "official i2v without an image": (
        {**TEXT, "model": "Wan-AI/Wan2.2-I2V-A14B"},
        (_NEEDS("Wan-AI/Wan2.2-I2V-A14B"),),
    ),
    "s2v without an image": ({**TEXT, "model": "s2v-14B"}, (_NEEDS("s2v-14B"),)),
    "wan-tiny-i2v without an image": ({**TINY, "model": "wan-tiny-i2v"}, (_NEEDS("wan-tiny-i2v"),)),
    "t2v with an image": ({**IMAGE, "model": "t2v-A14B"}, (_NONE("t2v-A14B", "i2v-A14B, ti2v-5B"),)),
    "1.3B with an image": ({**IMAGE, "model": "t2v-1.3B"}, (_NONE("t2v-1.3B", "i2v-A14B, ti2v-5B"),)),
    "wan-tiny with an image": ({**IMAGE, "model": "wan-tiny"}, (_NONE("wan-tiny", "wan-tiny-i2v"),)),
    "no scale at all": ({**TEXT, "guidance": {}}, (_FORM,)),
    "only high": ({**TEXT, "guidance": {"high": 4}}, (_FORM,)),
    "only low": ({**TEXT, "guidance": {"low": 3}}, (_FORM,)),
    "scale and high": ({**TEXT, "guidance": {"scale": 5, "high": 4}}, (_FORM,)),
    "all three": ({**BOTH, "guidance": {"scale": 5, "high": 4, "low": 3}}, (_FORM,)),
    "one scale for two experts": ({**TEXT, "guidance": {"scale": 5}}, (_TWO("t2v-A14B"),)),
    "one scale for wan-tiny": ({**TINY, "guidance": {"scale": 5}}, (_TWO("wan-tiny"),)),
    "one scale for i2v": ({**IMAGE, "model": "i2v", "guidance": {"scale": 5}}, (_TWO("i2v"),)),
    "two scales for 5B": ({**BOTH, "guidance": {"high": 4, "low": 3}}, (_ONE("ti2v-5B"),)),
    "two scales for 1.3B": ({**SMALL, "guidance": {"high": 4, "low": 3}}, (_ONE("t2v-1.3B"),)),
    "NUL in the prompt": ({**TEXT, "prompt": "a\0b"}, ("spec.prompt: contains the NUL character",)),
    "NUL in the negative prompt": (
        {**TEXT, "negativePrompt": "\0"},
        ("spec.negativePrompt: contains the NUL character",),
    ),
    "an image outside its folder": (
        {**IMAGE, "image": "s3://inputs/../secrets/a.png"},
        ('spec.image: contains ".."',),
    ),
    "no time to start": (
        {**TEXT, "deadlines": {"start": "0h0m"}},
        ('spec.deadlines.start: "0h0m" is no time at all; nearest: 1s',),
    ),
    "no time to run": (
        {**TEXT, "deadlines": {"run": "0s"}},
        ('spec.deadlines.run: "0s" is no time at all; nearest: 1s',),
    ),
    "four faults": (
        {**BOTH, "resolution": "100x100", "frames": 3, "guidance": {"high": 4, "low": 3}, "prompt": "\0"},
        (
            "spec.prompt: contains the NUL character",
            _STRIDE("100x100", 32, "96x96", "128x128"),
            _4K1(3, 1, 5),
            _ONE("ti2v-5B"),
        ),
    ),
}

MISSHAPEN: Mapping[str, tuple[Spec, str]] = {
    "no model": ({"prompt": "a"}, "spec.model: missing"),
    "no prompt": ({"model": "wan-tiny"}, "spec.prompt: missing"),
    "an empty prompt": ({**TINY, "prompt": ""}, "spec.prompt: is empty"),
    "one emoji too many": (
        {**TINY, "prompt": "\U0001f600" * 8193},
        "spec.prompt: has 8193 characters; the maximum is 8192",
    ),
    "a number for a prompt": (
        {**TINY, "prompt": 42},
        "spec.prompt: expected a string, got 42 (integer); put it in quotes",
    ),
    "a traversing model": (
        {**TINY, "model": "../../x"},
        'spec.model: "../../x" is not a model id, as t2v-A14B',
    ),
    "a long model": ({**TINY, "model": "a" * 129}, "spec.model: has 129 characters; the maximum is 128"),
    "a web image": ({**TINY, "image": "http://a/b"}, 'spec.image: "http://a/b" is not s3://BUCKET/KEY'),
    "a bucket without a key": (
        {**TINY, "image": "s3://inputs"},
        'spec.image: "s3://inputs" is not s3://BUCKET/KEY',
    ),
    "a star in the resolution": (
        {**TINY, "resolution": "1280*704"},
        'spec.resolution: "1280*704" is not WIDTHxHEIGHT, as 1280x720; did you mean 1280x704?',
    ),
    "a named resolution": (
        {**TINY, "resolution": "720p"},
        'spec.resolution: "720p" is not WIDTHxHEIGHT, as 1280x720; did you mean 1280x720?',
    ),
    "frames in quotes": (
        {**TINY, "frames": "81"},
        'spec.frames: expected an integer, got "81" (string); nearest: 81, without quotes',
    ),
    "half a frame": (
        {**TINY, "frames": 80.5},
        "spec.frames: expected an integer, got 80.5 (number); nearest: 80, 81",
    ),
    "no frames": ({**TINY, "frames": 0}, "spec.frames: 0 is below the minimum; nearest: 1"),
    "too many frames": ({**TINY, "frames": 1005}, "spec.frames: 1005 is above the maximum; nearest: 1001"),
    "a negative seed": ({**TINY, "seed": -1}, "spec.seed: -1 is below the minimum; nearest: 0"),
    "a 33-bit seed": (
        {**TINY, "seed": 4294967296},
        "spec.seed: 4294967296 is above the maximum; nearest: 4294967295",
    ),
    "a tiny shift": ({**TINY, "shift": 0.01}, "spec.shift: 0.01 is below the minimum; nearest: 0.1"),
    "a huge scale": (
        {**BOTH, "guidance": {"scale": 21}},
        "spec.guidance.scale: 21 is above the maximum; nearest: 20",
    ),
    "guidance as a number": (
        {**TINY, "guidance": 5},
        "spec.guidance: expected a mapping, got 5 (integer); there are: scale, high, low",
    ),
    "a near quality": (
        {**TINY, "quality": "losless"},
        'spec.quality: "losless" is not one of lossless, near, balanced, turbo; did you mean lossless?',
    ),
    "a wrong fit": ({**TINY, "imageFit": 1}, "spec.imageFit: 1 is not one of refuse, crop, pad"),
    "suspend as a word": (
        {**TINY, "suspend": "yes"},
        'spec.suspend: expected a boolean, true or false, got "yes" (string); nearest: true',
    ),
    "a list for a mapping": (
        {**TINY, "fallback": []},
        "spec.fallback: expected a mapping, got a list; there are: models, maxAttempts",
    ),
    "a string for a list": (
        {**TINY, "fallback": {"models": "t2v-1.3B"}},
        'spec.fallback.models: expected a list, got "t2v-1.3B" (string); nearest: ["t2v-1.3B"]',
    ),
    "nine fallbacks": (
        {**TINY, "fallback": {"models": ["t2v-1.3B"] * 9}},
        "spec.fallback.models: has 9 entries; the maximum is 8",
    ),
    "no attempts": (
        {**TINY, "fallback": {"maxAttempts": 0}},
        "spec.fallback.maxAttempts: 0 is below the minimum; nearest: 1",
    ),
    "a product of newlines": (
        {**TINY, "scheduling": {"gpuProducts": ["a\nb"]}},
        'spec.scheduling.gpuProducts[0]: "a\\nb" is not a GPU product name, as NVIDIA-H200',
    ),
    "a deadline in words": (
        {**TINY, "deadlines": {"run": "2 hours"}},
        'spec.deadlines.run: "2 hours" is not a duration, as 90m, 2h or 1h30m; did you mean 2h?',
    ),
    "an empty deadline": (
        {**TINY, "deadlines": {"run": ""}},
        'spec.deadlines.run: "" is not a duration, as 90m, 2h or 1h30m',
    ),
    "a priority class of capitals": (
        {**TINY, "scheduling": {"priorityClassName": "High"}},
        'spec.scheduling.priorityClassName: "High" is not a DNS name (RFC 1123) of a-z, 0-9, - and .;'
        " did you mean high?",
    ),
    "a retention in days": (
        {**TINY, "retention": {"failed": "7d"}},
        'spec.retention.failed: "7d" is not a duration, as 90m, 2h or 1h30m; did you mean 168h?',
    ),
    "a deadline in seconds": (
        {**TINY, "deadlines": {"run": 7200}},
        "spec.deadlines.run: 7200 is not a duration, as 90m, 2h or 1h30m; did you mean 2h?",
    ),
    "a spaced resolution": (
        {**TINY, "resolution": "1280 x 720"},
        "spec.resolution: has 10 characters; the maximum is 9; did you mean 1280x720?",
    ),
    "an image that is wrong is not missing": (
        {**TINY_IMAGE, "image": "https://inputs.s3.amazonaws.com/a.png"},
        'spec.image: "https://inputs.s3.amazonaws.com/a.png" is not s3://BUCKET/KEY; '
        "did you mean s3://inputs/a.png?",
    ),
    "an unknown field": ({**TINY, "promt": "x"}, "spec.promt: unknown field; did you mean spec.prompt?"),
    "a snake-case field": (
        {**TINY, "negative_prompt": "x"},
        "spec.negative_prompt: unknown field; did you mean spec.negativePrompt?",
    ),
}


def _changed(field: str) -> str:
    return f"spec.{field}: cannot be changed; create another VideoGeneration"


_FULL = VALID["every field"]

CHANGES: Mapping[str, tuple[Spec, Spec, tuple[str, ...]]] = {
    "suspend may be set": (TEXT, {**TEXT, "suspend": True}, ()),
    "suspend may be taken away": (_FULL, {k: v for k, v in _FULL.items() if k != "suspend"}, ()),
    "cancel may be set": (_FULL, {**_FULL, "cancel": True}, ()),
    "retention may be set": (TEXT, {**TEXT, "retention": {"failed": "1h"}}, ()),
    "retention may be changed": (_FULL, {**_FULL, "retention": {"succeeded": "48h"}}, ()),
    "retention may be taken away": (_FULL, {k: v for k, v in _FULL.items() if k != "retention"}, ()),
    "nothing changes": (_FULL, _FULL, ()),
    "the prompt": (TEXT, {**TEXT, "prompt": "x"}, (_changed("prompt"),)),
    "the model": (TEXT, {**TEXT, "model": "T2V-A14B"}, (_changed("model"),)),
    "a field is added": (TEXT, {**TEXT, "frames": 81}, (_changed("frames"),)),
    "a field is removed": (_FULL, {k: v for k, v in _FULL.items() if k != "seed"}, (_changed("seed"),)),
    "a field deep inside": (
        _FULL,
        {**_FULL, "guidance": {"high": 4.0, "low": 3.5}},
        (_changed("guidance"),),
    ),
    "a list": (_FULL, {**_FULL, "scheduling": {"gpuProducts": []}}, (_changed("scheduling"),)),
    "two fields": (_FULL, {**_FULL, "fps": 8, "steps": 4}, (_changed("fps"), _changed("steps"))),
}
