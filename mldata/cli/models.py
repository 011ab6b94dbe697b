"""`mldata models`: the models in the cache, and models converted before they are needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from mldata.cli import completion
from mldata.cli.manual import manual

if TYPE_CHECKING:
    from mldata.settings import EngineSettings

models = typer.Typer(
    name="models",
    no_args_is_help=True,
    help="Convert models for CTranslate2, and list what is converted.",
)


def convert(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="A hub name (org/name), or a directory.", show_default=False),
    ] = None,
    pipeline: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="All models of a recipe shipped with mldata, or of a .toml file, instead of one.",
            autocompletion=completion.pipelines,
        ),
    ] = None,
    quantization: Annotated[
        str,
        typer.Option(
            metavar="TYPE",
            help="float32, float16, bfloat16, int8, int8_float32, int8_float16, int8_bfloat16.",
        ),
    ] = "int8",
    revision: Annotated[
        str | None, typer.Option(metavar="REVISION", help="Commit or tag of the hub's repository.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIRECTORY", help="A new directory to convert into, instead of the cache."),
    ] = None,
) -> None:
    """Convert translation models for CTranslate2 and check them against the originals.

    A build does this by itself at first use; done before, translators need neither torch nor transformers
    any more. With --pipeline, everything of a recipe is made ready: its CTranslate2 translators and encoders
    are converted, its other models fetched.

    Examples:

      mldata models convert google/madlad400-3b-mt --quantization int8

      mldata models convert --pipeline hub

    Files:

      one directory a model in the cache (`mldata models list`), or DIRECTORY

    Exit codes:

      0 done · 2 input or use
      130 interrupted (Ctrl-C), 143 ended by SIGTERM
    """
    from mldata.cli.screen import console
    from mldata.conversion import converted, converted_into, find_translator
    from mldata.errors import InputError
    from mldata.settings import ChatSettings, CTranslate2Settings, Quantization

    if (model is None) == (pipeline is None):
        raise InputError("give a model, or --pipeline for those of a recipe")
    if pipeline is not None:
        if revision is not None or out is not None:
            raise InputError("a recipe says the revisions, and its models go into the cache: drop the option")
        from mldata.recipe import load_recipe

        recipe = load_recipe(pipeline)
        if not any(not isinstance(said, ChatSettings) for said in recipe.engines.values()):
            raise InputError(f"pipeline {recipe.name} has no engine with a model")
        for name, said in recipe.engines.items():
            for path in _ready(name, said):
                console.print(f"{name}: {path}", soft_wrap=True, markup=False)
        return
    if quantization not in get_args(Quantization):
        raise InputError(f"--quantization {quantization}: choose from {' '.join(get_args(Quantization))}")
    settings = CTranslate2Settings.model_validate(
        {"engine": "ctranslate2", "model": model, "revision": revision, "quantization": quantization}
    )
    found = find_translator(settings)
    directory = (
        converted(found, settings.quantization)
        if out is None
        else converted_into(found, settings.quantization, out)
    )
    console.print(str(directory), soft_wrap=True, markup=False)


def _ready(name: str, said: EngineSettings) -> list[Path]:
    """Fetch, and convert where it must be, what an engine of a recipe needs; none for a chat server."""
    from mldata import settings
    from mldata.encode import ctranslate2 as encoder
    from mldata.identify import open_identifier
    from mldata.models import find
    from mldata.translate.ctranslate2 import CTranslate2

    if isinstance(said, settings.CTranslate2Settings):
        return CTranslate2(name, said).convert()
    if isinstance(said, settings.CTranslate2EncoderSettings):
        return [encoder.convert(said)]
    if isinstance(said, settings.FastTextSettings):
        open_identifier(name, {name: said})
        return [find(said, (said.file,)).path]
    return [] if isinstance(said, settings.ChatSettings) else [find(said).path]


def list_models() -> None:
    """List the converted models in the cache: what each was made of, its size and its directory.

    What is deleted there is made again when it is needed.

    Example:

      mldata models list

    Exit codes:

      0 done · 2 input or use
      130 interrupted (Ctrl-C), 143 ended by SIGTERM
    """
    from mldata.cli.screen import console, table
    from mldata.conversion import RECORD, in_cache
    from mldata.models import cache_home, read_json

    directories = in_cache()
    rows = table("model", "for", ">MB", "directory")
    for directory in directories:
        translator = (directory / RECORD).is_file()
        file = directory / (RECORD if translator else "encoder.json")
        said = read_json(file) if file.is_file() else {}
        what = f"{said['model']}, {said['quantization']}" if "model" in said else "?"
        size = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
        rows.add_row(what, "translation" if translator else "encoding", f"{size / 1e6:.1f}", directory.name)
    if directories:
        console.print(rows)
    console.print(f"{len(directories)} in {cache_home()}", soft_wrap=True, markup=False)


for name, command in {"convert": convert, "list": list_models}.items():
    models.command(name=name, help=manual(command))(command)
