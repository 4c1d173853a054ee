"""`wan weights publish` and `wan weights verify`.

boto3 and torch are imported when they run.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wan_core.errors import IntegrityError, InvalidInput
from wan_runner.weights_shell import (
    CacheDir,
    Format,
    Output,
    Uri,
    answer,
    answer_json,
    cache_or_default,
    complain,
    in_camel_case,
    many,
    shown_progress,
    told,
    words,
)

if TYPE_CHECKING:
    from threading import Event

    from wan_runner.store.prepare_model import Assembly
    from wan_runner.store.publish import Published

Encoders = Annotated[
    Path | None,
    typer.Option(
        "--encoders-from",
        metavar="DIR",
        help="Take text encoder, VAE and tokenizer from here: diffusers' folder or ComfyUI's files.",
    ),
]
DtypeOption = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        metavar="keep|bf16|fp16|fp32",
        help="What to write transformer and text encoder in; by default fp32 becomes bf16.",
    ),
]
Scratch = Annotated[
    Path | None,
    typer.Option(
        "--scratch", metavar="DIR", help="Where a converted part lies while it is sent; default: $TMPDIR."
    ),
]
DTYPES = ("keep", "bf16", "fp16", "fp32")


def publish(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SRC",
            help="A folder of diffusers, Wan or ComfyUI, one ComfyUI file, or wan-tiny, wan-tiny-i2v.",
        ),
    ],
    uri: Uri,
    encoders_from: Encoders = None,
    dtype: DtypeOption = None,
    license_id: Annotated[
        str | None, typer.Option("--license", help="Default: what SRC's model card says.")
    ] = None,
    origin: Annotated[
        str | None, typer.Option("--source", help="Where these weights come from, for people.")
    ] = None,
    scratch: Scratch = None,
    output: Output = Format.TEXT,
) -> None:
    """Publish a model's weights to S3, converted to diffusers layout where they are not in it.

    Again, it sends only what is not there yet: after an interruption it goes on.
    """
    with told(resumes=True) as interruption:
        from wan_runner.store.publish import model_id_of, publish_model

        model = _describe(_assemble(source, uri, encoders_from, dtype), license_id, origin)
        for note in model.notes:
            complain(note)
        with shown_progress(lines=True) as tell:
            published = publish_model(
                model, model_id_of(uri), uri, cancel=interruption.requested, tell=tell, scratch=scratch
            )
    _tell_published(published, uri, output)


def _describe(model: Assembly, license_id: str | None, origin: str | None) -> Assembly:
    """What people said of the model goes before what was found."""
    license_id = model.license if license_id is None else license_id
    return replace(model, license=license_id, source="; ".join(filter(None, (origin, model.source))))


def _tell_published(published: Published, uri: str, output: Format) -> None:
    manifest = published.manifest
    if output is Format.JSON:
        of = {"model": manifest.model, "uri": uri, "digest": manifest.digest(), "files": len(manifest.files)}
        sent = {name: getattr(published, name) for name in ("files_sent", "bytes_sent", "checksum")}
        answer_json(in_camel_case({**of, "bytes": manifest.total_bytes, **sent}))
        return
    how = f"{words(published.bytes_sent)} sent" if published.files_sent else "already published"
    size = f"{many(len(manifest.files), 'file')}, {manifest.total_bytes} bytes"
    answer(f"{manifest.model}: {size}, {manifest.digest()}: {how}")


def _assemble(source: Path, uri: str, encoders: Path | None, dtype: str | None) -> Assembly:
    """The model that is meant by what stands on the command line."""
    from wan_runner.store.prepare_model import assemble
    from wan_runner.store.publish import assemble_tiny, model_id_of
    from wan_runner.tiny import TINY_MODELS

    if dtype is not None and dtype not in DTYPES:
        raise InvalidInput(
            f"--dtype: {dtype!r} is none of {', '.join(DTYPES)}", advice="Leave it out for bf16."
        )
    if str(source) in TINY_MODELS and not source.exists():
        if encoders is not None or dtype is not None:
            raise InvalidInput(
                f"--encoders-from and --dtype are for models of yours; {source} goes as it ships"
            )
        return assemble_tiny(str(source), uri)
    return assemble(source, model_id_of(uri), encoders=encoders, dtype=dtype)


def verify(
    what: Annotated[
        str | None, typer.Argument(metavar="[S3URI|MODEL]", help="Which; with --cached all.")
    ] = None,
    cached: Annotated[bool, typer.Option("--cached", help="The cache of this machine, every byte.")] = False,
    deep: Annotated[bool, typer.Option("--deep", help="In S3: read every byte, not only checksums.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Cached: fetch bad chunks again. In S3: send from --from.")
    ] = False,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="SRC", help="What was published, to repair from.")
    ] = None,
    encoders_from: Encoders = None,
    dtype: DtypeOption = None,
    scratch: Scratch = None,
    cache: CacheDir = None,
    output: Output = Format.TEXT,
) -> None:
    """Compare a published or a cached model with the checksums of its manifest."""
    with told() as interruption:
        if cached:
            _verify_cached(what, repair, cache_or_default(cache), output, interruption.requested)
            return
        if what is None or repair != (source is not None):
            raise InvalidInput(
                "name a model in S3, or say --cached; in S3, --repair needs --from SRC",
                advice="As in: wan weights verify s3://weights/ti2v-5B --repair --from DIR",
            )
        model = _assemble(source, what, encoders_from, dtype) if source is not None else None
        _verify_published(what, deep, model, scratch, output, interruption.requested)


def _verify_published(
    uri: str, deep: bool, model: Assembly | None, scratch: Path | None, output: Format, cancel: Event
) -> None:
    """Raises IntegrityError if something is wrong, and stays so."""
    import tempfile

    from wan_runner.store import s3
    from wan_runner.store.verify import mend_published, verify_published

    client, place = s3.connect(), s3.parse_uri(uri)
    with shown_progress() as tell:
        found = verify_published(client, place, deep, cancel, tell)
    paths, mended = [fault.path for fault in found.faults], []
    if paths and model is not None:
        folder = scratch or Path(tempfile.gettempdir())
        mended = mend_published(client, place, found.manifest, paths, model, folder, cancel)
    if output is Format.JSON:
        faults = [{**asdict(fault), "repaired": fault.path in mended} for fault in found.faults]
        digest = found.manifest.digest()
        answer_json({"uri": place.uri, "digest": digest, "checkedBy": dict(found.ways), "faults": faults})
    else:
        for fault in found.faults:
            answer(f"{fault.path} {fault.problem}" + (": repaired" if fault.path in mended else ""))
        ways = [f"{count} by {way}" for way, count in sorted(found.ways.items())]
        ways += [f"{found.missing} missing"] if found.missing else []
        answer(f"{found.manifest.model}: {many(len(found.manifest.files), 'file')}, {', '.join(ways)}")
    left = len(paths) - len(mended)
    if left:
        advice = f"Send them again: wan weights verify {uri} --repair --from SRC."
        if model is not None:
            advice = "SRC has other bytes than were published: publish it as a whole."
        are = f"{many(left, 'file')} of {place.uri} {'is' if left == 1 else 'are'}"
        raise IntegrityError(f"{are} not what its manifest says", advice=advice)


def _verify_cached(what: str | None, repair: bool, folder: Path, output: Format, cancel: Event) -> None:
    """Raises IntegrityError if something is wrong, and stays so."""
    from wan_runner.store.cache import open_cache
    from wan_runner.store.holdings import choose_cached, list_cached
    from wan_runner.store.scrub import scrub

    models = list_cached(open_cache(folder))
    only = None if what is None else {choose_cached(models, what).digest}
    logging.getLogger(scrub.__module__).setLevel(logging.ERROR)  # what it warns of is told below
    with shown_progress() as tell:
        done = scrub(
            folder, cancel, lambda read, total: tell("reading", read, total), repair=repair, only=only
        )
    if output is Format.JSON:
        answer_json(in_camel_case(asdict(done)))
    else:
        for finding in done.findings:
            chunks = ", ".join(map(str, finding.chunks or ()))
            where = f" in chunk {chunks} of 64 MiB" if chunks else ""
            end = "put into quarantine" if finding.gone else finding.reason
            names = ", ".join(sorted({model.name for model in models if finding.name in model.blobs}))
            answer(f"{finding.name} of {names} has wrong bytes{where}: {end or 'repaired'}")
        if done.unknown:
            answer(f"{many(len(done.unknown), 'file')} without a checksum: there was no manifest")
        answer(f"{many(done.blobs, 'file')}, {words(done.bytes)} read, {len(done.findings)} damaged")
    left = [finding for finding in done.findings if finding.reason]
    if left:
        raise IntegrityError(
            f"wrong bytes in {many(len(left), 'file')} of {folder}",
            advice="They are fetched again when they are needed." if repair else "Say --repair.",
        )
