"""Small JSON Schemas of many kinds, and what answers to them must be."""

import json
import random

from jsonschema import Draft202012Validator

__all__ = ["random_schemas", "validate"]

_WORDS = ["red", "green", "blue", "Ångström", "a b", 'qu"ote', "back\\slash", "", "日本"]
_PATTERNS = ["^[a-z]{1,6}$", "^(on|off)$", "^[A-Z]{2}-[0-9]{1,3}$", "^x+y?$", "^[0-9a-f]{4}$"]
_FORMATS = ["ipv6", "uuid", "ipv4"]


def validate(text, schema):
    """Raise unless a text is JSON that a schema describes."""
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(json.loads(text))


def random_schemas(count, seed=0):
    """Schemas whose answers end after some dozens of tokens: each of another kind, or of the same nested otherwise."""
    return [_schema(random.Random(1000 * seed + index), 2) for index in range(count)]


def _schema(draw, depth):
    plain = [_text, _pattern, _format, _enum, _const, _whole, _range, _number, _multiple, _truth]
    nested = [_object, _optional, _array, _tuple, _union, _reference, _tree, _extra, _all]
    return draw.choice(nested if depth == 2 else [*plain, *nested] if depth else plain)(draw, depth - 1)


def _text(draw, depth):
    least = draw.randrange(4)
    return {"type": "string", "minLength": least, "maxLength": least + draw.randrange(6)}


def _pattern(draw, depth):
    return {"type": "string", "pattern": draw.choice(_PATTERNS)}


def _format(draw, depth):
    return {"type": "string", "format": draw.choice(_FORMATS), **({} if draw.random() < 0.5 else {"title": "one"})}


def _enum(draw, depth):
    return {"enum": draw.sample([*_WORDS, 3, -1.5, None, True, [1, "a"], {"b": {}}], draw.randrange(1, 6))}


def _const(draw, depth):
    return {"const": draw.choice([*_WORDS, {"a": [1, None]}, 12])}


def _whole(draw, depth):
    return {"type": "integer", "minimum": draw.choice([-3, 0, 18]), "maximum": draw.choice([18, 120, 1000])}


def _range(draw, depth):
    return {"type": "number", "exclusiveMinimum": draw.choice([-2.5, 0]), "maximum": draw.choice([1.5, 99.25])}


def _number(draw, depth):
    return {"type": ["integer", "null"], "minimum": -9999, "maximum": 9999}


def _multiple(draw, depth):
    return {"type": "integer", "multipleOf": draw.choice([2, 5, 7]), "minimum": 0, "maximum": 500}


def _truth(draw, depth):
    return {"type": draw.choice(["boolean", "null", ["boolean", "null"]])}


def _object(draw, depth):
    names = draw.sample(["name", "age", "tags", "é", "a b"], draw.randrange(1, 4))
    return {
        "type": "object",
        "properties": {name: _schema(draw, depth) for name in names},
        "required": names,
        "additionalProperties": False,
    }


def _optional(draw, depth):
    schema = _object(draw, depth)
    schema["required"] = schema["required"][:1]
    return schema


def _extra(draw, depth):
    return {
        "type": "object",
        "properties": {"kind": {"const": "x"}},
        "required": ["kind"],
        "patternProperties": {"^n_[a-z]{1,3}$": _schema(draw, 0)},
        "additionalProperties": False,
        "maxProperties": 3,
    }


def _array(draw, depth):
    least = draw.randrange(3)
    return {"type": "array", "items": _schema(draw, depth), "minItems": least, "maxItems": least + draw.randrange(3)}


def _tuple(draw, depth):
    return {
        "type": "array",
        "prefixItems": [_schema(draw, depth), _schema(draw, depth)],
        "items": False,
        "minItems": 2,
    }


def _union(draw, depth):
    return {"anyOf": [_schema(draw, depth) for _ in range(draw.randrange(2, 4))]}


def _all(draw, depth):
    return {"allOf": [_object(draw, depth), {"type": "object"}]}


def _reference(draw, depth):
    if depth != 1:
        return _array(draw, depth)  # a reference begins at the top
    item = {"$ref": "#/$defs/item"}
    return {
        "$defs": {"item": _schema(draw, 0), "pair": {"type": "array", "items": item, "maxItems": 2}},
        "type": "object",
        "properties": {"one": item, "two": {"$ref": "#/$defs/pair"}},
        "required": ["one", "two"],
        "additionalProperties": False,
    }


def _tree(draw, depth):
    if depth != 1:
        return _array(draw, depth)
    return {
        "type": "object",
        "properties": {"value": _schema(draw, 0), "next": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}},
        "required": ["value", "next"],
        "additionalProperties": False,
    }
