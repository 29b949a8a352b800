"""Chat templates that refuse or drop a system turn get its text in the first user turn."""

import pytest

from dermiq.types import PatientContext
from dermiq.vlm.prompt_inputs import PromptEncoder, takes_system_turn
from dermiq.vlm.prompts import SYSTEM, differential_messages
from tests.tiny import picture, tiny

TURNS = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
)
REFUSES = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}" + TURNS
DROPS = TURNS.replace("{% for m in messages %}", "{% for m in messages if m['role'] != 'system' %}")


@pytest.mark.parametrize(("template", "takes"), [(TURNS, True), (REFUSES, False), (DROPS, False)])
def test_the_system_text_always_arrives(template: str, takes: bool) -> None:
    _, processor = tiny("llava")
    processor.chat_template = template
    assert takes_system_turn(processor) is takes
    encoder = PromptEncoder(processor, processor.image_token_id)
    prompt = encoder.encode(differential_messages(PatientContext()), [picture()])
    text = processor.tokenizer.decode(list(prompt.ids))
    assert SYSTEM in text
    assert text.index(SYSTEM) < text.index("Patient: not told.")
    assert prompt.image_end > 0
