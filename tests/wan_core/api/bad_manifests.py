"""Manifests that are wrong in their text, each with every line that is said about it.

What is wrong in single fields of spec stands in `cases`; here are the faults of YAML, JSON, bytes and the
resource around the spec, and combinations.
"""

from __future__ import annotations

from collections.abc import Mapping

HEAD = """\
apiVersion: wan.video/v1alpha1
kind: VideoGeneration
metadata:
  name: tiny
"""
GOOD = f"""{HEAD}spec:
  model: wan-tiny
  prompt: a red circle moving right
"""


def with_spec(lines: str) -> str:
    """The good manifest with more lines in its spec; they start at line 8."""
    return GOOD + "".join(f"  {line}\n" for line in lines.splitlines())


def as_json(spec: str) -> str:
    return (
        '{"apiVersion": "wan.video/v1alpha1", "kind": "VideoGeneration", "metadata": {"name": "tiny"},'
        f' "spec": {spec}}}'
    )


BAD: Mapping[str, tuple[str | bytes, tuple[str, ...]]] = {
    # Not a document.
    "empty": ("", ("m.yaml: is empty",)),
    "only spaces and comments": ("  \n# nothing\n", ("m.yaml: is empty",)),
    "only document marks": ("---\n---\n", ("m.yaml: is empty",)),
    "only null": ("null\n", ("m.yaml: is empty",)),
    "a word": ("hello", ('m.yaml: expected a mapping, got "hello"',)),
    "a list": ("- a\n- b\n", ("m.yaml: expected a mapping, got a list",)),
    "two documents": (f"{GOOD}---\n{GOOD}", ("m.yaml: 2 documents; one VideoGeneration a file is read",)),
    "huge": (b"#" * 1_572_865, ("m.yaml: has 1572865 bytes; the maximum is 1572864",)),
    "a picture": (
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        ("m.yaml line 1: byte 0x89 is not UTF-8",),
    ),
    "UTF-16": ("\ufeffa: b".encode("utf-16-le"), ("m.yaml line 1: byte 0xff is not UTF-8",)),
    "a byte order mark and then no UTF-8": (
        b"\xef\xbb\xbfa: \xff",
        ("m.yaml line 1: byte 0xff is not UTF-8",),
    ),
    "Latin-1 in line 2": ("a: b\nc: caf\xe9\n".encode("latin-1"), ("m.yaml line 2: byte 0xe9 is not UTF-8",)),
    "NUL": (f"{GOOD}\0", ('m.yaml line 8: the character "\\x00" may not stand in YAML',)),
    "a raw escape": (
        GOOD.replace("red", "\x1b[31mred"),
        ('m.yaml line 7: the character "\\x1b" may not stand in YAML',),
    ),
    "a lone surrogate in the text": (GOOD + "\ud800", ("m.yaml line 8: byte 0xed is not UTF-8",)),
    # Not YAML, or YAML that is not read.
    "an open brace": ("{", ("m.yaml line 2: is not YAML: did not find expected node content",)),
    "an open quote": (
        f'{HEAD}spec: "abc\n',
        ("m.yaml line 6: is not YAML: found unexpected end of stream",),
    ),
    "a colon too many": (
        "a: b: c\n",
        ("m.yaml line 1: is not YAML: mapping values are not allowed in this context",),
    ),
    "a tab": (f"{GOOD}\tframes: 81\n", ("m.yaml line 8: indented with a tab; YAML wants spaces",)),
    "a template": ("{{ .Values.manifest }}\n", ("m.yaml line 1: a key must be a plain word",)),
    "an alias": ("a: &x 1\nb: *x\n", ("m.yaml line 2: the alias *x is not read here; write the value out",)),
    "a billion laughs": (
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        ("m.yaml line 2: the alias *a is not read here; write the value out",),
    ),
    "a thousand brackets": ("[" * 1000, ("m.yaml line 1: nested deeper than 32 levels",)),
    "a thousand JSON objects": ('{"a":' * 1000, ("m.yaml line 1: nested deeper than 32 levels",)),
    "a Python object": (
        "a: !!python/object/apply:os.system [id]\n",
        ('m.yaml line 1: the tag "tag:yaml.org,2002:python/object/apply:os.system" is not read here',),
    ),
    "a tag of one's own": ("a: !secret b\n", ('m.yaml line 1: the tag "!secret" is not read here',)),
    "binary": ("a: !!binary aGk=\n", ('m.yaml line 1: the tag "tag:yaml.org,2002:binary" is not read here',)),
    "a list for a key": ("? [a, b]\n: c\n", ("m.yaml line 1: a key must be a plain word",)),
    "half of a surrogate pair": (
        with_spec('negativePrompt: "\\ud800"'),
        ("m.yaml line 8: is not YAML: found invalid Unicode character escape code",),
    ),
    "half of a surrogate pair in JSON": (
        as_json('{"model": "wan-tiny", "prompt": "a\\ud83d"}'),
        ('spec.prompt: "a\\ud83d" contains half of a surrogate pair, which is no character',),
    ),
    "a number of 500 digits": (
        with_spec(f"seed: {'9' * 500}"),
        ("m.yaml line 8: a number of 500 characters is too long",),
    ),
    "a number of 500 digits in JSON": (
        as_json(f'{{"model": "wan-tiny", "seed": {"9" * 500}}}'),
        ("m.yaml line 1: a number of 500 characters is too long",),
    ),
    "a key twice": (with_spec("model: t2v-A14B"), ('m.yaml line 8: "model" is given twice',)),
    "two keys twice": (
        with_spec("seed: 1\nseed: 2\nfps: 8\nfps: 8"),
        ('m.yaml line 9: "seed" is given twice', 'm.yaml line 11: "fps" is given twice'),
    ),
    "a key twice in JSON": (
        as_json('{"model": "wan-tiny", "prompt": "a", "prompt": "b"}'),
        ('m.yaml line 1: "prompt" is given twice',),
    ),
    # Not this resource.
    "another resource": (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replicas: 1}\n",
        ('apiVersion: "apps/v1" is not wan.video/v1alpha1', 'kind: "Deployment" is not VideoGeneration'),
    ),
    "another version": (
        GOOD.replace("v1alpha1", "v1"),
        ('apiVersion: "wan.video/v1" is not wan.video/v1alpha1',),
    ),
    "another spelling": (
        GOOD.replace("VideoGeneration", "videogeneration"),
        ('kind: "videogeneration" is not VideoGeneration',),
    ),
    "nothing but a key": (
        "prompt: x\n",
        (
            "apiVersion: missing",
            "kind: missing",
            "metadata: missing",
            "spec: missing",
            "prompt: unknown field; there are: apiVersion, kind, metadata, spec, status",
        ),
    ),
    "a misspelt spec": (
        GOOD.replace("spec:", "sepc:"),
        ("spec: missing", "sepc: unknown field; did you mean spec?"),
    ),
    "spec as a list": (f"{HEAD}spec: [a]\n", ("spec: expected a mapping, got a list",)),
    "spec as a word": (f"{HEAD}spec: a\n", ('spec: expected a mapping, got "a" (string)',)),
    "an empty spec": (f"{HEAD}spec: {{}}\n", ("spec.model: missing", "spec.prompt: missing")),
    "a spec of nothing": (f"{HEAD}spec:\n", ("spec: missing",)),
    "metadata as a word": (
        GOOD.replace("\n  name:", " "),
        ('metadata: expected a mapping, got "tiny" (string)',),
    ),
    "no name": (GOOD.replace("  name: tiny", "  labels: {}"), ("metadata.name: missing",)),
    "a name with capitals": (
        GOOD.replace("name: tiny", "name: My_Video"),
        (
            'metadata.name: "My_Video" is not a DNS name (RFC 1123) of a-z, 0-9, - and .;'
            " did you mean my-video?",
        ),
    ),
    "a name that is a path": (
        GOOD.replace("name: tiny", "name: ../../etc"),
        ('metadata.name: "../../etc" is not a DNS name (RFC 1123) of a-z, 0-9, - and .; did you mean etc?',),
    ),
    "a number for a name": (
        GOOD.replace("name: tiny", "name: 42"),
        ("metadata.name: expected a string, got 42 (integer); put it in quotes",),
    ),
    "a name of 254 characters": (
        GOOD.replace("name: tiny", f"name: {'a' * 254}"),
        ("metadata.name: has 254 characters; the maximum is 253",),
    ),
    "a namespace with dots": (
        GOOD.replace("name: tiny", "name: tiny\n  namespace: a.b"),
        ('metadata.namespace: "a.b" is not a DNS label (RFC 1123) of a-z, 0-9 and -; did you mean a-b?',),
    ),
    # Values that YAML reads as something else.
    "yes for a prompt": (
        GOOD.replace("a red circle moving right", "yes"),
        ("spec.prompt: expected a string, got true (boolean); put it in quotes",),
    ),
    "nothing for a prompt": (GOOD.replace("a red circle moving right", ""), ("spec.prompt: missing",)),
    "NUL escaped": (
        GOOD.replace("a red circle moving right", '"a\\0b"'),
        ("spec.prompt: contains the NUL character",),
    ),
    "not a number": (with_spec("shift: .nan"), ("spec.shift: expected a finite number, got NaN (number)",)),
    "infinity": (
        with_spec("shift: -.inf"),
        ("spec.shift: expected a finite number, got -Infinity (number)",),
    ),
    "an exponent": (with_spec("frames: 1e3"), ("spec.frames: 1000 is not 4k+1; nearest: 997, 1001",)),
    "an octal": (with_spec("frames: 021"), ('spec.frames: expected an integer, got "021" (string)',)),
    "a clock time": (with_spec("seed: 12:30"), ('spec.seed: expected an integer, got "12:30" (string)',)),
    "a number of 50 digits": (
        with_spec(f"seed: {'9' * 50}"),
        (f"spec.seed: {'9' * 50} is above the maximum; nearest: 4294967295",),
    ),
    "true for a count": (with_spec("steps: true"), ("spec.steps: expected an integer, got true (boolean)",)),
    "a list for a count": (with_spec("steps: [1]"), ("spec.steps: expected an integer, got a list",)),
    "escapes in what is shown": (
        with_spec('resolution: "\\e[31m\\u202e"'),
        ('spec.resolution: "\\x1b[31m\\u202e" is not WIDTHxHEIGHT, as 1280x720',),
    ),
    "escapes in a key": (
        with_spec('"\\e[31m": 1'),
        (
            'spec."\\x1b[31m": unknown field; there are: model, prompt, negativePrompt, image, imageFit,'
            " resolution, frames, fps, steps, guidance, shift, seed, quality, fallback, scheduling,"
            " deadlines, retention, suspend, cancel",
        ),
    ),
    "a merge key": (
        with_spec("fallback: {<<: {maxAttempts: 3}}"),
        ('spec.fallback."<<": unknown field; there are: models, maxAttempts',),
    ),
    "everything at once": (
        f"""{HEAD}spec:
  model: ti2v-5B
  promt: a red circle
  resolution: 1280x720
  frames: 82
  steps: forty
  steps: 40
  guidance: {{high: 4, low: 3}}
  quality: losless
""",
        (
            'm.yaml line 11: "steps" is given twice',
            "spec.prompt: missing",
            'spec.quality: "losless" is not one of lossless, near, balanced, turbo; did you mean lossless?',
            "spec.promt: unknown field; did you mean spec.prompt?",
            "spec.resolution: 1280x720 is not a multiple of 32; nearest: 1280x704, 1280x736",
            "spec.frames: 82 is not 4k+1; nearest: 81, 85",
            "spec.guidance: ti2v-5B has one expert: give scale",
        ),
    ),
}
