"""The page. The only place that knows gradio; it translates typed events and nothing else."""
