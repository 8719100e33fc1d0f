import click


@click.command()
@click.argument("text")
@click.option("--twice", is_flag=True, help="Count it twice.")
def count(text, twice):
    """Count the words of TEXT."""
    click.echo(len(text.split()) * (2 if twice else 1))
