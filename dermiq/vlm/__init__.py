"""The vision-language model: loading, prompts, streaming generation, parsing. Knows neither the graph nor the page."""
