"""The server's pages in a browser."""

import json
from urllib.parse import quote

import pytest
from support.serving import served

pytestmark = pytest.mark.clients

MARKDOWN = """\
### Title

First line
with *emphasis*, **strong `code`** and ~~no~~ a_b_c 2 * 3 * 4.

- one
  1. two
- [x](https://example.org/a_(b)) https://example.org/c.

> quoted 🙂 漢字

| a | b |
|---|---|
| 1 | `x` |

```python
def f(x):
    return "<b>"
```
"""
HOSTILE = (
    '<img src=x onerror="alert(1)"> <script>alert(1)</script> [a](javascript:alert(1)) ![b](https://example.org/b.png) '
    "[c](data:text/html,x) <https://example.org/d>"
)


def settings(*columns):
    """The part of a link that holds the settings of conversations."""
    return "#" + quote(json.dumps(list(columns)))


def forced(text, **more):
    """Settings with which a model says a text."""
    return settings({"parameters": {"choice": [text], **more.pop("parameters", {})}, **more})


def say(page, text="Hello."):
    page.locator("#input:enabled").fill(text)
    page.keyboard.press("Enter")


def answered(page, count=1):
    """Wait for the last answers of all conversations."""
    page.locator("#send").wait_for()
    for number in range(count):
        page.locator(".column").nth(number).locator(".turn").last.locator(".figures span").first.wait_for()


def test_answers_stream_in(new_page):
    page = new_page(settings({"parameters": {"max_tokens": 120, "ignore_eos": True, "temperature": 0}}))
    say(page, "Tell me a story of a fox.")
    text = page.locator(".turn .text")
    text.locator("p").first.wait_for()
    lengths = []
    while page.locator("#stop").is_visible():
        lengths.append(len(text.inner_text()))
    assert len(set(lengths)) > 5
    assert lengths == sorted(lengths)
    answered(page)
    figures = page.locator(".figures").inner_text()
    for word in ("first token ", " tokens/s", "120 tokens", "length"):
        assert word in figures


def test_parameters_act(new_page):
    page = new_page()
    page.get_by_role("button", name="Settings of conversation 1").click()
    page.get_by_label("temperature", exact=True).fill("0")
    page.get_by_label("max_tokens", exact=True).fill("7")
    page.get_by_label("Find a parameter").fill("go on after the model")
    page.get_by_label("ignore_eos", exact=True).select_option("true")
    assert page.locator(".summary").inner_text() == "temperature 0 · max_tokens 7 · ignore_eos true"
    say(page)
    answered(page)
    assert "7 tokens" in page.locator(".figures").inner_text()
    first = page.locator(".turn .text").inner_text()
    page.get_by_role("button", name="Regenerate").click()
    page.get_by_text("2 of 2").wait_for()
    answered(page)
    assert page.locator(".turn .text").inner_text() == first


def test_all_parameters_are_in_the_form(new_page, server):
    page = new_page()
    page.get_by_role("button", name="Settings of conversation 1").click()
    schema = page.request.get(f"{server.url}/plugtron/parameters").json()["properties"]
    rows = page.locator(".parameter")
    assert rows.count() == len(schema)
    for name, declared in schema.items():
        row = page.locator(f".parameter:has(#parameter-{name})")
        text = row.text_content()
        assert declared["description"] in text
        if "default" in declared:
            assert f"default {json.dumps(declared['default'])}".removesuffix(".0") in text
        if "minimum" in declared:
            assert f"≥ {declared['minimum']:g}" in text


def test_probabilities_under_the_pointer(new_page):
    page = new_page(settings({"parameters": {"logprobs": 4, "max_tokens": 12, "temperature": 0, "ignore_eos": True}}))
    say(page, "Tell me a story of a fox.")
    answered(page)
    tokens = page.locator(".token")
    assert tokens.count() >= 8
    tokens.nth(2).hover()
    tip = page.locator("#tip")
    tip.wait_for()
    shares = [float(share.removesuffix(" %")) for share in tip.locator("td:last-child").all_inner_texts()]
    assert len(shares) == 4
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 100.4
    chosen = tip.locator(".chosen th").inner_text()
    assert chosen.replace("␣", " ") == tokens.nth(2).text_content()
    # With the keyboard, too.
    page.mouse.move(5, 5)
    tip.wait_for(state="hidden")
    page.locator(".turn .text").focus()
    page.keyboard.press("ArrowRight")
    tip.wait_for()
    page.keyboard.press("Escape")
    tip.wait_for(state="hidden")


def test_tokens_stay_in_place_in_markdown(new_page):
    page = new_page(forced(MARKDOWN, parameters={"logprobs": 0}))
    say(page)
    answered(page)
    plain = new_page(forced(MARKDOWN))
    say(plain)
    answered(plain)
    assert page.locator(".turn .text").inner_text() == plain.locator(".turn .text").inner_text()
    assert page.locator("pre .token").count() > 5


def test_links_hold_settings(new_page):
    page = new_page()
    page.get_by_role("button", name="Settings of conversation 1").click()
    page.get_by_label("System prompt").fill("Be brief: ä # ?")
    page.get_by_label("top_p", exact=True).fill("0.5")
    page.get_by_label("stop", exact=True).fill('["\\n", "b"]')
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("button", name="Settings of conversation 2").click()
    page.get_by_label("top_p", exact=True).fill("")
    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("The link is").wait_for()
    other = new_page(page.url.rpartition("/")[2])
    other.locator("#input:enabled").wait_for()
    assert other.locator(".summary").all_inner_texts() == [
        'system prompt · top_p 0.5 · stop ["\\n","b"]',
        'system prompt · stop ["\\n","b"]',
    ]
    other.get_by_role("button", name="Settings of conversation 1").click()
    assert other.get_by_label("System prompt").input_value() == "Be brief: ä # ?"
    assert other.get_by_label("top_p", exact=True).input_value() == "0.5"


@pytest.mark.parametrize("link", ["#nonsense", "#" + quote('[{"system": 3}]'), "#" + quote('[{"__proto__": {}}]')])
def test_links_that_hold_something_else(new_page, link):
    page = new_page(link)
    page.get_by_text("The settings of this link cannot be read").wait_for()
    page.locator("#input:enabled").wait_for()


def test_settings_beside_each_other(new_page):
    page = new_page(settings(*({"parameters": {"max_tokens": size, "ignore_eos": True}} for size in (4, 9))))
    say(page)
    answered(page, 2)
    figures = page.locator(".figures").all_inner_texts()
    assert ["4 tokens" in figures[0], "9 tokens" in figures[1]] == [True, True]
    page.get_by_role("button", name="Close conversation 1").click()
    assert page.locator(".column").count() == 1


def test_conversations_go_on(new_page):
    page = new_page(settings({"system": "You answer in French.", "parameters": {"max_tokens": 5}}))
    with page.expect_request("**/v1/chat/completions"):
        say(page, "One")
    answered(page)
    text = page.locator(".turn .text").inner_text()
    with page.expect_request("**/v1/chat/completions") as sent:
        say(page, "Two")
    messages = sent.value.post_data_json["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[2]["content"].split() == text.split()
    answered(page)


def test_markdown(new_page):
    page = new_page(forced(MARKDOWN))
    say(page)
    answered(page)
    text = page.locator(".turn .text")
    for selector, content in (
        ("h5", "Title"),
        ("p em", "emphasis"),
        ("strong code", "code"),
        ("del", "no"),
        ("ul > li > ol > li", "two"),
        ("blockquote p", "quoted 🙂 漢字"),
        ("td code", "x"),
        ("pre code", 'def f(x):\n    return "<b>"'),
        ("figcaption span", "python"),
    ):
        assert text.locator(selector).inner_text() == content
    assert "a_b_c 2 * 3 * 4." in text.locator("p").first.inner_text()
    links = [link.get_attribute("href") for link in text.locator("a").all()]
    assert links == ["https://example.org/a_(b)", "https://example.org/c"]


def test_what_models_write_is_no_html(new_page):
    page = new_page(forced(HOSTILE))
    page.on("request", lambda request: pytest.fail(request.url) if "example.org" in request.url else None)
    say(page)
    answered(page)
    text = page.locator(".turn .text")
    assert text.locator("img, script").count() == 0
    assert text.inner_text().startswith('<img src=x onerror="alert(1)"> <script>')
    links = [link.get_attribute("href") for link in text.locator("a").all()]
    assert links == ["https://example.org/b.png", "https://example.org/d"]


def test_reasoning_and_calls_are_folded(new_page):
    call = '<tool_call>\n{"name": "look_up", "arguments": {"word": "sun"}}\n</tool_call>'
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
    page = new_page(forced(f"<think>A riddle.</think>{call}", tools=json.dumps(tools)))
    say(page)
    answered(page)
    folded = page.locator(".turn details")
    assert folded.locator("summary").all_inner_texts() == ["Reasoning", "Call: look_up"]
    assert not folded.first.locator(".text").is_visible()
    folded.first.locator("summary").click()
    assert folded.first.locator(".text").inner_text() == "A riddle."
    folded.last.locator("summary").click()
    assert json.loads(folded.last.locator("pre").inner_text()) == {"word": "sun"}
    folded.last.locator("textarea").fill("a star")
    with page.expect_request("**/v1/chat/completions") as sent:
        page.get_by_role("button", name="Send results").click()
    _, said, result = sent.value.post_data_json["messages"]
    assert said["tool_calls"][0]["function"]["name"] == "look_up"
    assert (result["role"], result["content"]) == ("tool", "a star")
    answered(page)


def test_errors_are_shown_as_they_are(new_page):
    page = new_page(settings({"parameters": {"temperature": -1}}), expects=["400 (Bad Request)"])
    say(page)
    answered(page)
    assert "temperature: must be at least 0 (got -1)" in page.locator(".error").inner_text()


def test_keyboard_alone(new_page):
    page = new_page(settings({"parameters": {"max_tokens": 1500, "ignore_eos": True}}))
    page.locator("#input:enabled").wait_for()
    page.keyboard.type("One")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    assert page.locator("#input").input_value() == "One\ntwo"
    page.keyboard.press("Enter")
    page.locator(".turn .text p").first.wait_for()
    page.keyboard.press("Escape")
    answered(page)
    assert page.locator(".figures [data-figure=end]").inner_text() == "stopped"
    focused = []
    page.locator("body").focus()
    page.evaluate("document.activeElement.blur()")
    for _ in range(12):
        page.keyboard.press("Tab")
        focused.append(
            page.evaluate(
                "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent ?? ''"
            )
        )
    wanted = [
        "Chat",
        "Server",
        "Compare",
        "Copy link",
        "Settings of conversation 1",
        "Conversation 1",
        "Copy",
        "Regenerate",
    ]
    assert [name for name in focused if name in wanted] == wanted
    page.get_by_role("button", name="Settings of conversation 1").focus()
    page.keyboard.press("Enter")
    page.get_by_role("complementary", name="Settings").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("complementary", name="Settings").wait_for(state="hidden")
    assert page.evaluate("document.activeElement.textContent") == "Settings"


def test_every_control_has_a_name(new_page):
    page = new_page()
    page.get_by_role("button", name="Settings of conversation 1").click()
    fields = page.locator("input, select, textarea")
    assert fields.count() > 40
    assert all(fields.evaluate_all("each => each.map(one => one.labels.length > 0 || one.ariaLabel)"))


@pytest.mark.parametrize("path", ["", "plugtron"])
def test_colors(new_page, path):
    light = new_page(path, color_scheme="light")
    dark = new_page(path, color_scheme="dark")
    color = "getComputedStyle(document.body).backgroundColor"
    light_color, dark_color = light.evaluate(color), dark.evaluate(color)
    assert light_color != dark_color
    toggle = light.locator("[data-theme-toggle]")
    toggle.click()
    toggle.click()
    assert (toggle.inner_text(), light.evaluate(color)) == ("Dark", dark_color)
    light.reload()
    assert light.evaluate(color) == dark_color


@pytest.mark.parametrize("path", [forced("```\n" + "long " * 60 + "\n```\n" + "word" * 80), "plugtron"])
def test_narrow_screens(new_page, path):
    page = new_page(path)
    page.set_viewport_size({"width": 340, "height": 640})
    width = "document.documentElement.scrollWidth"
    if path == "plugtron":
        page.locator("#components tr").first.wait_for()
    else:
        say(page)
        answered(page)
        assert page.locator("#send").bounding_box()["x"] < 300
        page.get_by_role("button", name="Settings of conversation 1").click()
        assert page.locator("#panel").bounding_box()["width"] <= 340
    assert page.evaluate(width) == 340


def test_charts_move(new_page):
    watching = new_page("plugtron")
    line = watching.locator(".chart .line-0").nth(1)
    watching.locator("#components tr").first.wait_for()
    page = new_page(settings({"parameters": {"max_tokens": 150, "ignore_eos": True, "n": 2}}))
    say(page)
    watching.locator("#requests tr.open").first.wait_for()
    answered(page)
    drawn = line.get_attribute("d")
    watching.wait_for_timeout(2500)
    assert line.get_attribute("d") != drawn
    top = watching.locator(".chart", has_text="Tokens per second").locator(".scale").inner_text()
    assert float(top.split()[0]) >= 5
    row = watching.locator("#requests tr").first
    assert row.locator(".state").inner_text() == "length"
    assert "300 in 2" in row.inner_text()
    bar = row.locator(".bar")
    assert bar.get_attribute("aria-label").count(",") == 2
    assert bar.locator(".decode").bounding_box()["width"] > 50


def test_servers_that_want_a_key(new_page):
    with served("smollm2-135m-instruct", "--api-key", "s3cret") as guarded:
        asked = settings({"parameters": {"max_tokens": 3}})
        for path, there in (("plugtron", "#components tr"), (asked, "#input:enabled")):
            page = new_page(path, base=guarded.url, expects=["401 (Unauthorized)"])
            page.get_by_label("This server wants an API key.").fill("s3cret")
            page.keyboard.press("Enter")
            page.locator(there).first.wait_for()
        say(page)
        answered(page)
        assert page.locator(".error").count() == 0
