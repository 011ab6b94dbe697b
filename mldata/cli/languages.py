"""`mldata languages`: what can be translated here, by what, and how to get the rest."""

from __future__ import annotations

from mldata.cli.build import Anchor, Pipeline


def languages(
    pipeline: Pipeline = "embedded",
    anchor: Anchor = None,
) -> None:
    """List a pipeline's targets: route, engine, licence, installed or how to install.

    Examples:

      mldata languages

      mldata languages --pipeline hub --anchor de

    Exit codes:

      0 done · 2 input or use
      130 interrupted (Ctrl-C), 143 ended by SIGTERM
    """
    from mldata.cli.screen import console, table
    from mldata.errors import InputError
    from mldata.languages import canonical, language
    from mldata.pipeline import installed
    from mldata.recipe import load_recipe

    recipe = load_recipe(pipeline)
    start = canonical(anchor) if anchor else recipe.anchor
    engines = installed(recipe)
    rows = table("language", "name", "route", "back", "engines", "licence")
    missing, reasons = [], list(engines.absent.values())
    for target in recipe.targets:
        routes = engines.routes(start, target) if target != start else None
        if routes is None:
            missing.append(target)
            rows.add_row(target, language(target).name, "not installed", "", "", "")
            continue
        try:
            used = {engine for route in routes for engine in route.engines(engines.translators)}
        except InputError as error:  # its model isn't here, or can't run here
            reasons.append(str(error))
            rows.add_row(target, language(target).name, str(routes[0]), str(routes[1]), "not here", "")
            continue
        names = " ".join(sorted({engine.name for engine in used}))
        licences = ", ".join(sorted({engine.licence for engine in used}))
        rows.add_row(target, language(target).name, str(routes[0]), str(routes[1]), names, licences)
    console.print(rows)
    for remedy in dict.fromkeys(reasons):
        console.print(remedy, soft_wrap=True, markup=False)
    if missing and not engines.absent:
        from mldata.translate.apertium import INSTALL

        console.print(f"To install the rest, on Debian and Ubuntu: {INSTALL}", soft_wrap=True)
