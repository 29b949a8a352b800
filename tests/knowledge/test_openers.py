"""What begins a sentence and claims nothing is taken off before it is judged: tables of openings and of politeness."""

from __future__ import annotations

import time

import pytest

from dermiq.knowledge import Graph, check_claims
from dermiq.knowledge.check.openers import claimed

GRAPH = Graph.load()
SAID = "Melanoma is malignant."
OPENINGS = """
From the sources:
From the facts,
From the facts provided:
From the given facts:
From what the sources say:
What is known:
What we know:
What is known about it:
What the facts say:
Here is what the sources say:
In short,
In short:
**In short:**
In brief,
In summary,
To summarise,
To sum up:
In conclusion,
In a nutshell:
In other words,
In plain words:
Simply put,
To put it simply,
Put differently,
According to the facts,
According to the sources,
According to the provided facts:
According to the knowledge graph,
According to the literature,
According to F2,
According to fact 2,
According to facts 2 and 3,
As the facts say,
As stated in the sources,
As mentioned above,
As I said before,
Based on the facts above,
Based on the given information,
Based on the evidence,
Going by the sources,
The facts say that
The sources state that
The given facts say:
The evidence shows that
Fact 3 says that
F3 states that
Known facts:
Known:
Sources:
Key point:
Key facts:
Bottom line:
The bottom line is that
Short answer:
The short answer:
The short answer is that
Answer:
Note that
Note:
Please note that
It is important to note that
It is worth knowing that
It should be remembered. However,
Remember that
Keep in mind that
Importantly,
Of note,
Also,
However,
Moreover,
Furthermore,
In addition,
Additionally,
Therefore,
Overall,
Finally,
First of all,
For example,
That said,
To answer your question:
Regarding your question:
As for your question,
Yes,
Yes:
No,
Sure,
Sure!
Of course,
Certainly!
Well,
So,
But,
And,
Long story short:
tl;dr:
In fact,
Indeed,
The answer is that
The reason is that
This means that
It is well known that
We know that
As you may know,
Let me be clear:
To be precise,
Good question:
"""
POLITE = """
Sure!
Of course.
Certainly.
Yes.
No!
Good question.
That is a good question!
Great question.
Thank you for your question.
Thanks for asking.
Hello.
Hello there!
I hope this helps.
I hope this answers your question.
Let me know if you have any further questions.
Please feel free to ask if anything is unclear.
If you have any more questions, please let me know.
I'd be happy to explain.
I am happy to help.
You're welcome.
I understand your concern.
Let me explain.
Let us look at the facts.
Here is a short summary:
Here is what the sources say:
Here are the reasons:
Here's why:
From the sources:
What is known:
In short:
The facts:
Facts given:
Sources:
Sure, I can help with this.
I will explain this now.
The reasons are as follows:
Take care.
[F1]
**Summary**
"""
CLAIMING = """
Unlike a nevus, basal cell carcinoma shows arborizing vessels.
In melanoma, a blue-white veil can be present.
The sources do not say that melanoma is benign.
The facts do not cover this.
The evidence against melanoma is weak.
It is not clear that melanoma itches.
It may be true that melanoma itches.
Nothing suggests that melanoma itches.
On dermoscopy, melanoma shows a blue-white veil.
First line: seborrheic keratosis needs no treatment.
In women, melanoma lies on the legs.
In practice guidelines differ.
No melanoma was seen.
Known melanoma is followed up.
Sure signs of melanoma are few.
According to the patient, it itches.
Please refer urgently.
You should see a dermatologist.
A sore that does not heal can be a melanoma.
Probably, it is benign.
Usually, it is benign.
Information on margins is lacking.
Thank God melanoma is rare.
Good prognosis is typical of nevi.
Thank you for asking, melanoma is malignant.
Here is what counts: melanoma is malignant.
"""


def lines(table: str) -> list[str]:
    return [line for line in table.strip().splitlines() if line]


@pytest.mark.parametrize("opening", lines(OPENINGS))
def test_an_opening_changes_no_verdict(opening: str) -> None:
    claims = check_claims(GRAPH, f"{opening} {SAID}", diagnosis="mel")
    supported = [claim for claim in claims if claim.verdict == "supported"]
    assert [claim.text.endswith(SAID) for claim in supported] == [True], claims


@pytest.mark.parametrize("opening", lines(OPENINGS))
def test_nor_does_it_make_a_false_sentence_less_false(opening: str) -> None:
    claims = check_claims(GRAPH, f"{opening} melanoma is benign.", diagnosis="mel")
    assert claims[-1].verdict == "contradicted"


@pytest.mark.parametrize("sentence", lines(POLITE))
def test_an_opening_alone_or_a_politeness_claims_nothing(sentence: str) -> None:
    assert claimed(sentence) == ""
    assert [claim.text for claim in check_claims(GRAPH, f"{sentence}\n{SAID}")] == [SAID]


@pytest.mark.parametrize("sentence", lines(CLAIMING))
def test_what_claims_something_stays(sentence: str) -> None:
    assert claimed(sentence) in (sentence, SAID.lower())


def test_a_claim_keeps_its_opening_so_that_the_page_finds_it() -> None:
    (claim,) = check_claims(GRAPH, f"From the sources: {SAID}")
    assert claim.text == f"From the sources: {SAID}"


def test_endless_openings_are_read_in_no_time() -> None:
    started = time.process_time()
    for words in ("the given provided known stated medical " * 400, "so, " * 400, "note that " * 400, "yes " * 400):
        claimed(words + "melanoma is malignant.")
    assert time.process_time() - started < 1
