"""The Training tab: from a form to a better model, watched live."""
