"""The Training tab: from a form to a better model, watched live. The only place in dermiq that imports train."""
