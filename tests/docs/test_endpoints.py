"""docs/endpoints.md has every endpoint and field, as the code declares them."""

from pathlib import Path

from support import endpoints_page

PAGE = Path(__file__).parents[2] / "docs" / "endpoints.md"


def test_the_page_of_endpoints_is_what_they_declare():
    """Made again: make endpoints"""
    assert PAGE.read_text() == endpoints_page.page()
