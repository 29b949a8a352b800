"""Where the project runs: what a machine can do, and how it gets to a Space. Knows neither model nor page."""
