"""What tests of chats ask for: a tool, a schema, and a template that has a place for tools."""

MODEL = "smollm2-135m-instruct"
ASKED = [{"role": "user", "content": "Name three colors of the rainbow."}]
PARAMETERS = {
    "type": "object",
    "properties": {"word": {"type": "string", "maxLength": 12}},
    "required": ["word"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {"name": "look_up", "description": "look a word up", "parameters": PARAMETERS},
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 10}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
TEMPLATE = (
    "{% if tools %}<|im_start|>system\n<think>, then <tool_call>: {{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.reasoning_content %}<think>{{ message.reasoning_content }}</think>{% endif %}{{ message.content }}"
    "{% for call in message.tool_calls %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
#: An answer of a model that reasons, speaks and calls, in the form of that template.
ANSWER = '<think>Hm.</think>One moment.<tool_call>{"name": "look_up", "arguments": {"word": "sea"}}</tool_call>'
