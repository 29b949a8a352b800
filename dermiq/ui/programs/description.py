"""The description of the API in the form of OpenAPI 3.1, for `GET /openapi.json`: the calls and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import dermiq
from dermiq.types import Json
from dermiq.ui.programs.arguments import Call, arguments, description
from dermiq.ui.programs.calls import Calls

PATH = "/openapi.json"
RUN = "/gradio_api/run"
CALLS: Mapping[str, Call] = {
    call.__name__: call for call in (Calls.assess, Calls.search_knowledge, Calls.compare, Calls.check_text)
}
GIVES: Mapping[str, Mapping[str, str]] = {
    "assess": {
        "disclaimer": "that this is no medical device",
        "model": "which model answered",
        "model_revision": "its revision",
        "seconds": "how long it took, s",
        "abstention": "code and message why the answer should not be trusted at all, or null",
        "differentials": "by reader (specialist, vlm) the diagnoses, best first: code, id, name, probability (0 to 1), "
        "and by_image, the same by the image alone",
        "sets": "by reader and certainty in percent, the classes among which the diagnosis is",
        "understood": "what the question was understood to ask",
        "answer": "code and text of the diagnosis that the model named",
        "reasoning": "its four steps: findings, differential, knowledge, conclusion",
        "prose": "what it wrote behind them",
        "problems": "what could not be parsed in its text",
        "findings": "what was measured: code, name, value, unit, text, definition, percentile_among_benign, "
        "likelihood_ratios, n, image (counted from 0)",
        "facts": "facts that the text cites as [F1]: number, id, text, source, url, licence, locator, score, reason",
        "claims": "each sentence that claims something: text, verdict, facts, findings, miscited, mended",
        "checks": "of the answer against itself: code, passed, message",
        "urgency": "level, text and facts of the rule of referral that applies, or null",
        "notes": "what else was noticed",
        "text": "the whole text",
        "own": "what the program said itself: text, why, replaced, is_first (before the model's text); or null",
        "generated": "a sentence that says that a model wrote the text",
        "version": "of this program",
        "weights": "SHA-256 of the list of what ships",
    },
    "search_knowledge": {
        "entities": "names that were understood: mention, id, name, negated",
        "facts": "facts, best first: id, subject, relation, object, text, source, url, score",
    },
    "compare": {
        "left": "id and name of the first condition",
        "right": "id and name of the second",
        "points": "relation, feature, kind (opposite, left_only, right_only, mixed, shared), and the facts of left and "
        "right",
        "look_alikes": "facts on how one is taken for the other",
        "silent": "by side, the topics on which the graph has nothing",
    },
    "check_text": {
        "claims": "each sentence that claims something: text, verdict, facts",
        "accuracy": "share of the claims that are so, 0 to 1, or null",
        "relevance": "share that is about the diagnosis, 0 to 1, or null",
        "completeness": "share of what should be said that is, 0 to 1, or null",
    },
}
"""What the keys of an answer hold."""
ERROR: Json = {
    "type": "object",
    "properties": {
        "error": {"type": "string", "description": "what was wrong, and what to do"},
        "title": {"type": "string", "description": "the kind of error: InputError, ImageError, ModelError ..."},
    },
    "required": ["error"],
}
REFUSED = {
    "400": "The request cannot be used: no JSON, an image that is no base64, an argument that there is not.",
    "403": "Another site's page sent it, or the page has another name (DERMIQ_HOSTS).",
    "413": "The images are too large.",
    "500": "The call failed, or cannot be answered with these arguments: `error` says why, `title` of what kind it is.",
    "503": "Too many images wait to be read. Try again in a minute.",
}


def openapi() -> Json:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "DermIQ",
            "version": dermiq.__version__,
            "description": "A research demonstration for clinicians, not a medical device, not for diagnosis. "
            "Images are read in memory, never stored, and forgotten with the answer.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {f"{RUN}/{name}": {"post": _operation(name, call)} for name, call in CALLS.items()},
    }


def _operation(name: str, call: Call) -> Json:
    whole = description(call)
    responses: Json = {code: {"description": said, "content": _content(ERROR)} for code, said in REFUSED.items()}
    return {
        "operationId": name,
        "summary": whole.split(". ")[0].rstrip(".") + ".",
        "description": whole,
        "requestBody": {"required": True, "content": _content(arguments(call).model_json_schema())},
        "responses": {"200": {"description": "The answer", "content": _content(_given(name))}, **responses},
    }


def _given(name: str) -> Json:
    """Gradio's envelope around the answer."""
    answer = {"type": "object", "properties": {key: {"description": said} for key, said in GIVES[name].items()}}
    data = {"type": "array", "prefixItems": [answer], "minItems": 1, "maxItems": 1}
    return {"type": "object", "properties": {"data": data}, "required": ["data"]}


def _content(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def route() -> Route:
    said = openapi()

    def read(_: Request) -> JSONResponse:
        return JSONResponse(said)

    return Route(PATH, read)
